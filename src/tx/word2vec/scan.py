"""Words to numbers at the speed of a disk: the bytes of a text are read once, by code that numba compiles.

The same as `tx.word2vec.corpus.Encoder`, which is Python's own dictionary and four times slower. The
table is open addressing over the 64-bit FNV-1a hash (Fowler, Noll and Vo) of a word's bytes; words that share
a hash are told apart by their bytes.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from tx.word2vec.numba_cache import compiled, kept

_WORD, _SPACE, _PERHAPS = 0, 1, 2  # what a byte may belong to; the last begins some wide spaces
_KIND = np.zeros(256, np.uint8)
_KIND[[*range(9, 14), *range(28, 33)]] = _SPACE
_KIND[[0xC2, 0xE1, 0xE2, 0xE3]] = _PERHAPS


@compiled
def _wide_space(text: Any, at: int) -> int:
    """How many bytes the white space beyond ASCII at `at` has, 0 if there is none: as `str.isspace` has it."""
    left = len(text) - at
    first = text[at]
    if first == 0xC2:
        return 2 * int(left > 1 and (text[at + 1] == 0x85 or text[at + 1] == 0xA0))
    if left < 3:
        return 0
    second, third = text[at + 1], text[at + 2]
    if first == 0xE2 and second == 0x80:  # U+2000 to U+200A, U+2028, U+2029, U+202F
        return 3 * int(0x80 <= third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF)
    return 3 * int(
        (first == 0xE1 and second == 0x9A and third == 0x80)  # U+1680
        or (first == 0xE2 and second == 0x81 and third == 0x9F)  # U+205F
        or (first == 0xE3 and second == 0x80 and third == 0x80)  # U+3000
    )


@kept
def _scan(
    text: Any, at: int, slots: Any, hashes: Any, ends: Any, pool: Any, n_words: int, ids: Any
) -> tuple[int, int, int]:
    """Encode `text` from `at` on into `ids`, -1 at each line end, until its end or until a table is full.

    Word i is `pool[ends[i]:ends[i + 1]]`; `slots` holds i + 1 where its hash leads. Returns where it stopped,
    and the numbers of words and of ids.
    """
    mask, n = uint64(len(slots) - 1), 0
    while at < len(text):
        kind = _KIND[text[at]]
        wide = _wide_space(text, at) if kind == _PERHAPS else 0
        if kind == _SPACE or wide:
            if text[at] == 10:
                ids[n] = -1
                n += 1
            at += max(1, wide)
            continue
        start, code = at, uint64(0xCBF29CE484222325)
        while at < len(text):
            kind = _KIND[text[at]]
            if kind == _SPACE or (kind == _PERHAPS and _wide_space(text, at)):
                break
            code = (code ^ uint64(text[at])) * uint64(0x100000001B3)
            at += 1
        length = at - start
        slot = (code ^ (code >> uint64(32))) & mask
        while True:
            word = slots[slot] - 1
            if word < 0:
                if 2 * (n_words + 1) > len(slots) or ends[n_words] + length > len(pool):
                    return start, n_words, n
                for i in range(length):
                    pool[ends[n_words] + i] = text[start + i]
                ends[n_words + 1] = ends[n_words] + length
                hashes[n_words] = code
                word = n_words
                n_words += 1
                slots[slot] = n_words
                break
            if hashes[word] == code and ends[word + 1] - ends[word] == length:
                i, place = 0, ends[word]
                while i < length and text[start + i] == pool[place + i]:
                    i += 1
                if i == length:
                    break
            slot = (slot + uint64(1)) & mask
        ids[n] = word
        n += 1
    return at, n_words, n


@kept
def _fill(slots: Any, hashes: Any) -> None:
    """Enter all words, whose hashes are given, into empty `slots`."""
    mask = uint64(len(slots) - 1)
    for word in range(len(hashes)):
        slot = (hashes[word] ^ (hashes[word] >> uint64(32))) & mask
        while slots[slot]:
            slot = (slot + uint64(1)) & mask
        slots[slot] = word + 1


class ScanEncoder:
    """Gives words numbers in the order they first occur in."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.n_words = 0
        self._slots = np.zeros(1 << 16, np.int32)
        self._hashes, self._ends = np.zeros(1 << 15, np.uint64), np.zeros((1 << 15) + 1, np.int64)
        self._pool = np.zeros(1 << 20, np.uint8)
        self.encode("\n".join(words).encode())

    def encode(self, raw: bytes, text: str = "") -> NDArray[np.int32]:
        """The numbers of the words in a block, with -1 for each line end."""
        block = np.frombuffer(raw, np.uint8)
        parts, at = [], 0
        while at < len(block):
            ids = np.empty(len(block) - at, np.int32)
            at, self.n_words, n = _scan(
                block, at, self._slots, self._hashes, self._ends, self._pool, self.n_words, ids
            )
            parts.append(ids[:n].copy())
            if at < len(block):
                self._grow(len(block) - at)
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    def _grow(self, needed: int) -> None:
        if 2 * (self.n_words + 1) > len(self._slots):
            self._slots = np.zeros(2 * len(self._slots), np.int32)
            self._hashes = _longer(self._hashes, len(self._hashes))
            self._ends = _longer(self._ends, len(self._hashes) // 2)
            _fill(self._slots, self._hashes[: self.n_words])
        else:
            self._pool = _longer(self._pool, len(self._pool) + needed)

    def words(self) -> list[str]:
        """The words by their numbers."""
        ends, text = self._ends[: self.n_words + 1].tolist(), self._pool.tobytes()
        return [text[start:end].decode() for start, end in pairwise(ends)]


def _longer(array: NDArray[Any], n: int) -> NDArray[Any]:
    return np.concatenate((array, np.zeros(n, array.dtype)))
