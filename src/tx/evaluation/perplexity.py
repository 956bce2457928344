"""Cross-entropy loss and perplexity: of sentence pairs, of lines, and of running text.

Shape letters: B rows of a batch, T positions, V vocabulary.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tx.data.batch import lengths, make_batch
from tx.data.corpus import Corpus
from tx.data.sampler import cut_batches
from tx.data.stream import StreamBatch, contiguous_batches
from tx.models import load_model
from tx.nn.device import prepare_device
from tx.package import load_package
from tx.text.incremental import decode_text
from tx.text.load_tokenizer import open_tokenizer
from tx.text.tokenizer import Tokenizer

STREAMS = 16  # rows of a batch of running text: few, since each begins without context
CHUNK = 1024  # tokens of one forward pass of a recurrent model
LOGITS = 1 << 23  # numbers in memory at once


# -- sentence pairs --------------------------------------------------------------------------------


@torch.inference_mode()
def mean_loss(
    model: nn.Module, corpus: Corpus, tokenizers: tuple[Tokenizer, Tokenizer], batch_tokens: int
) -> float:
    """The mean cross-entropy loss per target token, in nats, without label smoothing.

    A source or target that is longer than the model's max_len is truncated.
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


# -- lines -----------------------------------------------------------------------------------------


def load_language_model(path: Path, device: str = "auto", threads: int = 0) -> tuple[nn.Module, Tokenizer]:
    """The language model in the package at `path`, and its tokenizer."""
    chosen = prepare_device(device, threads)
    return load_package(
        path, lambda package: (load_model(package, chosen), open_tokenizer(package)), "language-model"
    )


@torch.inference_mode()
def score_lines(model: nn.Module, tokenizer: Tokenizer, lines: Sequence[str]) -> list[tuple[float, int]]:
    """The log-probability in nats and the number of tokens of each line, both with the `</s>` that ends it.

    Each line begins after a `</s>`. A line longer than the model's context is read as `tx.decode.generate.Context`
    reads it, so that this is the probability with which the model generates the line.
    """
    rows = [[*ids, tokenizer.eos_id] for ids in tokenizer.encode_batch(lines)]
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    totals = [0.0] * len(rows)
    max_len: int | None = getattr(model.config, "max_len", None)
    while order:
        longest = min(len(rows[order[0]]), max_len or CHUNK)
        n = max(1, LOGITS // (longest * len(tokenizer)))
        chosen, order = order[:n], order[n:]
        for i, total in zip(chosen, _score(model, [rows[i] for i in chosen], max_len), strict=True):
            totals[i] = total
    return [(total, len(row)) for total, row in zip(totals, rows, strict=True)]


def _score(model: nn.Module, rows: Sequence[Sequence[int]], max_len: int | None) -> list[float]:
    """The log-probability of each row of ids; each ends with `</s>`."""
    device = next(model.parameters()).device
    n = max(map(len, rows))
    targets = torch.zeros(len(rows), n, dtype=torch.long)  # [B, T], padded with `</s>`
    for row, ids in zip(targets, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    tokens = torch.cat((torch.zeros_like(targets[:, :1]), targets[:, :-1]), dim=1)
    is_text = torch.arange(n) < torch.tensor([len(ids) for ids in rows])[:, None]
    total = torch.zeros(len(rows), dtype=torch.float64)
    state: tuple[torch.Tensor, ...] = ()
    for start, first, end in _blocks(n, max_len):
        block = StreamBatch(tokens[:, start:end], targets[:, start:end]).to(device)
        logits, state = model(block, state)
        logprobs = logits.float().log_softmax(dim=-1)
        token_logprobs = logprobs.gather(2, block.targets[:, :, None])[:, :, 0].double().cpu()
        total += (token_logprobs * is_text[:, start:end])[:, first - start :].sum(dim=1)
    return total.tolist()


def _blocks(n: int, max_len: int | None) -> Iterator[tuple[int, int, int]]:
    """The windows in which `n` tokens are read: (start, first position that is scored, end).

    For a model with a context window, every window after the first overlaps the previous one by half of max_len.
    """
    length = max_len or CHUNK
    hop = length - length // 2 if max_len else length
    for start in range(0, max(1, n - (length - hop)), hop):
        yield start, start + (length - hop) * (start > 0), min(n, start + length)


# -- running text ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextScore:
    """The loss of a language model on a text."""

    loss: float  # nats per token
    bits_per_character: float

    @property
    def perplexity(self) -> float:
        """Per token."""
        return math.exp(min(self.loss, 700.0))


class RunningText:
    """A text of `n` token ids to evaluate language models on; all ids but the first are predicted.

    It is read as at most STREAMS contiguous streams, `seq_len` tokens at a time; a recurrent model keeps its state
    from one batch to the next. Less than one token per stream is dropped at the end.
    """

    def __init__(self, ids: np.ndarray, tokenizer: Tokenizer, seq_len: int) -> None:
        self.ids, self.seq_len = ids, seq_len
        self.streams = max(1, min(STREAMS, len(ids) // (4 * seq_len)))
        self.n_tokens = (len(ids) - 1) // self.streams * self.streams
        self.n_characters = len(decode_text(ids[1 : self.n_tokens + 1].tolist(), tokenizer))

    @torch.inference_mode()
    def measure(self, model: Any) -> TextScore:
        """The mean loss of `model` on this text."""
        device = next(model.parameters()).device
        total, n_tokens = torch.zeros((), device=device, dtype=torch.float64), 0
        state: tuple[torch.Tensor, ...] = ()
        for batch in contiguous_batches(self.ids, self.streams, self.seq_len):
            loss, n, state = model.loss(batch.to(device), state=state)
            total, n_tokens = total + loss, n_tokens + n
        nats = float(total)
        return TextScore(nats / n_tokens, nats / self.n_characters / math.log(2))
