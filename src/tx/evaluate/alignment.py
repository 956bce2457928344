"""How well word alignments agree with people's: precision, recall and alignment error rate.

Och and Ney (2003, "A Systematic Comparison of Various Statistical Alignment Models"): annotators mark links as sure
(S), or as possible (P) where they could be argued about; sure ones are possible too. Of the links A to judge,
precision is `|A & P| / |A|`, recall `|A & S| / |S|`, and the error rate `1 - (|A & S| + |A & P|) / (|A| + |S|)`.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tx.errors import TxError
from tx.evaluate.significance import bootstrap, confidence_interval

Link = tuple[int, int]  # (source word, target word), both from 0
_LINK = re.compile(r"(\d+)([-p?])(\d+)")
_ONE = re.compile(
    r"(\d+)\s+(\d+)\s+(\d+)(?:\s+([SP]))?(?:\s+[\d.]+)?"
)  # sentence, source, target, kind, certainty
_BLOCK = re.compile(r"SENT:\s*(\d+)|([SP])\s+(\d+)\s+(\d+)")


@dataclass
class Gold:
    """What people say of one sentence pair; `possible` holds the sure links too."""

    sure: set[Link] = field(default_factory=set)
    possible: set[Link] = field(default_factory=set)

    def add(self, link: Link, sure: bool) -> None:
        self.possible.add(link)
        if sure:
            self.sure.add(link)


@dataclass(frozen=True)
class AlignmentScore:
    """Shares of 1; `ci` is the half width of the 95% interval of `error_rate`."""

    precision: float
    recall: float
    error_rate: float
    ci: float
    n_links: int
    n_sure: int
    n_possible: int


def score_alignments(
    found: Sequence[Collection[Link]], gold: Sequence[Gold], n_bootstrap: int = 1000
) -> AlignmentScore:
    """Judge the links of all sentences together. Raises TxError where nothing was marked as sure."""
    counts = np.array(
        [
            (
                len(a),
                len(g.sure),
                len(g.possible),
                len(g.sure.intersection(a)),
                len(g.possible.intersection(a)),
            )
            for a, g in zip(map(set, found), gold, strict=True)
        ],
        np.int64,
    ).reshape(-1, 5)
    n, sure, possible, right, allowed = counts.sum(axis=0)
    if not sure:
        raise TxError("the gold alignments hold no sure link", "mark links as sure: 0-0, or S")
    drawn = bootstrap(counts, n_bootstrap)
    rates = 1 - (drawn[:, 3] + drawn[:, 4]) / np.maximum(drawn[:, 0] + drawn[:, 1], 1)
    return AlignmentScore(
        precision=float(allowed / n) if n else 1.0,
        recall=float(right / sure),
        error_rate=float(1 - (right + allowed) / (n + sure)),
        ci=confidence_interval(rates),
        n_links=int(n),
        n_sure=int(sure),
        n_possible=int(possible),
    )


# -- files -----------------------------------------------------------------------------------------

Entry = tuple[int, int, int, int, bool]  # line of the file, sentence from 0, source, target, sure


def read_gold(lines: Iterable[str], name: str, lengths: Sequence[Link]) -> tuple[list[Gold], int]:
    """The gold alignments of sentence pairs of these `lengths` in words, and the number of a file's first word.

    Understands what such files are written in: a line of links for each pair (`0-0 1p2 2?3`, where `p` and `?`
    mean possible), a line for each link (`pair source target S`, all from 1, 0 for no word), and links under
    `SENT: pair`. The first and the last count words from 0, or from 1 if no other reading fits. Raises TxError with
    the line that makes no sense.
    """
    text = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    first = next((line for _, line in text if line), "")
    if _ONE.fullmatch(first):
        entries, base = _links_one_by_one(text, name), 1
    else:
        entries = _blocks(text, name) if _BLOCK.fullmatch(first) else _rows(text, name, len(lengths))
        fits = all(
            s < lengths[n][0] and t < lengths[n][1] for _, n, s, t, _ in entries if 0 <= n < len(lengths)
        )
        base = 0 if fits or any(not s or not t for _, _, s, t, _ in entries) else 1
    gold = [Gold() for _ in lengths]
    for number, n, s, t, sure in entries:
        if not 0 <= n < len(lengths):
            raise TxError(
                f"{name}:{number} speaks of pair {n + 1:,}, and there are {len(lengths):,}",
                "give the texts that the file was made for",
            )
        for word, size, side in ((s, lengths[n][0], "source"), (t, lengths[n][1], "target")):
            if word - base >= size:
                raise TxError(
                    f"{name}:{number} links {side} word {word}, counting from {base}, and line {n + 1:,} has {size}",
                    "the source's word comes first; words are what stands between spaces in the two texts",
                )
        gold[n].add((s - base, t - base), sure)
    return gold, base


def _rows(text: Sequence[tuple[int, str]], name: str, n_pairs: int) -> list[Entry]:
    """`0-0 1p2`: line n belongs to pair n."""
    if len(text) != n_pairs:
        raise TxError(
            f"{name} has {len(text):,} lines, and there are {n_pairs:,} pairs", "it needs one line for each"
        )
    entries = []
    for number, line in text:
        for word in line.split():
            link = _LINK.fullmatch(word)
            if link is None:
                raise TxError(
                    f"{name}:{number} holds '{word}', which is no link",
                    "write 0-0, or 0p0 if it is only possible",
                )
            entries.append((number, number - 1, int(link[1]), int(link[3]), link[2] == "-"))
    return entries


def _links_one_by_one(text: Sequence[tuple[int, str]], name: str) -> list[Entry]:
    """`1 3 4 P`: the form of the shared task of 2003 (Mihalcea and Pedersen); word 0 is none."""
    entries = []
    for number, line in text:
        link = _ONE.fullmatch(line)
        if line and (link is None or not int(link[1])):
            raise TxError(
                f"{name}:{number} is no link", "write PAIR SOURCE TARGET and S or P, counted from 1"
            )
        if link and int(link[2]) and int(link[3]):
            entries.append((number, int(link[1]) - 1, int(link[2]), int(link[3]), link[4] != "P"))
    return entries


def _blocks(text: Sequence[tuple[int, str]], name: str) -> list[Entry]:
    """`SENT: 1`, and under it `S 1 1`, `P 2 3`: pairs count from the first one's number."""
    entries: list[Entry] = []
    start = pair = -1
    for number, line in text:
        found = _BLOCK.fullmatch(line)
        if line and (found is None or (start < 0 and not found[1])):
            raise TxError(
                f"{name}:{number} is no link", "write SENT: PAIR, and under it S or P, SOURCE and TARGET"
            )
        if found and found[1]:
            pair = int(found[1])
            start = pair if start < 0 else start
        elif found:
            entries.append((number, pair - start, int(found[3]), int(found[4]), found[2] == "S"))
    return entries
