"""Word vectors on disk: a model package of the task "vectors", written in one pass and read through a memory map.

    words.txt             one word on each line, most frequent first where the counts are known
    weights.safetensors   "vectors" [n_words, dim] float32, "norms" [n_words] float32, the Euclidean norms, and
                          "counts" [n_words] int64 where they are known

A query reads only the pages that it needs, from the page cache if they are there. With the norms stored, cosines
take one pass over the matrix instead of two.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tx.errors import TxError
from tx.package import WEIGHTS, Package, find_package, load_package, write_package
from tx.package.arrays import map_tensor, pack_header
from tx.package.manifest import damaged_file
from tx.text.load_tokenizer import open_tokenizer
from tx.vectors.search import Matrix, row_norms
from tx.vectors.vocabulary import Vocabulary
from tx.vectors.word_vectors import Counts, WordVectors

TASK = "vectors"
WORDS = "words.txt"
NOT_IN_A_WORD = re.compile("[\n\ud800-\udfff]")  # a line end, or half a character that cannot be encoded
_BLOCK = 1 << 14  # rows written at a time
_EMBEDDINGS = ("embedding.weight", "tgt_embedding.weight", "src_embedding.weight")

Block = tuple[Sequence[str], Matrix]  # words, and a row [dim] for each


# --- writing ---


def write_vectors(
    path: Path | str,
    words: Sequence[str],
    matrix: Matrix,
    counts: Sequence[int] | Counts | None = None,
    **options: Any,
) -> Package:
    """Write a package of `words` and their rows of `matrix` [n_words, dim]; `options` are those of `write_blocks`.

    Raises TxError if a word is empty, occurs twice or contains a line end, if a value is not finite, if there is
    a package already and `overwrite` is not given, or if the disk is full.
    """
    n_counts = len(words) if counts is None else len(counts)
    if matrix.ndim != 2 or not len(words) == len(matrix) == n_counts:
        raise ValueError(f"{len(words)} words, a matrix {list(matrix.shape)}, {n_counts} counts")
    if len(set(words)) < len(words):
        duplicate = next(word for word, n in Counter(words).items() if n > 1)
        raise TxError(f"the word '{duplicate}' occurs twice", "keep one vector for it")
    starts = range(0, len(words), _BLOCK)
    blocks = ((words[at : at + _BLOCK], matrix[at : at + _BLOCK]) for at in starts)
    return write_blocks(path, blocks, counts, **options)


def write_blocks(
    path: Path | str,
    blocks: Iterable[Block],
    counts: Sequence[int] | Counts | None = None,
    **options: Any,
) -> Package:
    """Write a package of rows as they arrive; no more than one block of them is in memory.

    `options` are `arch`, `config`, `data` and `overwrite` of `tx.package.write_package`. The caller ensures that
    no word occurs twice. Raises TxError as `write_vectors` does.
    """

    def fill(folder: Path) -> None:
        """Write the rows after a blank header, which is filled in when their number is known."""
        header: dict[str, tuple[str, tuple[int, ...]]] = {}
        norms: list[Matrix] = []
        dim = 0
        with (folder / WEIGHTS).open("wb") as weights, (folder / WORDS).open("wb") as lines:
            weights.write(pack_header({}))
            if counts is not None:
                weights.write(np.asarray(counts, "<i8").tobytes())
                header["counts"] = ("I64", (len(counts),))
            for words, rows in blocks:
                rows = np.ascontiguousarray(rows, "<f4")
                dim = rows.shape[1]
                _check(words, rows)
                lines.write("".join(f"{word}\n" for word in words).encode())
                weights.write(rows.tobytes())
                norms.append(row_norms(rows))
            n_words = sum(map(len, norms))
            if not n_words or not dim:
                hint = "a package needs at least one word and one dimension"
                raise TxError("there are no vectors to write", hint)
            for lengths in norms:
                weights.write(lengths.tobytes())
            weights.seek(0)
            header |= {"vectors": ("F32", (n_words, dim)), "norms": ("F32", (n_words,))}
            weights.write(pack_header(header))

    return write_package(path, fill, task=TASK, **options)


def _check(words: Sequence[str], rows: Matrix) -> None:
    """Raise TxError for a word or a row that a package cannot store."""
    for word in words:
        if not word or NOT_IN_A_WORD.search(word):
            raise TxError(f"{word!r} cannot be a word: it is empty or is not text on one line")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        word = words[int(finite.argmin())]
        raise TxError(f"the vector of '{word}' contains a value that is not a finite number")


# --- reading ---


def open_vectors(name: str | Path | None = None, side: str | None = None) -> WordVectors:
    """The vectors of the package called `name`, or in the folder `name`; without a name, the default for vectors.

    Of a package for another task, it is the embedding matrix, with the tokenizer's pieces as words (`side`: "src"
    or "tgt" where there are two). Raises TxError if there are none, or they are damaged.
    """
    if name is not None and Path(name).is_file():
        raise TxError(
            f"{name} is a file, and vectors are read from a package",
            f"import it once: tx models import {shlex.quote(str(name))} -o NAME",
        )
    return load_package(
        find_package(None if name is None else str(name), TASK),
        lambda package: read_vectors(package) if package.task == TASK else read_embedding(package, side),
    )


def read_vectors(package: Package) -> WordVectors:
    """The vectors of an opened package of the task. Raises TxError if the words and the matrix do not match."""
    where = package.file(WEIGHTS)
    tensor = package.tensors.get("vectors")
    if tensor is None or tensor.dtype != "F32" or len(tensor.shape) != 2:
        raise damaged_file(where, "it has no float32 matrix 'vectors'")
    try:
        words = Vocabulary(package.file(WORDS).read_bytes())
    except ValueError as error:
        raise damaged_file(package.file(WORDS), str(error)) from None
    if len(words) != tensor.shape[0]:
        raise damaged_file(package.file(WORDS), f"it has {len(words)} words for {tensor.shape[0]} vectors")
    columns: dict[str, Any] = {}
    for key, dtype in (("norms", "F32"), ("counts", "I64")):
        if found := package.tensors.get(key):
            if found.dtype != dtype or found.shape != (len(words),):
                raise damaged_file(where, f"the type or shape of '{key}' is wrong")
            columns[key] = map_tensor(where, found)
    matrix = map_tensor(where, tensor)
    norms = columns["norms"] if "norms" in columns else row_norms(matrix)
    return WordVectors(package.name, words, matrix, norms, columns.get("counts"))


def read_embedding(package: Package, side: str | None = None) -> WordVectors:
    """The embedding matrix of an opened package that has a tokenizer; `side` is "src" or "tgt" where it has two.

    The rows are those of the file, read without torch: before any scaling in the model, and without positions.
    Raises TxError if the package has no embedding matrix, or one for each side and `side` is not given.
    """
    names = [name for name in (f"{side}_embedding.weight", *_EMBEDDINGS) if name in package.tensors]
    if not names:
        raise TxError(
            f"{package.path} is a {package.task} package without word vectors or embeddings",
            "`tx models list` shows the installed packages",
        )
    tokenizer = open_tokenizer(package, side)
    where, tensor = package.file(WEIGHTS), package.tensors[names[0]]
    if len(tensor.shape) != 2 or tensor.shape[0] != len(tokenizer):
        raise damaged_file(where, f"{names[0]} does not have one row for each of the {len(tokenizer)} pieces")
    matrix = map_tensor(where, tensor).astype(np.float32)
    pieces = (tokenizer.piece(id).replace("\n", "\\n") for id in range(len(tokenizer)))
    return WordVectors.from_matrix(pieces, matrix, name=package.name)
