"""Word vectors on disk: a model package of the task "vectors", written in one pass and read without loading it.

    words.txt             one word on each line, most frequent first where that is known
    weights.safetensors   "vectors" [n_words, dim] float32, "norms" [n_words] float32, the Euclidean lengths,
                          and "counts" [n_words] int64 where they are known

The matrix is mapped into memory: a query reads the pages it needs, from the page cache if they are there. The
lengths are kept beside it, so that a cosine takes one pass over the matrix instead of two.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.package import WEIGHTS, Package, write_package
from tx.package.arrays import map_tensor, pack_header
from tx.package.manifest import damaged
from tx.vectors.words import Words

TASK = "vectors"
WORDS = "words.txt"
NO_WORD = re.compile("[\n\ud800-\udfff]")  # a line end, or half a character that has no bytes
_BLOCK = 1 << 14  # rows written at a time

Matrix = NDArray[np.float32]
Counts = NDArray[np.int64]
Block = tuple[Sequence[str], Matrix]  # words, and a row [dim] for each


@dataclass(frozen=True)
class WordVectors:
    """Words, and a row of the matrix for each of them."""

    name: str
    words: Words
    matrix: Matrix  # [n_words, dim], mapped and read-only where it comes from a package
    norms: Matrix  # [n_words]
    counts: Counts | None = None

    @classmethod
    def of(cls, words: Iterable[str], matrix: Matrix, counts: Counts | None = None, name: str = "") -> Self:
        """Vectors that are in memory already."""
        text = "".join(f"{word}\n" for word in words).encode()
        return cls(name, Words(text), matrix, _lengths(matrix), counts)

    @property
    def dim(self) -> int:
        return int(self.matrix.shape[1])

    def find(self, word: str) -> int | None:
        """The row of `word`, or of the piece that begins a word so, or None."""
        row = self.words.find(word)
        return row if row is not None else self.words.find("\u2581" + word)

    def unit(self, rows: Sequence[int] | NDArray[np.int64]) -> Matrix:
        """The vectors of `rows`, divided by their lengths; a vector of zeros stays one."""
        chosen = np.asarray(rows, dtype=np.int64)
        norms = self.norms[chosen]
        norms[norms == 0] = 1
        return self.matrix[chosen] / norms[:, None]


def _lengths(rows: Matrix) -> Matrix:
    """The Euclidean length of each row; squared in float64, where nothing overflows or vanishes."""
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    return np.sqrt(squares, dtype=np.float64).astype(np.float32)


def write_vectors(
    path: Path | str,
    words: Sequence[str],
    matrix: Matrix,
    counts: Sequence[int] | Counts | None = None,
    *,
    arch: str | None = None,
    config: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Package:
    """Write a package of `words` and their rows of `matrix` [n_words, dim], and `counts` of them if known.

    Raises TxError if a word is empty, occurs twice or holds a line end, if a value is not finite, if there is
    a package already and `overwrite` is not given, or if the disk is full.
    """
    if (
        matrix.ndim != 2
        or len(words) != len(matrix)
        or len(counts if counts is not None else words) != len(words)
    ):
        shapes = f"{len(words)} words, a matrix {list(matrix.shape)}"
        raise ValueError(f"{shapes}, {'no' if counts is None else len(counts)} counts")
    if len(set(words)) < len(words):
        twice = next(word for word, n in Counter(words).items() if n > 1)
        raise TxError(f"the word '{twice}' occurs twice", "keep one vector for it")
    starts = range(0, len(words), _BLOCK)
    blocks = ((words[at : at + _BLOCK], matrix[at : at + _BLOCK]) for at in starts)
    return write_blocks(path, blocks, counts, arch=arch, config=config, data=data, overwrite=overwrite)


def write_blocks(
    path: Path | str,
    blocks: Iterable[Block],
    counts: Sequence[int] | Counts | None = None,
    *,
    arch: str | None = None,
    config: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Package:
    """Write a package of rows as they come; never more of them than one block is in memory.

    No word may come twice, which the caller has to see to. Raises TxError as `write_vectors` does.
    """

    def fill(folder: Path) -> None:
        _write(folder, blocks, None if counts is None else np.asarray(counts, "<i8"))

    return write_package(
        path, fill, overwrite=overwrite, task=TASK, arch=arch, config=config or {}, data=data or {}
    )


def _write(folder: Path, blocks: Iterable[Block], counts: Counts | None) -> None:
    """Write the rows behind a blank header, which is filled in when their number is known."""
    norms: list[Matrix] = []
    dim = 0
    with (folder / WEIGHTS).open("wb") as weights, (folder / WORDS).open("wb") as lines:
        weights.write(pack_header({}))
        if counts is not None:
            weights.write(counts.tobytes())
        for words, rows in blocks:
            rows = np.ascontiguousarray(rows, "<f4")
            dim = rows.shape[1]
            _check(words, rows)
            lines.write("".join(f"{word}\n" for word in words).encode())
            weights.write(rows.tobytes())
            norms.append(_lengths(rows))
        n_words = sum(map(len, norms))
        if not n_words or not dim:
            raise TxError(
                "there are no vectors to write", "a package holds one word or more, and one dimension"
            )
        for lengths in norms:
            weights.write(lengths.tobytes())
        weights.seek(0)
        first = {} if counts is None else {"counts": ("I64", (n_words,))}
        weights.write(
            pack_header({**first, "vectors": ("F32", (n_words, dim)), "norms": ("F32", (n_words,))})
        )


def _check(words: Sequence[str], rows: Matrix) -> None:
    """Raise TxError for a word or row that no package can hold."""
    for word in words:
        if not word or NO_WORD.search(word):
            raise TxError(f"{word!r} cannot be a word: it is empty, or not text on one line")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise TxError(
            f"the vector of '{words[int(finite.argmin())]}' holds a value that is not a finite number"
        )


def read_vectors(package: Package) -> WordVectors:
    """The vectors of an opened package of the task. Raises TxError where words and matrix do not fit."""
    where = package.file(WEIGHTS)
    tensor = package.tensors.get("vectors")
    if tensor is None or tensor.dtype != "F32" or len(tensor.shape) != 2:
        raise damaged(where, "it holds no float32 matrix 'vectors'")
    try:
        words = Words(package.file(WORDS).read_bytes())
    except ValueError as error:
        raise damaged(package.file(WORDS), str(error)) from None
    if len(words) != tensor.shape[0]:
        raise damaged(package.file(WORDS), f"it has {len(words)} words for {tensor.shape[0]} vectors")
    beside: dict[str, Any] = {}
    for key, dtype in (("norms", "F32"), ("counts", "I64")):
        found = package.tensors.get(key)
        if found is not None and (found.dtype != dtype or found.shape != (len(words),)):
            raise damaged(where, f"the type or shape of '{key}' is wrong")
        beside[key] = map_tensor(where, found) if found is not None else None
    matrix = map_tensor(where, tensor)
    norms = beside["norms"] if beside["norms"] is not None else _lengths(matrix)
    return WordVectors(package.name, words, matrix, norms, beside["counts"])
