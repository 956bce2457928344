"""Reading and writing lines of text.

A line ends at `\\n` and nowhere else. `str.splitlines`, text mode and csv readers also cut at form feeds, U+2028 or a
lone `\\r`, after which line n of one file no longer corresponds to line n of the other. Corpora are read strictly
(`read_lines`): input that is not text is an error. Pipes are read leniently and without waiting (`available_lines`):
one line of input gives one line of output, and a batch consists of the lines that have arrived, so that a file gives
full batches and a keyboard gets an immediate answer.
"""

import gzip
import os
import re
import select
import shlex
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Self, cast

from tx.errors import TxError
from tx.files import atomic_file, cannot_write, check_output

STDIN = "standard input"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_GZIP = b"\x1f\x8b"
_SEPARATORS = re.compile(
    "[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]"
)  # all characters at which some reader ends a line
_CHUNK = 1 << 16  # the capacity of a pipe


# -- reading ---------------------------------------------------------------------------------------


@contextmanager
def open_input(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes: `-` is stdin, `.gz` is decompressed. Raises TxError if it cannot be opened."""
    name = _name(path)
    if name == STDIN:
        if sys.stdin is None:
            raise TxError("standard input is closed", "give a file, or pipe text into the command")
        yield sys.stdin.buffer
        return
    with read_errors(name):
        file: Any = (gzip.open if name.endswith(".gz") else open)(path, "rb")
    with file:
        yield file


@contextmanager
def read_errors(name: str) -> Iterator[None]:
    """Turn errors of the operating system in reading a file into TxErrors."""
    try:
        yield
    except FileNotFoundError as error:
        raise TxError(
            f"there is no file {name}", "check the path; relative paths start at the current folder"
        ) from error
    except IsADirectoryError as error:
        raise TxError(f"{name} is a folder, not a text file", "name the files in it") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        if not _is_packed(name):
            raise TxError(
                f"{name} is not a gzip file, despite its name", "rename it, or compress it with gzip"
            ) from error
        raise TxError(
            f"{name} is damaged: {error}", "the gzip file is incomplete; download or write it again"
        ) from error
    except OSError as error:
        raise TxError(
            f"cannot read {name}: {error.strerror or error}", "check its permissions and the disk"
        ) from error


def _is_packed(name: str) -> bool:
    with suppress(OSError), Path(name).open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP
    return True  # unknown: it cannot be opened again


def _name(path: str | Path) -> str:
    return STDIN if str(path) == "-" else str(path)


def read_lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a corpus without line ends; `-` is stdin, `.gz` is decompressed.

    A byte order mark at the start and one `\\r` before each `\\n` are dropped. Raises TxError, with file and
    line, for input that is not UTF-8 text: another encoding, NUL bytes, lines that end in a lone `\\r`.
    """
    name = _name(path)
    with open_input(path) as file, read_errors(name):
        for number, raw in enumerate(file, start=1):
            if number == 1:
                raw = _check_start(raw, name)
            raw = raw.removesuffix(b"\n").removesuffix(b"\r")
            yield _decode(raw, name, number)


def read_blocks(path: str | Path, size: int = 1 << 20) -> Iterator[tuple[bytes, str]]:
    """Yield a corpus in blocks of about `size` bytes, as bytes and as text.

    A block ends after a line end or a space, so that lines may have any length. Raises TxError as `read_lines` does,
    and for a word of more than 64 blocks.
    """
    name = _name(path)
    with open_input(path) as file, read_errors(name):
        number, rest = 0, b""
        while block := file.read(size):
            block = rest + (block if number else _check_start(block, name))
            number = number or 1
            cut = max(block.rfind(b"\n", len(rest)), block.rfind(b" ", len(rest))) + 1
            if not cut and len(block) > 64 * size:
                raise TxError(
                    f"{name}:{number} has no space in {len(block):,} bytes", "words need spaces between them"
                )
            block, rest = block[:cut], block[cut:]
            if block:
                yield block, _decode(block, name, number)
            number += block.count(b"\n")
        if rest:
            yield rest, _decode(rest, name, number)


def _check_start(raw: bytes, name: str) -> bytes:
    """The first line or block without its byte order mark. Raises TxError if the input is not UTF-8 text."""
    if raw.startswith(_GZIP):
        raise _packed(name)
    if _is_utf16(raw):
        raise TxError(
            f"{name} is UTF-16 (or UTF-32), not UTF-8",
            f"convert it: iconv -f utf-16 -t utf-8 {_shown(name)} > utf8.txt",
        )
    if b"\r" in raw.removesuffix(b"\r") and b"\n" not in raw:
        raise TxError(
            f"the lines of {name} end in a lone carriage return, not in a newline",
            f"convert it: tr '\\r' '\\n' < {_shown(name)} > unix.txt",
        )
    return raw.removeprefix(_BOM)


def _decode(raw: bytes, name: str, number: int) -> str:
    """The text of `raw`, lines from `number` on. Raises TxError, with the line, if it is not UTF-8 text."""
    if (at := raw.find(b"\0")) >= 0:
        line = number + raw.count(b"\n", 0, at)
        raise TxError(
            f"{name}:{line} contains a NUL byte, which is not text",
            f"if the rest is text, remove them: tr -d '\\000' < {_shown(name)} > clean.txt",
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = number + raw.count(b"\n", 0, error.start)
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise TxError(
            f"{name}:{line} is not UTF-8: {error.reason} at byte {column}",
            f"if it comes from Windows or is Latin-1, convert it: iconv -f cp1252 -t utf-8 {_shown(name)} > utf8.txt",
        ) from error


def _packed(name: str) -> TxError:
    return TxError(
        f"{name} is gzip-compressed, and its name does not end in .gz",
        "decompress it (gunzip -c FILE.gz | tx ...), or rename the file to end in .gz",
    )


def _shown(name: str) -> str:
    return "FILE" if name == STDIN else shlex.quote(name)


def _is_utf16(start: bytes) -> bool:
    sample = start[:1000]
    return sample.startswith(_UTF16) or sample.count(b"\0") * 3 > len(sample) > 1


def available_lines(
    stream: BinaryIO, max_lines: int, warn: Callable[[str], None] = lambda message: None
) -> Iterator[list[str]]:
    """Yield the lines available on `stream` in batches of at most `max_lines`; wait only if there is none.

    A last line without `\\n` counts. Invalid UTF-8 is replaced by U+FFFD, and `warn` called for the first such line.
    Raises TxError for gzip-compressed input.
    """
    number = 0
    warned = False
    for batch in _arrived_bytes(stream, max_lines):
        lines: list[str] = []
        for raw in batch:
            number += 1
            if number == 1:
                if raw.startswith(_GZIP):
                    raise _packed("the input")
                raw = raw.removeprefix(_BOM)
            raw = raw.removesuffix(b"\r")
            try:
                lines.append(raw.decode("utf-8"))
            except UnicodeDecodeError:
                lines.append(raw.decode("utf-8", "replace"))
                if not warned:
                    warn(f"line {number} is not valid UTF-8; what cannot be read becomes U+FFFD")
                    warned = True
        yield lines


def _arrived_bytes(stream: BinaryIO, max_lines: int) -> Iterator[list[bytes]]:
    with read_errors(str(getattr(stream, "name", "the input"))):
        if isinstance(stream, BufferedReader) and isinstance(stream.raw, FileIO):
            yield from _live_batches(stream.fileno(), max_lines)
        else:  # a gzip file or a stream in memory never blocks
            while batch := [raw.removesuffix(b"\n") for raw in islice(stream, max_lines)]:
                yield batch


def _live_batches(descriptor: int, max_lines: int) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    tail: list[bytes] = []  # parts of an incomplete line
    while chunk := os.read(descriptor, _CHUNK):
        first, *rest = chunk.split(b"\n")
        tail.append(first)
        if rest:
            lines += [b"".join(tail), *rest[:-1]]
            tail = [rest[-1]]
        while len(lines) >= max_lines:
            yield lines[:max_lines]
            del lines[:max_lines]
        if lines and not select.select([descriptor], [], [], 0)[0]:
            yield lines
            lines = []
    if last := b"".join(tail):
        lines.append(last)
    if lines:
        yield lines


# -- writing ---------------------------------------------------------------------------------------


class LineWriter:
    """Writes one line per item to stdout (`-`), a file, or a `.gz` file, and flushes after each batch.

    A file is written to a temporary file and renamed when the `with` block ends without an error. Line separators in
    an item are replaced by spaces; with `exact` only `\\n` is. Raises TxError if stdout is closed or the disk full,
    and immediately if `path` is a folder or in a folder that does not exist; BrokenPipeError is passed on.
    """

    def __init__(self, path: str | Path = "-", exact: bool = False) -> None:
        self._path = Path(path)
        self._exact = exact
        if str(path) != "-":
            check_output(self._path)
        self._output = _open_output(self._path)

    def __enter__(self) -> Self:
        self._file = self._output.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._output.__exit__(kind, error, trace)

    def write(self, items: Iterable[str]) -> None:
        """Write a batch of lines and flush them."""
        if self._exact:
            lines = [item.replace("\n", " ") for item in items]
        else:
            lines = [_SEPARATORS.sub(" ", item) for item in items]
        if lines:
            self.write_part("\n".join(lines) + "\n")

    def write_part(self, text: str) -> None:
        """Write text unchanged, a part of a line or several lines, and flush it."""
        self.put(text.encode("utf-8", "replace"))

    def put(self, data: bytes) -> None:
        """Write bytes and flush them."""
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            stdout = str(self._path) == "-"
            if stdout:
                _discard_stdout()
            if isinstance(error, BrokenPipeError):
                raise
            raise cannot_write(Path("standard output") if stdout else self._path, error) from error


@contextmanager
def _open_output(path: Path) -> Iterator[IO[Any]]:
    if str(path) == "-":
        if sys.stdout is None:
            raise TxError("standard output is closed", "send it somewhere, or write a file with -o FILE")
        sys.stdout.flush()
        yield sys.stdout.buffer
    elif path.exists() and not path.is_file():  # a device or a named pipe is not replaced
        try:
            with path.open("wb") as device:
                yield device
        except BrokenPipeError:
            raise
        except OSError as error:
            raise cannot_write(path, error) from error
    else:
        with atomic_file(path.resolve()) as file:
            if path.suffix != ".gz":
                yield file
            else:
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                    yield cast(IO[Any], packed)


def _discard_stdout() -> None:
    """Redirect stdout to the null device: flushing its buffer at exit would fail again."""
    with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
