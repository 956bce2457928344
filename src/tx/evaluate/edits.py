"""The fewest edits that turn what was said into what was heard, and where they are.

The table of distances is kept as two bit vectors a column (Hyyrö, 2003, "A Bit-Vector Algorithm for Computing
Levenshtein and Damerau Edit Distances", after Myers, 1999), for which Python's long integers are made. Where several
alignments are equally short, the choice is that of rapidfuzz, which jiwer builds on, so that substitutions,
deletions and insertions are counted alike.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import accumulate
from typing import Literal

_MOST_BITS = 1 << 28  # of each of the two vectors of all columns: 64 MB together
Edit = tuple[Literal["hit", "substitution", "deletion", "insertion"], int, int]


def align(ref: Sequence[Hashable], hyp: Sequence[Hashable]) -> list[Edit]:
    """The edits in order, each with the index of its symbol in `ref` and in `hyp` (there, that of the next)."""
    start, shortest = 0, min(len(ref), len(hyp))
    while start < shortest and ref[start] == hyp[start]:
        start += 1
    same = 0  # at the end
    while same < shortest - start and ref[-1 - same] == hyp[-1 - same]:
        same += 1
    i, j = len(ref) - same, len(hyp) - same
    edits: list[Edit] = [("hit", i + k, j + k) for k in reversed(range(same))]
    edits += [(kind, start + a, start + b) for kind, a, b in _backwards(ref[start:i], hyp[start:j])]
    edits += [("hit", k, k) for k in reversed(range(start))]
    return edits[::-1]


def _backwards(ref: Sequence[Hashable], hyp: Sequence[Hashable]) -> list[Edit]:
    if len(ref) * len(hyp) > _MOST_BITS and len(hyp) > 1:
        return _in_halves(ref, hyp)
    edits: list[Edit] = []
    columns = list(_columns(ref, hyp))
    i, j = len(ref), len(hyp)
    while i and j:
        if columns[j - 1][0] >> (i - 1) & 1:
            i -= 1
            edits.append(("deletion", i, j))
            continue
        j -= 1
        if j and columns[j - 1][1] >> (i - 1) & 1:
            edits.append(("insertion", i, j))
        else:
            i -= 1
            edits.append(("hit" if ref[i] == hyp[j] else "substitution", i, j))
    edits += [("deletion", k, 0) for k in reversed(range(i))]
    edits += [("insertion", 0, k) for k in reversed(range(j))]
    return edits


def _in_halves(ref: Sequence[Hashable], hyp: Sequence[Hashable]) -> list[Edit]:
    """The same where all columns would not fit in memory: where the shortest path crosses the middle of `hyp` is told
    by the last columns from both ends (Hirschberg, 1975)."""
    middle = len(hyp) // 2
    before, behind = _distances(ref, hyp[:middle]), _distances(ref[::-1], hyp[: middle - 1 : -1])
    cut = min(range(len(ref) + 1), key=lambda i: before[i] + behind[len(ref) - i])
    right = [(kind, cut + i, middle + j) for kind, i, j in align(ref[cut:], hyp[middle:])]
    return [*align(ref[:cut], hyp[:middle]), *right][::-1]


def _distances(ref: Sequence[Hashable], hyp: Sequence[Hashable]) -> list[int]:
    """The distance of `hyp` from each beginning of `ref`."""
    rises, falls = (1 << len(ref)) - 1, 0
    for rises, falls in _columns(ref, hyp):  # noqa: B007
        pass
    bits = (f"{column:0{len(ref)}b}"[::-1] for column in (rises, falls))
    return list(
        accumulate(((up == "1") - (down == "1") for up, down in zip(*bits, strict=True)), initial=len(hyp))
    )


def _columns(ref: Sequence[Hashable], hyp: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """For each symbol of `hyp`: bit i says whether the distance rises, or falls, from ref[:i] to ref[:i + 1]."""
    places: defaultdict[Hashable, int] = defaultdict(int)
    for i, symbol in enumerate(ref):
        places[symbol] |= 1 << i
    all_bits = (1 << len(ref)) - 1
    rises, falls = all_bits, 0
    for symbol in hyp:
        match = places.get(symbol, 0)
        diagonal = ((match & rises) + rises ^ rises) | match | falls
        right_rises = (falls | ~(diagonal | rises)) << 1 | 1
        right_falls = (diagonal & rises) << 1
        rises, falls = (right_falls | ~(diagonal | right_rises)) & all_bits, right_rises & diagonal & all_bits
        yield rises, falls
