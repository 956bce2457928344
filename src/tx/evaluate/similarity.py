"""How well the cosines of word pairs follow what people said of them: WordSim-353, SimLex-999, MEN and the like.

The figure is Spearman's rank correlation (Finkelstein et al. 2002 for WordSim-353), over the pairs whose words
are both known, with the share of those beside it: without it, figures of two vocabularies do not compare.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.evaluate.analogy import RESTRICT, fold
from tx.vectors.store import WordVectors

_SCORE = "SimLex999"  # the column of the score in SimLex-999 as published; elsewhere it is the third


@dataclass(frozen=True)
class Pair:
    a: str
    b: str
    score: float


@dataclass(frozen=True)
class Similarity:
    spearman: float
    pearson: float
    known: int  # pairs that were compared
    total: int


def read_pairs(lines: Iterable[str], name: str) -> list[Pair]:
    """Two words and a score on each line, separated by tabs, commas or spaces; a header and `#` lines may stand.

    Raises TxError that names the line of `name` that is neither.
    """
    pairs: list[Pair] = []
    column = 2
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [part.strip() for part in line.split("\t" if "\t" in line else "," if "," in line else None)]
        try:
            pairs.append(Pair(fields[0], fields[1], float(fields[column])))
        except (IndexError, ValueError):
            if pairs or len(fields) < 3 or column != 2:
                raise TxError(
                    f"{name}:{number} is not two words and a score", "separate them by tabs, commas or spaces"
                ) from None
            column = fields.index(_SCORE) if _SCORE in fields else 2
    return pairs


def evaluate_similarity(
    vectors: WordVectors, pairs: Sequence[Pair], restrict: int | None = RESTRICT
) -> Similarity:
    """Compare the cosines of the known pairs with their scores. Raises TxError where fewer than two are known."""
    rows_of = fold(vectors, restrict)
    known = [pair for pair in pairs if pair.a.upper() in rows_of and pair.b.upper() in rows_of]
    if len(known) < 2:
        raise TxError(
            f"{len(known):,} of {len(pairs):,} pairs have both words among the vectors, too few to compare",
            "check the language, and take more words with --restrict 0",
        )
    a = vectors.unit([rows_of[pair.a.upper()][0] for pair in known])
    b = vectors.unit([rows_of[pair.b.upper()][0] for pair in known])
    cosines, scores = (a * b).sum(axis=1), np.array([pair.score for pair in known])
    return Similarity(
        _pearson(ranks(cosines), ranks(scores)), _pearson(cosines, scores), len(known), len(pairs)
    )


def ranks(values: NDArray) -> NDArray[np.float64]:
    """The rank of each value, from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], np.float64)


def _pearson(x: NDArray, y: NDArray) -> float:
    x, y = (np.asarray(values, np.float64) - np.mean(values, dtype=np.float64) for values in (x, y))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else 0.0  # all values equal: they follow nothing
