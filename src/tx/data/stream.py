"""Running text for language models: one stream of tokens on disk, and batches cut from it.

A stream consists of the lines of a text, each followed by `</s>` for the newline. It is encoded once and mapped into
memory like a parallel corpus. Recurrent models are trained on contiguous streams, where each batch continues the one
before (truncated back-propagation through time, Werbos 1990), other models on windows in random order.

Shape letters: B rows of a batch, T tokens of each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tx.data.batch import Tensors
from tx.data.corpus import cached_folder, fingerprint, map_in_processes
from tx.data.sampler import WindowSampler, permute
from tx.errors import TxError
from tx.text.lines import read_lines
from tx.text.tokenizer import Tokenizer

CHUNK = 1 << 22  # characters that one process encodes at a time
CUT = 1 << 16  # a line longer than this is encoded in parts
IDS = "stream.ids"

Part = tuple[str, bool]  # a part of a line, and whether the line ends with it

# -- on disk ---------------------------------------------------------------------------------------


def encode_stream(paths: Sequence[str], tokenizer: Tokenizer, cache: Path) -> np.ndarray:
    """The ids `[n]` of the texts `paths`, concatenated, encoded into `cache` unless they are there already.

    Raises TxError if a file cannot be read.
    """

    def encode(folder: Path) -> None:
        single = tokenizer.kind == "alphabet"  # one look-up per character is faster than starting processes
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
    """Cut a long line, if possible at spaces; tokenizers restore the space, unless the parts are just `joined`."""
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
    """B rows of text of equal length, and for each token the next one.

    Each row continues the same row of the batch before, unless the batch is `fresh`.
    """

    tokens: Tensor  # [B, T]
    targets: Tensor  # [B, T]
    fresh: bool = True
    n_src_tokens: int = field(default=0, init=False)  # there is no source

    @property
    def n_tokens(self) -> int:
        return self.targets.numel()


def stream_batch(ids: np.ndarray, starts: np.ndarray, length: int, fresh: bool = True) -> StreamBatch:
    """The rows of `ids` that begin at `starts` `[B]` and have `length` tokens, and for each token the next one."""
    rows = torch.from_numpy(ids[starts[:, None] + np.arange(length + 1)].astype(np.int64))
    return StreamBatch(rows[:, :-1], rows[:, 1:], fresh)


def contiguous_batches(ids: np.ndarray, batch_size: int, seq_len: int) -> Iterator[StreamBatch]:
    """`ids` `[n]` as `batch_size` contiguous streams, in batches of at most `seq_len` tokens per row.

    The first token is never a target, and up to `batch_size` tokens at the end are omitted for equal lengths.
    """
    length = (len(ids) - 1) // batch_size
    for at in range(0, length, seq_len):
        starts = np.arange(batch_size) * length + at
        yield stream_batch(ids, starts, min(seq_len, length - at), fresh=at == 0)


class StreamSampler(WindowSampler):
    """Batches of a stream; an epoch is one window of the sampler.

    With `contiguous` an epoch reads `batch_size` equal parts of the text in parallel: each batch continues the one
    before. Otherwise it cuts the text into windows, with a different offset in each epoch, and visits them in random
    order. Offset and order depend only on (seed, epoch).
    """

    n_windows = 1

    def __init__(
        self, ids: np.ndarray, batch_size: int, seq_len: int, seed: int, contiguous: bool = False
    ) -> None:
        super().__init__()
        self.ids, self.batch_size, self.seq_len, self.seed = ids, batch_size, seq_len, seed
        self.contiguous = contiguous
        self._length = (len(ids) - 1) // batch_size  # of a contiguous stream
        self._n_cuts = (len(ids) - seq_len) // seq_len
        self._per_epoch = self._length // seq_len if contiguous else self._n_cuts // batch_size
        if self._per_epoch < 1:
            raise TxError(
                f"{len(ids):,} tokens of training text are too few for a batch of {batch_size} x {seq_len}",
                "give more text, or a smaller --batch-size or --seq-len",
            )

    def _load(self, epoch: int, window: int) -> range:
        self._key = self.seed * 1_000_003 + epoch
        self._offset = int(np.random.default_rng([self.seed, epoch]).integers(self.seq_len))
        return range(self._per_epoch)

    def _batch(self, index: int) -> StreamBatch:
        rows = np.arange(self.batch_size)
        if self.contiguous:
            starts = rows * self._length + index * self.seq_len
        else:
            places = permute(index * self.batch_size + rows, self._n_cuts, self._key)
            starts = places * self.seq_len + self._offset
        return stream_batch(self.ids, starts, self.seq_len, fresh=not self.contiguous or index == 0)

    def peek(self, i: int) -> StreamBatch:
        """As in the base class, but always `fresh`."""
        return replace(super().peek(i), fresh=True)  # type: ignore[no-any-return]
