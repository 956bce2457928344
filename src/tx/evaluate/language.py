"""Measuring a language model: the log-probability of lines, and its loss on running text.

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

from tx.data.stream import Carry, StreamBatch, contiguous_batches
from tx.models import load_model
from tx.nn.device import choose_device, keep_freed_memory, prefer_fast_products, set_threads
from tx.package import load_package
from tx.text.running import decode_text
from tx.text.tokenizer import Tokenizer, open_tokenizer

STREAMS = 16  # of running text, side by side: few, since each begins without a past
CHUNK = 1024  # tokens that are read at once where a model remembers those before
LOGITS = 1 << 23  # numbers in memory at once


def open_model(path: Path, device: str = "auto", threads: int = 0) -> tuple[nn.Module, Tokenizer]:
    """The language model in the package at `path`, ready to read many lines at once, and its tokenizer."""
    set_threads(threads)
    keep_freed_memory()
    prefer_fast_products()
    chosen = choose_device(device)
    return load_package(
        path, lambda package: (load_model(package, chosen), open_tokenizer(package)), "language-model"
    )


# -- lines -----------------------------------------------------------------------------------------


@torch.inference_mode()
def score_lines(model: nn.Module, tokenizer: Tokenizer, lines: Sequence[str]) -> list[tuple[float, int]]:
    """For each line its log-probability in nats and its tokens; both count the `</s>` that ends it.

    Each begins behind the end of another line. What does not fit into a model's context is read as
    `tx.decode.generate.Text` does, so that this is the probability with which the model makes up the line.
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
    """The log-probability of each of `rows`, ids that end with `</s>`."""
    device = next(model.parameters()).device
    n = max(map(len, rows))
    targets = torch.zeros(len(rows), n, dtype=torch.long)  # [B, T], `</s>` behind each row
    for row, ids in zip(targets, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    tokens = torch.cat((torch.zeros_like(targets[:, :1]), targets[:, :-1]), dim=1)
    is_text = torch.arange(n) < torch.tensor([len(ids) for ids in rows])[:, None]
    total, carry = torch.zeros(len(rows), dtype=torch.float64), Carry()
    for start, first, end in _blocks(n, max_len):
        block = StreamBatch(tokens[:, start:end], targets[:, start:end], carry, fresh=start == 0).to(device)
        logprobs = model(block).float().log_softmax(dim=-1)
        gained = logprobs.gather(2, block.targets[:, :, None])[:, :, 0].double().cpu()
        total += (gained * is_text[:, start:end])[:, first - start :].sum(dim=1)
    return total.tolist()


def _blocks(n: int, max_len: int | None) -> Iterator[tuple[int, int, int]]:
    """What of `n` tokens to read at a time: from where, from where on it counts, and to where.

    A model with a context reads a full one first, and then, again and again, one that begins half a context later.
    """
    length = max_len or CHUNK
    hop = length - length // 2 if max_len else length
    for start in range(0, max(1, n - (length - hop)), hop):
        yield start, start + (length - hop) * (start > 0), min(n, start + length)


# -- running text ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextScore:
    """How well a model predicts a text; the exponential of `loss` is the perplexity of a token."""

    loss: float  # nats a token
    bits_per_character: float

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))


class RunningText:
    """A text to measure models on, as `n` ids; all but the first are predicted.

    It is read in a few contiguous streams, `seq_len` tokens at a time; what is carried on from one to the next is
    up to the model. Up to as many tokens as there are streams are left out at the end.
    """

    def __init__(self, ids: np.ndarray, tokenizer: Tokenizer, seq_len: int) -> None:
        self.ids, self.seq_len = ids, seq_len
        self.streams = max(1, min(STREAMS, len(ids) // (4 * seq_len)))
        self.n_tokens = (len(ids) - 1) // self.streams * self.streams
        self.n_characters = len(decode_text(ids[1 : self.n_tokens + 1].tolist(), tokenizer))

    @torch.inference_mode()
    def measure(self, model: Any) -> TextScore:
        """The loss of `model` on this text."""
        device = next(model.parameters()).device
        total, n_tokens = torch.zeros((), device=device, dtype=torch.float64), 0
        for batch in contiguous_batches(self.ids, self.streams, self.seq_len):
            loss, n = model.loss(batch.to(device))
            total, n_tokens = total + loss, n_tokens + n
        nats = float(total)
        return TextScore(nats / n_tokens, nats / self.n_characters / math.log(2))
