"""A vocabulary of millions of words that costs nothing until it is asked: the lines of a file, as they stand.

A Python dictionary of 3,000,000 words takes seconds and 400 MB to build, for a command that looks up three.
Here a word is searched for in the bytes of the file, and only who asks for many gets the dictionary.
"""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

_SCANS = 50  # lookups by searching the text; from then on the dictionary pays


class Words(Sequence[str]):
    """The words of `text`, UTF-8 with one word on each line, numbered from 0.

    Raises ValueError if `text` is not UTF-8 or its last line has no end.
    """

    def __init__(self, text: bytes) -> None:
        text.decode()
        if text and not text.endswith(b"\n"):
            raise ValueError("its last line is cut off")
        self._text = b"\n" + text
        self._ends = np.flatnonzero(np.frombuffer(self._text, np.uint8) == ord("\n"))
        self._scans = 0
        self._rows: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            start, stop, step = row.indices(len(self))
            if step != 1 or start >= stop:
                return [self[index] for index in range(start, stop, step)]
            return self._text[self._ends[start] + 1 : self._ends[stop]].decode().split("\n")
        row = range(len(self))[row]  # counts from the end, and raises IndexError
        return self._text[self._ends[row] + 1 : self._ends[row + 1]].decode()

    def __iter__(self) -> Iterator[str]:
        return iter(self[:])

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self.find(word) is not None

    def find(self, word: str) -> int | None:
        """The row of `word`, or None."""
        if self._rows is None:
            self._scans += 1
            if self._scans <= _SCANS:
                return self._scan(word)
            rows = range(len(self) - 1, -1, -1)  # the first of two equal words wins, as in a scan
            self._rows = dict(zip(reversed(self[:]), rows, strict=True))
        return self._rows.get(word)

    def spans(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """The bytes of all words, and for each word where it starts in them and how long it is."""
        return np.frombuffer(self._text, np.uint8), self._ends[:-1] + 1, np.diff(self._ends) - 1

    def _scan(self, word: str) -> int | None:
        if "\n" in word:
            return None
        # What a shell passed that is not UTF-8 comes as surrogates, whose bytes match nothing.
        at = self._text.find(b"\n" + word.encode("utf-8", "surrogatepass") + b"\n")
        return int(np.searchsorted(self._ends, at)) if at >= 0 else None
