"""Word vectors in the formats of other tools, read row by row with all checks, and written for those tools.

    word2vec          "n_words dim", then "word 0.1 0.2 ..." on each line; fastText's .vec is the same
    word2vec-binary   "n_words dim", then each word, a space, and dim float32 numbers, little-endian
    glove             as word2vec, without the first line

Readers elsewhere stop at the number of rows that the header gives, use the second of two equal words, and accept
NaN as a number. Here each of these is an error that names the row; the reader stops, or skips the row if asked to.
Formats that are pickles are refused: reading one runs the code in it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from tx.errors import TxError
from tx.package import Package
from tx.text.lines import STDIN, LineWriter, open_input, read_errors
from tx.vectors.search import Matrix
from tx.vectors.store import NOT_IN_A_WORD, Block, write_blocks
from tx.vectors.word_vectors import WordVectors

Format = Literal["word2vec", "word2vec-binary", "glove", "fasttext"]

_ROWS = 1 << 12  # read or written at a time
_CHUNK = 1 << 22  # bytes
_HEADER = re.compile(rb"\s*(\d{1,15})\s+(\d{1,15})\s*")  # the numbers of words and of dimensions
_MAX_DIM = 1 << 20
_MAX_WORD = 1 << 16  # bytes; a file without a space for so long is not a list of words
_MAGIC = {
    b"\x80": ("a Python pickle", "in gensim: vectors.save_word2vec_format('vectors.bin', binary=True)"),
    b"PK": (
        "a zip archive",
        "unpack it; save a .npz or PyTorch file in the word2vec format with its own tool",
    ),
    b"\x1f\x8b": ("compressed by gzip", "give it a name that ends in .gz"),
    b"\xba\x16\x4f\x2f": ("a fastText model", "import the .vec file that fastText writes with it"),
}


@dataclass
class _Source:
    """A file of vectors, and what happens to its faulty rows."""

    name: str
    skip_bad: bool
    warn: Callable[[str], None]
    unit: str = ":"  # how a place in it is written: "FILE:12" for lines, "FILE: word 12" for words
    n_words: int | None = None  # as the header says
    dim: int = 0
    seen: dict[str, int] = field(default_factory=dict)  # words, and where they occurred first

    def fault(self, number: int | None, what: object) -> None:
        """Raise TxError for row `number`, or with `skip_bad` warn that it is skipped."""
        where = self.name if number is None else f"{self.name}{self.unit}{number}"
        if not self.skip_bad:
            raise TxError(f"{where}: {what}", "correct the file, or skip such rows with --skip-bad")
        self.warn(f"{where}: {what}" if number is None else f"{where}: {what}; skipped")

    def block(self, records: Iterable[tuple[int, bytes, Matrix | bytes]]) -> Block:
        """The words and rows of the correct records: number, word, and the vector or its numbers as text."""
        words, rows = [], []
        for number, raw, numbers in records:
            try:
                word = raw.decode()
                if not word or NOT_IN_A_WORD.search(word):
                    raise ValueError(f"{word!r} is not a word")
                row = _parse_numbers(word, numbers, self.dim) if isinstance(numbers, bytes) else numbers
                if not np.isfinite(row).all():
                    bad = row[~np.isfinite(row)][0]
                    raise ValueError(f"the vector of '{word}' contains {bad}, not a finite number")
                if (first := self.seen.setdefault(word, number)) != number:
                    raise ValueError(
                        f"the word '{word}' occurs twice, first in {self.name}{self.unit}{first}"
                    )
            except UnicodeDecodeError as error:
                self.fault(number, f"not UTF-8: {error.reason} at byte {error.start + 1}")
            except ValueError as error:
                self.fault(number, error)
            else:
                words.append(word)
                rows.append(row)
        return words, np.stack(rows) if rows else np.zeros((0, self.dim), np.float32)


def import_vectors(
    file: str | Path,
    output: str | Path,
    format: Format | None = None,
    *,
    skip_bad: bool = False,
    overwrite: bool = False,
    warn: Callable[[str], None] = lambda message: None,
    watch: Callable[[Iterable[Block]], Iterable[Block]] = lambda blocks: blocks,
) -> Package:
    """Write the vectors of `file` (`-` is stdin, `.gz` is unpacked) as a package; one block at a time is in memory.

    The format is detected from the content, unless it is given. Raises TxError that names file and line of the
    first faulty row; with `skip_bad`, `warn` receives a message for each instead. `watch` wraps the blocks, to
    show progress.
    """
    name = STDIN if str(file) == "-" else str(file)
    with open_input(file) as stream:
        blocks = read_rows(stream, name, format, skip_bad, warn)
        first = next(blocks, None)
        if first is None:
            raise TxError(f"{name} contains no vectors", "each line needs a word and its numbers")
        return write_blocks(
            output,
            watch(chain([first], blocks)),
            config={"dim": first[1].shape[1]},
            data={"imported": Path(name).name},
            overwrite=overwrite,
        )


def read_rows(
    stream: BinaryIO,
    name: str,
    format: Format | None = None,
    skip_bad: bool = False,
    warn: Callable[[str], None] = lambda message: None,
) -> Iterator[Block]:
    """Yield the words of an open file and their rows, in blocks. Raises TxError as `import_vectors` does."""
    with read_errors(name):
        first = stream.readline(_CHUNK).removeprefix(b"\xef\xbb\xbf")
        for magic, (what, hint) in _MAGIC.items():
            if first.startswith(magic):
                raise TxError(f"{name} is {what}, which tx does not read", hint)
        source = _Source(name, skip_bad, warn)
        header = None if format == "glove" else _HEADER.fullmatch(first)
        if header is None:
            if format not in (None, "glove"):
                raise TxError(f"{name}:1: a {format} file begins with the number of words and dimensions")
            source.dim = len(first.split()) - 1
            yield from _text_blocks(source, chain([first] if first else [], stream), 1)
            return
        source.n_words, source.dim = map(int, header.groups())
        if not 0 < source.dim <= _MAX_DIM:
            raise TxError(
                f"{name}:1: the header says {source.dim:,} dimensions; 1 to {_MAX_DIM:,} are possible"
            )
        head = stream.readline(_CHUNK)
        if format == "word2vec-binary" or (format is None and _is_binary(head, source.dim)):
            source.unit = ": word "
            records = _binary_records(source, stream, head)
            while block := list(islice(records, _ROWS)):
                yield source.block(block)
        else:
            yield from _text_blocks(source, chain([head] if head else [], stream), 2)


def _is_binary(head: bytes, dim: int) -> bool:
    """Whether the first row, up to the first line end, has its numbers as bytes instead of text."""
    numbers = head.partition(b" ")[2]
    fields = numbers.decode("latin-1").split()
    if len(fields) == dim and all(map(_is_number, fields)):
        return False
    unprintable = any(byte < 32 or byte > 126 for byte in numbers[: 4 * dim].rstrip(b"\r\n"))
    return unprintable or len(head.split()) < 2


def _text_blocks(source: _Source, lines: Iterator[bytes], start: int) -> Iterator[Block]:
    number = start
    while raw := [line.replace(b"\t", b" ").strip(b"\r\n") for line in islice(lines, _ROWS)]:
        parts = [line.partition(b" ") for line in raw]
        records = [(number + i, word, numbers) for i, (word, _, numbers) in enumerate(parts)]
        block = _parse_fast(source, records) or source.block(records)
        number += len(raw)
        if block[0]:
            yield block
    if source.n_words not in (None, number - start):
        source.fault(None, f"the header says {source.n_words:,} words, and the file has {number - start:,}")


def _parse_fast(source: _Source, records: Sequence[tuple[int, bytes, bytes]]) -> Block | None:
    """What `source.block` returns if no record is faulty, else None."""
    if not all(word and not numbers.isspace() for _, word, numbers in records):
        return None
    try:
        words = {word.decode(): number for number, word, _ in records}
        with np.errstate(over="ignore"):
            rows = np.loadtxt([numbers for *_, numbers in records], np.float32, comments=None, ndmin=2)
    except ValueError:
        return None
    if rows.shape != (len(words), source.dim) or not np.isfinite(rows).all() or source.seen.keys() & words:
        return None
    source.seen |= words
    return list(words), rows


def _parse_numbers(word: str, numbers: bytes, dim: int) -> Matrix:
    """The vector [dim] written after a word. Raises ValueError that says what is wrong with it."""
    fields = numbers.decode().split()
    extra = fields[: max(0, len(fields) - dim)]
    if not all(map(_is_number, extra)):
        raise ValueError(f"the word '{' '.join([word, *extra])}' contains a space")
    if len(fields) != dim:
        raise ValueError(f"'{word}' needs {dim:,} numbers and has {len(fields):,}")
    for text in fields:
        if not _is_number(text):
            raise ValueError(f"'{text}' in the vector of '{word}' is not a number")
    with np.errstate(over="ignore"):
        return np.array(fields, np.float64).astype(np.float32)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python accepts 1_000


def _binary_records(source: _Source, stream: BinaryIO, buffer: bytes) -> Iterator[tuple[int, bytes, Matrix]]:
    """Yield the number of each word, its bytes, and its row. Only word2vec.c ends rows with a line end."""
    at, width, n_words = 0, 4 * source.dim, source.n_words or 0
    for number in range(1, n_words + 1):
        while (end := buffer.find(b" ", at, at + _MAX_WORD)) < 0 or len(buffer) < end + 1 + width:
            if end < 0 and len(buffer) - at >= _MAX_WORD:
                raise TxError(f"{source.name}: word {number} has no end", "is this a binary word2vec file?")
            more = stream.read(_CHUNK)
            if not more:
                source.fault(None, f"the header says {n_words:,} words, and the file ends in word {number:,}")
                return
            buffer, at = buffer[at:] + more, 0
        yield number, buffer[at:end].removeprefix(b"\n"), np.frombuffer(buffer, "<f4", source.dim, end + 1)
        at = end + 1 + width
    if (buffer[at:] + stream.read(_MAX_WORD)).strip(b"\n"):
        source.fault(None, f"the file continues after the {n_words:,} words that its header says")


# --- writing ---


def export_vectors(vectors: WordVectors, output: Path, format: Format) -> None:
    """Write vectors for other tools, to stdout (`-`) or a file, compressed if its name ends in .gz.

    Each float32 reads back as the same value. Raises TxError for a word that the format cannot represent, or if
    the disk is full; an existing file then stays as it was.
    """
    with LineWriter(output) as writer:
        if format != "glove":
            writer.put(b"%d %d\n" % (len(vectors.words), vectors.dim))
        for start in range(0, len(vectors), _ROWS):
            words, rows = vectors.words[start : start + _ROWS], vectors.matrix[start : start + _ROWS]
            for word in words:
                if len(word.encode().split()) != 1:
                    raise TxError(
                        f"the word '{word}' contains white space, which ends a word in a {format} file"
                    )
            if format == "word2vec-binary":
                lines = [word.encode() + b" " + row.tobytes() for word, row in zip(words, rows, strict=True)]
            else:  # numpy writes the shortest number that reads back as the same float32
                texts = map(" ".join, rows.astype("U"))
                lines = [f"{word} {text}".encode() for word, text in zip(words, texts, strict=True)]
            writer.put(b"\n".join([*lines, b""]))
