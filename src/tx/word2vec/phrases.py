"""Words that belong together, joined by an underscore: new_york (Mikolov et al. 2013, section 4).

A pair is joined where it occurs more often than its words would meet by chance, by the score of the paper in
the scale of word2vec.c's word2phrase: (count(ab) - min_count) / (count(a) count(b)) times the words of the text.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Counts = NDArray[np.int64]
_READ = 1 << 20  # ids that are handled at a time
_MERGE = 1 << 23  # pairs that are gathered before equal ones are counted together


def join_phrases(
    path: Path, words: list[str], counts: Counts, min_count: int, threshold: float
) -> tuple[list[str], Counts]:
    """Rewrite the ids at `path` with pairs that score above `threshold` as one; return all words and counts."""
    pairs, together = count_pairs(path, counts >= min_count)
    first, second = np.divmod(pairs, len(words))
    score = (together - min_count) / counts[first] / counts[second] * counts.sum()
    joined = pairs[score > threshold]  # sorted, as all pairs are
    first, second = np.divmod(joined, len(words))
    known = {word: i for i, word in enumerate(words)}
    numbers = np.empty(len(joined), np.int32)
    for i, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        numbers[i] = known.setdefault(f"{words[a]}_{words[b]}", len(known))  # the text may have it already
    counts = _join(path, joined, numbers, len(words), len(known))
    return list(known), counts


def count_pairs(path: Path, counted: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """All pairs of neighbours on a line, as `a * n_words + b` in ascending order, and how often each occurs.

    Words that are not `counted` are in no pair.
    """
    found, times = np.empty(0, np.int64), np.empty(0, np.int64)
    waiting: list[Counts] = []
    last = np.array([-1], np.int32)
    with path.open("rb") as file:
        while True:
            ids = np.fromfile(file, "<i4", _READ)
            joined = np.concatenate((last, ids))
            last = joined[-1:]
            a, b = joined[:-1].astype(np.int64), joined[1:]
            both = (a >= 0) & (b >= 0)
            both[both] = counted[a[both]] & counted[b[both]]
            waiting.append(a[both] * len(counted) + b[both])
            if sum(map(len, waiting)) > _MERGE or not len(ids):
                new, n = np.unique(np.concatenate(waiting), return_counts=True)
                found, place = np.unique(np.concatenate((found, new)), return_inverse=True)
                times = np.bincount(place, np.concatenate((times, n))).astype(np.int64)
                waiting = []
            if not len(ids):
                return found, times


def _join(path: Path, joined: Counts, numbers: Ids, n_words: int, n_all: int) -> Counts:
    """Replace pairs from left to right, no word in two of them; return how often each word occurs now."""
    counts = np.zeros(n_all, np.int64)
    result = path.with_name(path.name + "-joined")
    rest = np.empty(0, np.int32)  # the last word, which may be the first of a pair
    with path.open("rb") as source, result.open("wb") as file:
        while True:
            new = np.fromfile(source, "<i4", _READ)
            ids = np.concatenate((rest, new))
            ids, taken = _join_block(ids, joined, numbers, n_words)
            rest = ids[-1:] if len(new) and not taken else ids[:0]
            done = ids[: len(ids) - len(rest)]
            done.tofile(file)
            counts += np.bincount(done[done >= 0], minlength=n_all)
            if not len(new):
                break
    result.replace(path)
    return counts


def _join_block(ids: Ids, joined: Counts, numbers: Ids, n_words: int) -> tuple[Ids, bool]:
    """The ids with pairs joined, and whether the last of them is a pair."""
    if not len(joined) or len(ids) < 2:
        return ids, False
    a, b = ids[:-1].astype(np.int64), ids[1:]
    keys = np.where((a >= 0) & (b >= 0) & (a < n_words), a * n_words + b, -1)
    place = np.minimum(np.searchsorted(joined, keys), len(joined) - 1)
    hit = joined[place] == keys
    index = np.arange(len(hit))
    start = np.maximum.accumulate(np.where(hit & ~np.concatenate(([False], hit[:-1])), index, 0))
    hit &= (index - start) % 2 == 0  # of a run of pairs that overlap, every other one
    ids = ids.copy()
    ids[:-1][hit] = numbers[place[hit]]
    keep = np.ones(len(ids), bool)
    keep[1:][hit] = False
    return ids[keep], bool(hit[-1])
