"""The fewest edits that turn what was said into what was heard, and where they are.

The table of distances is kept as two bit vectors a column (Hyyrö, 2003, "A Bit-Vector Algorithm for Computing
Levenshtein and Damerau Edit Distances", after Myers, 1999), for which Python's long integers are made. Where several
alignments are equally short, the choice is that of rapidfuzz, which jiwer builds on, so that substitutions,
deletions and insertions are counted alike.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Literal

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
    edits: list[Edit] = []
    columns = _columns(ref, hyp)
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


def _columns(ref: Sequence[Hashable], hyp: Sequence[Hashable]) -> list[tuple[int, int]]:
    """For each symbol of `hyp`: bit i says whether the distance rises, or falls, from ref[:i] to ref[:i + 1]."""
    places: defaultdict[Hashable, int] = defaultdict(int)
    for i, symbol in enumerate(ref):
        places[symbol] |= 1 << i
    all_bits = (1 << len(ref)) - 1
    rises, falls = all_bits, 0
    columns = []
    for symbol in hyp:
        match = places.get(symbol, 0)
        diagonal = ((match & rises) + rises ^ rises) | match | falls
        right_rises = (falls | ~(diagonal | rises)) << 1 | 1
        right_falls = (diagonal & rises) << 1
        rises, falls = (right_falls | ~(diagonal | right_rises)) & all_bits, right_rises & diagonal & all_bits
        columns.append((rises, falls))
    return columns
