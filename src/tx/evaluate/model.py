"""Measuring a model on data: its loss over a corpus, and the metrics of what it decodes."""

from typing import Any

import torch
from torch import nn

from tx.data.batch import make_batch
from tx.data.corpus import Corpus
from tx.data.sampler import cut_batches, lengths
from tx.text.tokenizer import Tokenizer


@torch.inference_mode()
def mean_loss(
    model: nn.Module, corpus: Corpus, tokenizers: tuple[Tokenizer, Tokenizer], batch_tokens: int
) -> float:
    """The mean loss in nats of a target token, without label smoothing; its exponential is the perplexity.

    A side longer than the model can hold is cut to what it can.
    """
    device = next(model.parameters()).device
    scorer: Any = model
    room = scorer.config.max_len - 1
    src, tgt = ([side[int(i)][:room] for i in corpus.kept] for side in (corpus.src, corpus.tgt))
    total, n_tokens = torch.zeros((), device=device), 0
    for chosen in cut_batches(lengths(src), lengths(tgt), batch_tokens):
        rows = [src[i] for i in chosen], [tgt[i] for i in chosen]
        batch = make_batch(*rows, *(tokenizer.pad_id for tokenizer in tokenizers)).to(device)
        loss, n = scorer.loss(batch)
        total, n_tokens = total + loss, n_tokens + n
    return float(total) / n_tokens
