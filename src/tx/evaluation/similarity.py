"""The agreement of cosine similarities with human judgements of word pairs: WordSim-353, SimLex-999, MEN etc.

The measure is Spearman's rank correlation (Finkelstein et al. 2002 for WordSim-353) over the pairs whose words both
have vectors, reported with the share of those: scores of two vocabularies are not comparable without it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.evaluation.analogy import RESTRICT_VOCAB, rows_by_word
from tx.vectors.word_vectors import WordVectors

_SCORE = "SimLex999"  # the column of the score in SimLex-999 as published; elsewhere it is the third


@dataclass(frozen=True)
class Pair:
    a: str
    b: str
    score: float


@dataclass(frozen=True)
class Similarity:
    """Correlations of cosines and scores over the `known` pairs of `total`."""

    spearman: float
    pearson: float
    known: int
    total: int


def read_pairs(lines: Iterable[str], name: str) -> list[Pair]:
    """Two words and a score on each line, separated by tabs, commas or spaces, after an optional header.

    Blank lines and lines that begin with `#` are skipped. Raises TxError that names the line of the file `name`
    that is not of this form.
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
    vectors: WordVectors, pairs: Sequence[Pair], restrict_vocab: int | None = RESTRICT_VOCAB
) -> Similarity:
    """Compare the cosines of the known pairs with their scores. Raises TxError if fewer than two are known."""
    rows = rows_by_word(vectors, restrict_vocab)
    known = [pair for pair in pairs if pair.a.upper() in rows and pair.b.upper() in rows]
    if len(known) < 2:
        hint = "check the language, and use all words with --restrict 0"
        raise TxError(f"only {len(known):,} of {len(pairs):,} pairs have vectors for both words", hint)
    a = vectors.unit([rows[pair.a.upper()][0] for pair in known])
    b = vectors.unit([rows[pair.b.upper()][0] for pair in known])
    cosines, scores = (a * b).sum(axis=1), np.array([pair.score for pair in known])
    spearman = _correlation(ranks(cosines), ranks(scores))
    return Similarity(spearman, _correlation(cosines, scores), len(known), len(pairs))


def ranks(values: NDArray) -> NDArray[np.float64]:
    """The rank of each value, from 1; equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], np.float64)


def _correlation(x: NDArray, y: NDArray) -> float:
    """Pearson's correlation; 0 where all values are equal."""
    x, y = (np.asarray(values, np.float64) - np.mean(values, dtype=np.float64) for values in (x, y))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else 0.0
