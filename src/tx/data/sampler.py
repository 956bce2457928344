"""Sampling batches of sentence pairs, in an order that depends only on (seed, epoch): a position is three integers.

An epoch visits every pair once, in a random order that is computed and never stored. In windows of many pairs, the
pairs are sorted by length and cut into batches of at most `batch_tokens`, and the batches are shuffled: they contain
little padding, and their order is random.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tx.data.batch import Batch, lengths, make_batch
from tx.data.corpus import Corpus, EncodedText
from tx.text.tokenizer import Tokenizer

WINDOW = 1 << 16  # pairs sorted together

Rows = list[np.ndarray] | list[list[int]]


def permute(index: np.ndarray, n: int, key: int) -> np.ndarray:
    """A pseudo-random permutation of `range(n)`, applied to `index`: four Feistel rounds with cycle walking.

    It needs no memory for the rest of the permutation (Black and Rogaway 2002), so that a corpus of any size can be
    visited in random order.
    """
    bits = max(2, (n - 1).bit_length() + 1) // 2
    mask = np.uint64((1 << bits) - 1)
    keys = np.random.default_rng([key, n]).integers(1 << 62, size=4, dtype=np.uint64)
    x = index.astype(np.uint64)
    todo = np.ones(len(x), bool)
    while todo.any():
        left, right = x[todo] >> np.uint64(bits), x[todo] & mask
        for k in keys:
            mixed = (right + k) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
            mixed *= np.uint64(0xBF58476D1CE4E5B9)
            left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
        x[todo] = left << np.uint64(bits) | right
        todo = x >= n
    return x.astype(np.int64)


def cut_batches(src_lengths: np.ndarray, tgt_lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Cut pairs, sorted by length, into batches whose longer side has at most `batch_tokens` with padding.

    Returns index arrays. A pair that exceeds `batch_tokens` is a batch by itself. Batches of more than 8 pairs have a
    multiple of 8, since kernels are selected or compiled for each shape.
    """
    order = np.lexsort((src_lengths, tgt_lengths))
    widths = np.maximum(src_lengths, tgt_lengths)[order] + 1  # </s>
    batches, start, widest = [], 0, 0
    for i, width in enumerate(widths.tolist()):
        widest = max(widest, width)
        if i > start and widest * (i + 1 - start) > batch_tokens:
            end = start + (i - start) // 8 * 8 if i - start > 8 else i
            batches.append(order[start:end])
            start, widest = end, int(widths[end : i + 1].max())
    if start < len(order):
        batches.append(order[start:])
    return batches


@dataclass
class Position:
    """The number of the next batch: its epoch, its window in the epoch, its number in the window."""

    epoch: int = 0
    window: int = 0
    batch: int = 0


class WindowSampler:
    """An endless supply of training batches, resumable at any `position`; subclasses define the windows."""

    n_windows: int

    def __init__(self, position: Position | None = None) -> None:
        self.position = position or Position()
        self._loaded: tuple[int, int] | None = None

    def _load(self, epoch: int, window: int) -> Sequence[Any]:
        """Load a window and return what identifies each of its batches."""
        raise NotImplementedError

    def _batch(self, index: Any) -> Any:
        """The batch of the current window that `index`, an element of what `_load` returned, identifies."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self.next()

    def _window(self) -> Sequence[Any]:
        """What `_load` returns for the current window, which is loaded once."""
        at = self.position
        if self._loaded != (at.epoch, at.window):
            self._batches = self._load(at.epoch, at.window)
            self._loaded = (at.epoch, at.window)
        return self._batches

    def next(self) -> Any:
        """The batch at `position`, which then advances."""
        at, batches = self.position, self._window()
        batch = self._batch(batches[at.batch])
        at.batch += 1
        if at.batch == len(batches):
            at.window, at.batch = at.window + 1, 0
        if at.window == self.n_windows:
            at.epoch, at.window = at.epoch + 1, 0
        return batch

    def epochs(self) -> float:
        """The position as a number of epochs."""
        at = self.position
        within = at.batch / len(self._window()) if at.batch else 0.0
        return at.epoch + (at.window + within) / self.n_windows

    def peek(self, i: int) -> Any:
        """The `i`-th batch of the current window; `position` stays."""
        batches = self._window()
        return self._batch(batches[i % len(batches)])

    def batches_per_epoch(self) -> int:
        """Batches in the current window times windows: exact for a corpus of one window."""
        return len(self._window()) * self.n_windows


class PairSampler(WindowSampler):
    """Batches of a parallel corpus.

    With `sampling` > 0 subword regularization segments the text differently in each epoch.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizers: tuple[Tokenizer, Tokenizer],
        batch_tokens: int,
        seed: int,
        sampling: float = 0.0,
        max_len: int = 128,
        position: Position | None = None,
    ) -> None:
        super().__init__(position)
        self.corpus, self.tokenizers = corpus, tokenizers
        self.batch_tokens, self.seed, self.sampling = batch_tokens, seed, sampling
        self.max_len = max_len
        self.n_windows = -(-len(corpus) // WINDOW)

    def _rows(self, side: EncodedText, tokenizer: Tokenizer, lines: np.ndarray, seed: int) -> Rows:
        if not self.sampling:
            return [side[line] for line in lines]
        rows = tokenizer.sample_batch([side.line(line) for line in lines], seed, self.sampling)
        # A random segmentation may be too long for the model; then the usual one is used.
        return [
            row if len(row) <= self.max_len else side[n].tolist() for row, n in zip(rows, lines, strict=True)
        ]

    def _load(self, epoch: int, window: int) -> list[np.ndarray]:
        n = len(self.corpus)
        rng = np.random.default_rng([self.seed, epoch, window])
        seeds = rng.integers(1 << 31, size=2)
        places = np.arange(window * WINDOW, min((window + 1) * WINDOW, n))
        lines = self.corpus.kept[permute(places, n, self.seed * 1_000_003 + epoch)]
        self._src = self._rows(self.corpus.src, self.tokenizers[0], lines, int(seeds[0]))
        self._tgt = self._rows(self.corpus.tgt, self.tokenizers[1], lines, int(seeds[1]))
        batches = cut_batches(lengths(self._src), lengths(self._tgt), self.batch_tokens)
        rng.shuffle(batches)
        return batches

    def _batch(self, index: np.ndarray) -> Batch:
        src, tgt = ([side[i] for i in index] for side in (self._src, self._tgt))
        return make_batch(src, tgt, *(tokenizer.pad_id for tokenizer in self.tokenizers))
