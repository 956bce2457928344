"""Words spelled like an unknown one, found among millions in a fraction of a second.

The distance is the restricted Damerau-Levenshtein one (Damerau 1964: insert, delete, replace, or swap two
neighbours), computed for all words of similar length at once: one numpy array for each cell of the usual
table. It counts bytes, so that an accent may count twice, and takes capitals A to Z for small letters.
"""

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.vectors.words import Words

_LONGEST = 64  # bytes; nobody mistypes a longer word


def unknown_word(word: str, words: Words, where: str) -> TxError:
    """The error for a word that the vocabulary lacks, with what may have been meant."""
    near = [f"'{found}'" for found in near_words(word, words)]
    choices = " or ".join([", ".join(near[:-1]), near[-1]] if len(near) > 1 else near)
    return TxError(
        f"{where} has no vector for '{word}'",
        f"did you mean {choices}?" if near else "only words that it was trained on have one",
    )


def near_words(word: str, words: Words, n: int = 3) -> list[str]:
    """At most `n` words that differ from `word` by one or two letters, nearest first, then most frequent first."""
    wanted = np.frombuffer(word.encode("utf-8", "replace").lower(), np.uint8)
    if not 0 < len(wanted) <= _LONGEST:
        return []
    limit = 1 if len(wanted) < 5 else 2
    text, starts, lengths = words.spans()
    rows = np.flatnonzero(np.abs(lengths - len(wanted)) <= limit)
    if not len(rows):
        return []
    starts, lengths = starts[rows], lengths[rows]
    place = np.minimum(np.arange(int(lengths.max()))[:, None] + starts, len(text) - 1)  # [L, words]
    letters = text[place]
    letters += np.uint8(32) * ((letters >= ord("A")) & (letters <= ord("Z")))
    distances = _distances(wanted, letters)[lengths, np.arange(len(rows))]
    best = np.lexsort((rows, distances))[:n]
    return [words[int(rows[at])] for at in best if distances[at] <= limit]


def _distances(wanted: NDArray[np.uint8], letters: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The distance of `wanted` from the first l of `letters` [L, words], for each l: [L + 1, words]."""
    n_letters, n_words = letters.shape
    before = row = np.repeat(np.arange(n_letters + 1, dtype=np.int8)[:, None], n_words, axis=1)
    for i in range(len(wanted)):
        two_before, before, row = before, row, np.empty_like(row)
        row[0] = i + 1
        for j in range(n_letters):
            replaced = before[j] + (letters[j] != wanted[i])
            np.minimum(np.minimum(row[j], before[j + 1]) + np.int8(1), replaced, out=row[j + 1])
            if i and j:
                is_swap = (letters[j] == wanted[i - 1]) & (letters[j - 1] == wanted[i])
                np.minimum(row[j + 1], two_before[j - 1] + 1, out=row[j + 1], where=is_swap)
    return row
