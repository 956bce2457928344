"""Tensors of a safetensors file as memory-mapped numpy arrays, and headers for files that are written in parts.

The safetensors library copies what it reads to memory, needs all data at once to write, and torch takes seconds to
import. A command that reads three rows of a matrix of gigabytes must avoid all of this. `tx.package.weights` has
checked the header.
"""

import json
import mmap
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.package.weights import BYTES, Tensor

HEADER = 512  # bytes; constant, so that a writer can reserve it
_NUMPY = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8"}


def pack_header(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """A header of exactly `HEADER` bytes for tensors (type and shape by name) in this order.

    Its size is constant, so that a writer who does not know the shapes yet can reserve it and fill it in last.
    """
    header, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        end = at + BYTES[dtype] * prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    return (HEADER - 8).to_bytes(8, "little") + json.dumps(header).encode().ljust(HEADER - 8)


def map_tensor(path: Path, tensor: Tensor) -> NDArray[Any]:
    """The tensor as a read-only memory-mapped array: data is read on access.

    bfloat16, which numpy does not have, is converted to float32. Raises TxError for other types.
    """
    if tensor.dtype not in (*_NUMPY, "BF16"):
        raise TxError(f"a tensor of {path} has the type {tensor.dtype}, which cannot be read here")
    dtype = np.dtype(_NUMPY.get(tensor.dtype, "<u2"))
    if tensor.size == 0:
        return np.empty(tensor.shape, dtype)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(mapped[:8], "little") + tensor.begin
    array = np.frombuffer(mapped, dtype, tensor.size, start).reshape(tensor.shape)
    return (array.astype("<u4") << 16).view("<f4") if tensor.dtype == "BF16" else array


def release(array: NDArray[Any]) -> None:
    """Release the pages of a mapped array; the next access finds them in the page cache."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
