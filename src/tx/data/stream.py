"""Running text for language models: one stream of tokens on disk, and batches cut from it.

A stream is the lines of a text, each followed by `</s>`, which stands for the newline: nothing is lost. It is
encoded once and mapped into memory, as a parallel corpus is. A recurrent model reads it in a few contiguous
streams, each batch going on where the one before ended (truncated back-propagation through time, Werbos 1990);
other models read windows of it in random order.

Shape letters: B pieces of text in a batch, T tokens of each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tx.data.batch import Tensors
from tx.data.corpus import cached_folder, fingerprint, map_in_processes
from tx.data.sampler import Position, permute
from tx.errors import TxError
from tx.text.lines import read_lines
from tx.text.tokenizer import Tokenizer

CHUNK = 1 << 22  # characters that one process encodes at a time
CUT = 1 << 16  # a line longer than this is encoded in parts
IDS = "stream.ids"

Part = tuple[str, bool]  # of a line, and whether the line ends with it

# -- on disk ---------------------------------------------------------------------------------------


def encode_stream(paths: Sequence[str], tokenizer: Tokenizer, cache: Path) -> np.ndarray:
    """The ids `[n]` of the text of `paths`, one after the other, encoded into `cache` unless that was done before.

    Raises TxError if a file cannot be read.
    """

    def encode(folder: Path) -> None:
        single = tokenizer.kind == "alphabet"  # characters, which are looked up faster than processes start
        chunks = ((tokenizer, chunk) for chunk in _chunks(paths, joined=single))
        results = map(_encode, chunks) if single else map_in_processes(_encode, chunks)
        with (folder / IDS).open("wb") as file:
            for ids in results:
                file.write(ids)

    file = cached_folder(cache / f"stream-{fingerprint(paths, [tokenizer])}", encode) / IDS
    return np.memmap(file, "<u4", mode="r") if file.stat().st_size else np.empty(0, "<u4")


def _chunks(paths: Sequence[str], joined: bool) -> Iterator[list[Part]]:
    """The parts of all lines, in lists of about CHUNK characters."""
    chunk: list[Part] = []
    size = 0
    for path in paths:
        for line in read_lines(path):
            for part in _parts(line, joined):
                chunk.append(part)
                size += len(part[0]) + 1
                if size >= CHUNK:
                    yield chunk
                    chunk, size = [], 0
    yield chunk


def _parts(line: str, joined: bool) -> Iterator[Part]:
    """Cut a long line, at spaces if it can be: tokenizers put the space back, unless parts are just `joined`."""
    start = 0
    while len(line) - start > CUT:
        space = line.rfind(" ", start + 1, start + CUT)
        end = space if space > 0 else start + CUT
        yield line[start:end], False
        start = end + (space > 0 and not joined)
    yield line[start:], True


def _encode(job: tuple[Tokenizer, list[Part]]) -> bytes:
    tokenizer, parts = job
    ids: list[int] = []
    for row, (_, ends) in zip(tokenizer.encode_batch([text for text, _ in parts]), parts, strict=True):
        ids += row
        if ends:
            ids.append(tokenizer.eos_id)
    return np.array(ids, "<u4").tobytes()


# -- batches ---------------------------------------------------------------------------------------


@dataclass
class StreamBatch(Tensors):
    """B pieces of text of equal length, and for each token the one that follows it.

    Each row continues the same row of the batch before, unless `fresh`: then the streams begin.
    """

    tokens: Tensor  # [B, T]
    targets: Tensor  # [B, T]
    fresh: bool = True
    n_src_tokens: int = field(default=0, init=False)  # there is no source

    @property
    def n_tokens(self) -> int:
        return self.targets.numel()


def stream_batch(ids: np.ndarray, starts: np.ndarray, length: int, fresh: bool = True) -> StreamBatch:
    """The pieces of `ids` of `length` tokens that begin at `starts` `[B]`, and the token after each."""
    rows = torch.from_numpy(ids[starts[:, None] + np.arange(length + 1)].astype(np.int64))
    return StreamBatch(rows[:, :-1], rows[:, 1:], fresh)


def contiguous_batches(ids: np.ndarray, batch_size: int, seq_len: int) -> Iterator[StreamBatch]:
    """All of `ids` `[n]` in at most `batch_size` contiguous streams, in batches of at most `seq_len` tokens.

    The first token is only read, and up to `batch_size` at the end are left out, so that streams are equal.
    """
    length = (len(ids) - 1) // batch_size
    for at in range(0, length, seq_len):
        starts = np.arange(batch_size) * length + at
        yield stream_batch(ids, starts, min(seq_len, length - at), fresh=at == 0)


class StreamSampler:
    """An endless supply of training batches from a stream, resumable at any `position`.

    With `contiguous` an epoch reads `batch_size` equal parts of the text side by side, and every batch goes on
    where the one before ended. Without, it cuts the text into windows, at another place in each epoch, and takes
    them in random order, a pure function of (seed, epoch).
    """

    def __init__(
        self, ids: np.ndarray, batch_size: int, seq_len: int, seed: int, contiguous: bool = False
    ) -> None:
        self.ids, self.batch_size, self.seq_len, self.seed = ids, batch_size, seq_len, seed
        self.position = Position()
        self.contiguous = contiguous
        self._length = (len(ids) - 1) // batch_size  # of a contiguous stream
        self._n_windows = (len(ids) - seq_len) // seq_len
        self._per_epoch = self._length // seq_len if contiguous else self._n_windows // batch_size
        if self._per_epoch < 1:
            raise TxError(
                f"{len(ids):,} tokens of training text are too few for a batch of {batch_size} x {seq_len}",
                "give more text, or a smaller --batch-size or --seq-len",
            )

    def _starts(self, epoch: int, batch: int) -> np.ndarray:
        """Where the pieces of a batch begin, `[B]`."""
        rows = np.arange(self.batch_size)
        if self.contiguous:
            return rows * self._length + batch * self.seq_len
        offset = int(np.random.default_rng([self.seed, epoch]).integers(self.seq_len))
        places = batch * self.batch_size + rows
        return permute(places, self._n_windows, self.seed * 1_000_003 + epoch) * self.seq_len + offset

    def next(self) -> StreamBatch:
        """The batch at `position`, which then moves on."""
        at = self.position
        starts = self._starts(at.epoch, at.batch)
        batch = stream_batch(self.ids, starts, self.seq_len, fresh=not self.contiguous or at.batch == 0)
        at.batch += 1
        if at.batch == self._per_epoch:
            at.epoch, at.batch = at.epoch + 1, 0
        return batch

    def peek(self, i: int) -> StreamBatch:
        """The `i`-th batch of the present epoch, without moving; always a `fresh` one."""
        starts = self._starts(self.position.epoch, i % self._per_epoch)
        return stream_batch(self.ids, starts, self.seq_len)

    def epochs(self) -> float:
        """The position as a number of epochs."""
        return self.position.epoch + self.position.batch / self._per_epoch

    def batches_per_epoch(self) -> int:
        return self._per_epoch
