"""Phrases: pairs of words joined by an underscore, as in new_york (Mikolov et al. 2013, section 4).

A pair is joined if it occurs more often than expected by chance, by the score of the paper as word2vec.c's
word2phrase scales it: (count(ab) - min_count) / (count(a) count(b)) times the number of words in the text.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Counts = NDArray[np.int64]
_READ = 1 << 20  # ids read at a time
_MERGE = 1 << 23  # pairs collected before equal ones are counted


def join_phrases(
    path: Path, words: list[str], counts: Counts, min_count: int, threshold: float
) -> tuple[list[str], Counts]:
    """Rewrite the ids at `path` with each pair that scores above `threshold` as one id, from left to right.

    A word is part of one phrase at most. Returns all words, and how often each occurs now.
    """
    pairs, pair_counts = count_pairs(path, counts >= min_count)
    first, second = np.divmod(pairs, len(words))
    score = (pair_counts - min_count) / counts[first] / counts[second] * counts.sum()
    joined = pairs[score > threshold]  # sorted, as `pairs` are
    known = {word: i for i, word in enumerate(words)}
    ids_of_joined = np.empty(len(joined), np.int32)
    for i, pair in enumerate(joined.tolist()):
        a, b = divmod(pair, len(words))
        # A word of the text may already be spelled like the phrase.
        ids_of_joined[i] = known.setdefault(f"{words[a]}_{words[b]}", len(known))
    counts = np.zeros(len(known), np.int64)
    result = path.with_name(path.name + "-joined")
    rest = np.empty(0, np.int32)  # the last word of a block, which may be the first of a pair
    with path.open("rb") as source, result.open("wb") as file:
        while True:
            new = np.fromfile(source, "<i4", _READ)
            ids, ends_in_pair = _replace_pairs(np.concatenate((rest, new)), joined, ids_of_joined, len(words))
            rest = ids[-1:] if len(new) and not ends_in_pair else ids[:0]
            done = ids[: len(ids) - len(rest)]
            done.tofile(file)
            counts += np.bincount(done[done >= 0], minlength=len(known))
            if not len(new):
                break
    result.replace(path)
    return list(known), counts


def count_pairs(path: Path, counted: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """All pairs of adjacent words on a line, as `a * n_words + b` in ascending order, and how often each occurs.

    Words that are not `counted` are not part of any pair.
    """
    found, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    pending: list[Counts] = []
    last = np.array([-1], np.int32)
    with path.open("rb") as file:
        while True:
            ids = np.fromfile(file, "<i4", _READ)
            joined = np.concatenate((last, ids))
            last = joined[-1:]
            a, b = joined[:-1].astype(np.int64), joined[1:]
            both = (a >= 0) & (b >= 0)
            both[both] = counted[a[both]] & counted[b[both]]
            pending.append(a[both] * len(counted) + b[both])
            if sum(map(len, pending)) > _MERGE or not len(ids):
                new, n = np.unique(np.concatenate(pending), return_counts=True)
                found, place = np.unique(np.concatenate((found, new)), return_inverse=True)
                counts = np.bincount(place, np.concatenate((counts, n))).astype(np.int64)
                pending = []
            if not len(ids):
                return found, counts


def _replace_pairs(ids: Ids, joined: Counts, ids_of_joined: Ids, n_words: int) -> tuple[Ids, bool]:
    """The ids with the pairs `joined` replaced, and whether the last of them is a pair."""
    if not len(joined) or len(ids) < 2:
        return ids, False
    a, b = ids[:-1].astype(np.int64), ids[1:]
    keys = np.where((a >= 0) & (b >= 0) & (a < n_words), a * n_words + b, -1)
    place = np.minimum(np.searchsorted(joined, keys), len(joined) - 1)
    hit = joined[place] == keys
    index = np.arange(len(hit))
    start = np.maximum.accumulate(np.where(hit & ~np.concatenate(([False], hit[:-1])), index, 0))
    hit &= (index - start) % 2 == 0  # of consecutive pairs that overlap, every other one
    ids = ids.copy()
    ids[:-1][hit] = ids_of_joined[place[hit]]
    keep = np.ones(len(ids), bool)
    keep[1:][hit] = False
    return ids[keep], bool(hit[-1])
