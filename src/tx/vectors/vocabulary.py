"""A vocabulary of millions of words that is ready at once: the lines of a file, searched as bytes.

A Python dictionary of 3,000,000 words takes seconds and 400 MB to build, too much for a command that looks up
three words. The first lookups therefore search the bytes of the file; the dictionary is built only for many.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np

from tx.errors import TxError

_SCANS = 50  # number of lookups from which building the dictionary pays off


class UnknownWordError(TxError, KeyError):
    """A word that the vocabulary does not have; the hint suggests words with a similar spelling."""

    __str__ = Exception.__str__  # KeyError would quote the message


class Vocabulary(Sequence[str]):
    """The words of `text`, UTF-8 with one word on each line, numbered from 0.

    Raises ValueError if `text` is not UTF-8 or its last line has no line end.
    """

    def __init__(self, text: bytes) -> None:
        text.decode()
        if text and not text.endswith(b"\n"):
            raise ValueError("its last line is cut off")
        self._text = b"\n" + text
        self._ends = np.flatnonzero(np.frombuffer(self._text, np.uint8) == ord("\n"))
        self._scans = 0

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
        row = range(len(self))[row]  # counts negative numbers from the end, and raises IndexError
        return self._text[self._ends[row] + 1 : self._ends[row + 1]].decode()

    def __iter__(self) -> Iterator[str]:
        return iter(self[:])

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self.find(word) is not None

    def find(self, word: str) -> int | None:
        """The row of `word`, or None."""
        self._scans += 1
        if self._scans > _SCANS:
            return self._rows.get(word)
        if "\n" in word:
            return None
        # Command-line arguments that are not UTF-8 arrive as surrogates, whose bytes match no word.
        at = self._text.find(b"\n" + word.encode("utf-8", "surrogatepass") + b"\n")
        return int(np.searchsorted(self._ends, at)) if at >= 0 else None

    def similar_spellings(self, word: str, n: int = 3) -> list[str]:
        """At most `n` words within one edit (two for longer words), nearest first, then most frequent first.

        The edits are those of Damerau (1964): insert, delete, replace, or swap two neighbours. Case is ignored.
        """
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        limit = 1 if len(word) < 5 else 2
        found = process.extract(
            word.lower(), self._lowercase, scorer=OSA.distance, score_cutoff=limit, limit=None
        )
        nearest = sorted((distance, row) for _, distance, row in found if word)
        return [self[row] for _, row in nearest[:n]]

    def unknown_word(self, word: str, name: str) -> UnknownWordError:
        """The error for a word that is not in the vocabulary of the vectors called `name`."""
        *others, last = [f"'{known}'" for known in self.similar_spellings(word)] or [""]
        choices = f"{', '.join(others)} or {last}" if others else last
        return UnknownWordError(
            f"{name} has no vector for '{word}'",
            f"did you mean {choices}?" if choices else "only the words of the training text have vectors",
        )

    @cached_property
    def _rows(self) -> dict[str, int]:
        rows = range(len(self) - 1, -1, -1)  # of two equal words the first wins, as in a search of the bytes
        return dict(zip(reversed(self[:]), rows, strict=True))

    @cached_property
    def _lowercase(self) -> list[str]:
        return self._text[1:-1].decode().lower().split("\n")
