"""Text of several lines to ids and back, and incremental decoding.

Generated text is printed while it is produced. But a piece may be a single byte of a character, or have a leading
space only if something precedes it, and so cannot be decoded alone.
"""

import codecs
import re
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Self

from tx.text.tokenizer import Tokenizer

BYTE = re.compile(r"(?:##)?<0x([0-9A-F]{2})>")  # the tokenizers' byte pieces


def last_line(ids: Sequence[int], tokenizer: Tokenizer) -> Sequence[int]:
    """The ids after the last `</s>`."""
    n = next((n for n, id in enumerate(reversed(ids)) if id == tokenizer.eos_id), len(ids))
    return ids[len(ids) - n :]


def encode_text(text: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of `text`, with `</s>` for each newline."""
    first, *rest = tokenizer.encode_batch(text.split("\n"))
    return [*first, *(id for line in rest for id in (tokenizer.eos_id, *line))]


def decode_text(ids: Iterable[int], tokenizer: Tokenizer) -> str:
    """The text of `ids`; each `</s>` is a newline."""
    lines: list[list[int]] = [[]]
    for id in ids:
        if id == tokenizer.eos_id:
            lines.append([])
        else:
            lines[-1].append(id)
    return "\n".join(map(tokenizer.decode, lines))


class IncrementalDecoder:
    """Decodes ids one at a time; the parts, joined, equal `decode_text` of all ids.

    `before` are the ids of the line that the first id continues.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._ids, self._shown = (
            list(before),
            len(before),
        )  # of the line; how many are decoded
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def copy(self) -> Self:
        """An independent copy."""
        twin = copy(self)
        twin._ids = list(self._ids)
        twin._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        twin._bytes.setstate(self._bytes.getstate())
        return twin

    def decode(self, id: int) -> str:
        """The text that `id` completes: '' while bytes of a character are missing."""
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
        """The remaining text; the next id begins a line."""
        rest = self._rest()
        self._ids, self._shown = [], 0
        self._bytes.reset()
        return rest

    def _rest(self) -> str:
        # Keep the last decoded pieces: the text of a piece depends on the piece before it.
        shown = self._tokenizer.decode(self._ids[: self._shown])
        rest = self._tokenizer.decode(self._ids)[len(shown) :]
        if rest:
            self._ids = self._ids[self._shown :]
            self._shown = len(self._ids)
        return rest
