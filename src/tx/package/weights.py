"""Reading and checking the header of a safetensors file, without reading, mapping or allocating a tensor.

The format (https://github.com/huggingface/safetensors): eight bytes of header length, little-endian; a JSON object
from tensor name to dtype, shape and offsets; the data. The tensors must fill the data without gaps or overlaps.

safetensors' own `safe_open` is not used: it opens a path, not the verified file descriptor, accepts duplicate keys
and unknown entries, and returns no offsets, which `tx.package.arrays` needs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tx.package.manifest import damaged_file, parse_json

MAX_HEADER = 100_000_000  # the limit of the format itself
BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


@dataclass(frozen=True)
class Tensor:
    """The header entry of one tensor."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size(self) -> int:
        """The number of elements."""
        return (self.end - self.begin) // BYTES[self.dtype]


def read_header(file: IO[bytes], size: int, where: Path) -> dict[str, Tensor]:
    """The checked header of an open safetensors file of `size` bytes. Raises TxError before anything is allocated."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, MAX_HEADER):
        raise damaged_file(where, "it is not a safetensors file")
    header = parse_json(file.read(length), where)
    if not isinstance(header, dict) or not isinstance(header.pop("__metadata__", {}), dict):
        raise damaged_file(where, "its header is not an object")
    data = size - 8 - length
    tensors = {name: _tensor(name, entry, data, where) for name, entry in header.items()}
    position = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != position:
            raise damaged_file(where, "its tensors overlap or leave a gap")
        position = tensor.end
    if position != data:
        raise damaged_file(where, "its tensors do not fill it")
    return tensors


def _tensor(name: str, entry: Any, data: int, where: Path) -> Tensor:
    """Check one entry; `data` is the number of bytes after the header."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise damaged_file(where, f"the entry of tensor {name!r} is malformed")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise damaged_file(where, f"tensor {name!r} has the unknown type {dtype!r}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise damaged_file(where, f"the shape or place of tensor {name!r} is malformed")
    begin, end = offsets
    needed = BYTES[dtype]
    for length in sorted(shape):  # zeros first, so that no product becomes much larger than the file
        needed *= length
        if needed > data:
            break
    if not begin <= end <= data or needed != end - begin:
        raise damaged_file(where, f"tensor {name!r} claims a shape that its {data} bytes of data cannot hold")
    return Tensor(dtype, tuple(shape), begin, end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
