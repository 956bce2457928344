"""Where translators differ: by the length of the source, and sentence by sentence.

A decoder that sees its source only through one vector loses long sentences first (Cho et al. 2014, "On the
Properties of Neural Machine Translation"); scores by length show that, and what attention does about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tx.errors import UsageError
from tx.evaluate.metrics import Lines, bleu, sentence_scores

N_BUCKETS = 5
MIN_LINES = 20  # of a bucket that is cut by itself: fewer say nothing


@dataclass(frozen=True)
class Bucket:
    """The lines whose sources have from `low` to `high` words (None: any more), and each system's BLEU on them."""

    low: int
    high: int | None
    n_lines: int
    bleu: dict[str, float | None]  # None where there is no line

    @property
    def label(self) -> str:
        if self.high is None:
            return f"{self.low}+"
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


@dataclass(frozen=True)
class Difference:
    """A line that two systems translate differently well, by sentence chrF on a scale of 100."""

    line: int  # from 1
    chrf: tuple[float, float]


def edges_of(src: Lines, n_buckets: int = N_BUCKETS) -> list[int]:
    """Lengths in words that begin a new bucket, so that about `n_buckets` hold equally many lines.

    Equal lengths stay together, and the longest sentences, where systems differ most, get a bucket of their own.
    """
    lengths = sorted(len(line.split()) for line in src)
    if not lengths:
        return []
    places = [round(i * len(lengths) / n_buckets) for i in range(1, n_buckets)]
    tail = len(lengths) - max(MIN_LINES, len(lengths) // (4 * n_buckets))
    places += [tail] if tail > max(places, default=0) else []
    found = sorted({lengths[place] for place in places if place < len(lengths)} - {lengths[0]})
    return found


def by_length(
    src: Lines, systems: Mapping[str, Lines], refs: Sequence[Lines], edges: Sequence[int]
) -> list[Bucket]:
    """Corpus BLEU of every system on the lines between one edge and the next, in words of the source.

    Raises UsageError for edges that do not rise.
    """
    if any(b <= a for a, b in zip([0, *edges], edges, strict=False)):
        raise UsageError(
            f"the edges {','.join(map(str, edges))} do not rise", "for example --lengths 8,12,16"
        )
    lengths = [len(line.split()) for line in src]
    buckets = []
    for low, nxt in zip([0, *edges], [*edges, None], strict=True):
        rows = [i for i, n in enumerate(lengths) if low <= n and (nxt is None or n < nxt)]
        some = any(ref[i].strip() for i in rows for ref in refs)

        def part(lines: Lines, rows: list[int] = rows) -> list[str]:
            return [lines[i] for i in rows]

        scores = {
            name: bleu(part(hyp), [part(ref) for ref in refs]).value if some else None
            for name, hyp in systems.items()
        }
        buckets.append(Bucket(max(low, 1), None if nxt is None else nxt - 1, len(rows), scores))
    return buckets


def most_different(a: Lines, b: Lines, refs: Sequence[Lines], n: int) -> list[Difference]:
    """The `n` lines on which the sentence chrF of `b` and `a` lies furthest apart, either way; the furthest first."""
    first, second = ([s.value for s in sentence_scores(hyp, refs, "chrf")] for hyp in (a, b))
    pairs = list(zip(first, second, strict=True))
    order = sorted(range(len(pairs)), key=lambda i: -abs(pairs[i][1] - pairs[i][0]))
    return [Difference(i + 1, pairs[i]) for i in order[:n] if pairs[i][0] != pairs[i][1]]
