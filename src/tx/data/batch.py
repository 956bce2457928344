"""Batches of sentence pairs as padded tensors.

Shape letters: B sentence pairs, S source length, T target length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor


class Tensors:
    """Base of dataclasses whose tensors move between devices together."""

    def to(self, device: torch.device) -> Self:
        """A copy on `device`, transferred asynchronously."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin(self) -> Self:
        """A copy in page-locked memory, from which transfers to a GPU are asynchronous."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        values = {field.name: getattr(self, field.name) for field in fields(cast(Any, self))}
        moved: dict[str, Any] = {n: change(value) for n, value in values.items() if isinstance(value, Tensor)}
        return replace(cast(Any, self), **moved)  # type: ignore[no-any-return]


@dataclass
class Batch(Tensors):
    """Sentence pairs. Every source ends in `</s>`; `tgt_in` starts with `<pad>`; padding is at the end.

    `tgt_out` lists the target tokens to predict, without padding: `tgt_out[i]` follows the flat position
    `tgt_positions[i]` of `tgt_in`. For decoding only the source matters.
    """

    src: Tensor  # [B, S]
    tgt_in: Tensor  # [B, T]
    tgt_out: Tensor  # [n_tokens]
    tgt_positions: Tensor  # [n_tokens], indexes into B * T
    n_tokens: int  # target tokens, </s> included
    n_src_tokens: int


Ids = Sequence[int] | np.ndarray


def lengths(rows: Sequence[Any]) -> np.ndarray:
    """The length of each row, `[n]`."""
    return np.fromiter(map(len, rows), np.int64, len(rows))


def _pad(rows: Sequence[Ids], pad_id: int, width: int) -> np.ndarray:
    out = np.full((len(rows), width), pad_id, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def make_batch(
    src: Sequence[Ids], tgt: Sequence[Ids] | None, src_pad_id: int, tgt_pad_id: int, eos_id: int = 0
) -> Batch:
    """A batch of `src` and `tgt`, ids without `</s>`; with `tgt` None a batch for decoding."""
    src_lengths = lengths(src)
    src_array = _pad(src, src_pad_id, int(src_lengths.max()) + 1)
    src_array[np.arange(len(src)), src_lengths] = eos_id
    tgt = [()] * len(src) if tgt is None else tgt
    tgt_lengths = lengths(tgt)
    width = int(tgt_lengths.max()) + 1
    tgt_array = _pad(tgt, tgt_pad_id, width)  # [B, T]
    tgt_in = np.full_like(tgt_array, tgt_pad_id)
    tgt_in[:, 1:] = tgt_array[:, :-1]
    tgt_array[np.arange(len(tgt)), tgt_lengths] = eos_id
    positions = np.flatnonzero((np.arange(width) <= tgt_lengths[:, None]).ravel())
    return Batch(
        src=torch.from_numpy(src_array),
        tgt_in=torch.from_numpy(tgt_in),
        tgt_out=torch.from_numpy(tgt_array.ravel()[positions]),
        tgt_positions=torch.from_numpy(positions),
        n_tokens=len(positions),
        n_src_tokens=int(src_lengths.sum()) + len(src),
    )
