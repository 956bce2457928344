"""Running text and its ids: lines with `</s>` between them, and text that appears piece by piece.

A text is shown while it is made, but a piece need not be text by itself: it may be one byte of a character, or
have a space in front only where something stands before it.
"""

import codecs
import re
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Self

from tx.text.tokenizer import Tokenizer

BYTE = re.compile(r"(?:##)?<0x([0-9A-F]{2})>")  # how tokenizers write a single byte


def last_line(ids: Sequence[int], tokenizer: Tokenizer) -> Sequence[int]:
    """The ids behind the last `</s>`."""
    n = next((n for n, id in enumerate(reversed(ids)) if id == tokenizer.eos_id), len(ids))
    return ids[len(ids) - n :]


def encode_text(text: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of `text`, in which `</s>` stands for each newline; there is none at the end of the last line."""
    first, *rest = tokenizer.encode_batch(text.split("\n"))
    return [*first, *(id for line in rest for id in (tokenizer.eos_id, *line))]


def decode_text(ids: Iterable[int], tokenizer: Tokenizer) -> str:
    """The text that `ids` spell; each `</s>` is a newline."""
    lines: list[list[int]] = [[]]
    for id in ids:
        if id == tokenizer.eos_id:
            lines.append([])
        else:
            lines[-1].append(id)
    return "\n".join(map(tokenizer.decode, lines))


class IncrementalDecoder:
    """Turns ids into text one by one; what comes out, joined, is what `decode_text` makes of all of them.

    `before` is the beginning of the line that the ids go on with.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._ids, self._shown = list(before), len(before)  # of the line's end, and how many of these are out
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def copy(self) -> Self:
        """The same text once more, to be gone on with in another way."""
        twin = copy(self)
        twin._ids = list(self._ids)
        twin._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        twin._bytes.setstate(self._bytes.getstate())
        return twin

    def decode(self, id: int) -> str:
        """The text that `id` completes: nothing while a character still lacks bytes."""
        if id == self._tokenizer.eos_id:
            return self.flush() + "\n"
        self._ids.append(id)
        if byte := BYTE.fullmatch(self._tokenizer.piece(id)):
            self._bytes.decode(bytes.fromhex(byte[1]))
            if self._bytes.getstate()[0]:
                return ""
        else:
            self._bytes.reset()
        return self._rest()

    def flush(self) -> str:
        """The text of what is still held back; the next id begins a line."""
        rest = self._rest()
        self._ids, self._shown = [], 0
        self._bytes.reset()
        return rest

    def _rest(self) -> str:
        # The pieces shown last stay in front: how a piece reads depends on there being one before it.
        shown = self._tokenizer.decode(self._ids[: self._shown])
        rest = self._tokenizer.decode(self._ids)[len(shown) :]
        if rest:
            self._ids = self._ids[self._shown :]
            self._shown = len(self._ids)
        return rest
