"""Scoring word alignments against gold alignments: precision, recall and alignment error rate (AER).

Och and Ney (2003, "A Systematic Comparison of Various Statistical Alignment Models"): annotators mark links as sure
(S), or as possible (P) where annotators could disagree; S is a subset of P. For predicted links A, precision is
`|A & P| / |A|`, recall `|A & S| / |S|`, and AER `1 - (|A & S| + |A & P|) / (|A| + |S|)`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tx.errors import TxError
from tx.evaluation.significance import bootstrap, confidence_interval

Link = tuple[int, int]  # (source word, target word), both from 0
_PHARAOH = re.compile(r"(\d+)([-p?])(\d+)")
# pair source target [type] [confidence]
_NAACL = re.compile(r"(\d+)\s+(\d+)\s+(\d+)(?:\s+([SP]))?(?:\s+[\d.]+)?")
_BLOCK = re.compile(r"SENT:\s*(\d+)|([SP])\s+(\d+)\s+(\d+)")


@dataclass
class Gold:
    """The gold alignment of a sentence pair; `possible` includes the sure links."""

    sure: set[Link] = field(default_factory=set)
    possible: set[Link] = field(default_factory=set)

    def add(self, link: Link, sure: bool) -> None:
        self.possible.add(link)
        if sure:
            self.sure.add(link)


@dataclass(frozen=True)
class AlignmentScore:
    """Scores between 0 and 1; `ci` is the half width of the 95% confidence interval of `error_rate`."""

    precision: float
    recall: float
    error_rate: float
    ci: float
    n_links: int
    n_sure: int
    n_possible: int


def score_alignments(
    predicted: Sequence[Collection[Link]], gold: Sequence[Gold], n_bootstrap: int = 1000
) -> AlignmentScore:
    """Score the links of all sentence pairs together. Raises TxError if no gold link is sure."""
    rows = [
        (len(a), len(g.sure), len(g.possible), len(g.sure & a), len(g.possible & a))
        for a, g in zip(map(set, predicted), gold, strict=True)
    ]
    counts = np.array(rows, np.int64).reshape(-1, 5)
    n, sure, possible, sure_found, possible_found = (int(count) for count in counts.sum(axis=0))
    if not sure:
        raise TxError("the gold alignments contain no sure link", "mark links as sure: 0-0, or S")
    samples = bootstrap(counts, n_bootstrap)
    rates = 1 - (samples[:, 3] + samples[:, 4]) / np.maximum(samples[:, 0] + samples[:, 1], 1)
    return AlignmentScore(
        precision=possible_found / n if n else 1.0,
        recall=sure_found / sure,
        error_rate=1 - (sure_found + possible_found) / (n + sure),
        ci=confidence_interval(rates),
        n_links=n,
        n_sure=sure,
        n_possible=possible,
    )


# -- files -----------------------------------------------------------------------------------------

Line = tuple[int, str]  # number and text
Entry = tuple[int, int, int, int, bool]  # line number, sentence pair from 0, source word, target word, sure


def read_gold(lines: Iterable[str], name: str, lengths: Sequence[Link]) -> tuple[list[Gold], int]:
    """Read the gold alignments of sentence pairs of these `lengths` in words.

    Returns the number that the file gives to the first word, too: 0 or 1. The first line shows the format:

    * Pharaoh: a line of links for each pair, as in `0-0 1p2 2?3`, where `p` and `?` mean possible;
    * NAACL 2003 (Mihalcea and Pedersen): a line for each link, `PAIR SOURCE TARGET S`, all from 1; word 0 is null;
    * blocks: `SENT: PAIR`, and below it lines `S SOURCE TARGET` or `P SOURCE TARGET`; pairs count from the first one.

    In Pharaoh format and in blocks, words count from 0, or from 1 if they cannot count from 0. Raises TxError with
    the number of the line for links that are malformed or do not fit the text.
    """
    text = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    first = next((line for _, line in text if line), "")
    if _NAACL.fullmatch(first):
        entries, base = list(_naacl(text, name)), 1
    else:
        in_blocks = _BLOCK.fullmatch(first)
        entries = list(_blocks(text, name) if in_blocks else _pharaoh(text, name, len(lengths)))
        fits = all(
            s < lengths[n][0] and t < lengths[n][1] for _, n, s, t, _ in entries if 0 <= n < len(lengths)
        )
        base = 0 if fits or any(not s or not t for _, _, s, t, _ in entries) else 1
    gold = [Gold() for _ in lengths]
    for number, n, s, t, sure in entries:
        if not 0 <= n < len(lengths):
            raise TxError(
                f"{name}:{number} refers to pair {n + 1:,}, and there are {len(lengths):,}",
                "give the source and the translation that were annotated",
            )
        for word, size, side in ((s, lengths[n][0], "source"), (t, lengths[n][1], "target")):
            if word - base >= size:
                raise TxError(
                    f"{name}:{number} links {side} word {word}, counting from {base}, and line {n + 1:,} has {size}",
                    "a link is source word, target word; words are separated by spaces",
                )
        gold[n].add((s - base, t - base), sure)
    return gold, base


def _pharaoh(text: Sequence[Line], name: str, n_pairs: int) -> Iterator[Entry]:
    if len(text) != n_pairs:
        raise TxError(
            f"{name} has {len(text):,} lines, and there are {n_pairs:,} pairs", "write one line for each pair"
        )
    for number, word in ((number, word) for number, line in text for word in line.split()):
        link = _PHARAOH.fullmatch(word)
        if link is None:
            raise _not_a_link(name, number, "write 0-0, or 0p0 for a possible link", f": '{word}'")
        yield number, number - 1, int(link[1]), int(link[3]), link[2] == "-"


def _naacl(text: Sequence[Line], name: str) -> Iterator[Entry]:
    for number, line in text:
        link = _NAACL.fullmatch(line)
        if line and (link is None or not int(link[1])):
            raise _not_a_link(name, number, "write PAIR SOURCE TARGET and S or P, counted from 1")
        if link and int(link[2]) and int(link[3]):
            yield number, int(link[1]) - 1, int(link[2]), int(link[3]), link[4] != "P"


def _blocks(text: Sequence[Line], name: str) -> Iterator[Entry]:
    start = pair = -1
    for number, line in text:
        found = _BLOCK.fullmatch(line)
        if line and (found is None or (start < 0 and not found[1])):
            raise _not_a_link(name, number, "write SENT: PAIR, and below it S or P, SOURCE and TARGET")
        if found and found[1]:
            pair = int(found[1])
            start = pair if start < 0 else start
        elif found:
            yield number, pair - start, int(found[3]), int(found[4]), found[2] == "S"


def _not_a_link(name: str, number: int, hint: str, found: str = "") -> TxError:
    return TxError(f"{name}:{number} is not a link{found}", hint)
