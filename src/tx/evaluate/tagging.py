"""How well entities are found: precision, recall and F1 of whole spans, as the scorer of CoNLL-2003 does.

An entity counts as found where its type and both of its ends are right, and not at all otherwise. Micro-averages
count all entities alike. Sentences are resampled for intervals and for the significance of a difference
(Efron and Tibshirani 1993; Koehn 2004).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tx.text.columns import Span, spans_of

TRIALS, SEED = 1000, 12345

Counts = NDArray[np.int64]  # [..., 3]: entities there are, found ones, and right ones among these


@dataclass(frozen=True)
class SpanScore:
    """How well the entities of a type are found; `n` of them there are. Shares, and F1, are of 100."""

    type: str
    precision: float
    recall: float
    f1: float
    n: int


def count(gold: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]], type: str | None = None) -> Counts:
    """What is there, found and right in each sentence, `[n_sentences, 3]`; of one type, or of all."""
    rows = []
    for there, guessed in zip(gold, found, strict=True):
        one, two = ({s for s in spans if type in (None, s.type)} for spans in (there, guessed))
        rows.append((len(one), len(two), len(one & two)))
    return np.array(rows, np.int64).reshape(-1, 3)


def f1_of(counts: Counts) -> NDArray[np.float64]:
    """F1, of 100, of counts `[..., 3]`; 0 where nothing is there and nothing found."""
    whole = counts[..., 0] + counts[..., 1]
    return 200.0 * counts[..., 2] / np.maximum(whole, 1)  # type: ignore[no-any-return]


def _score(type: str, counts: Counts) -> SpanScore:
    there, guessed, right = counts.sum(axis=0).tolist()
    precision, recall = 100 * right / max(guessed, 1), 100 * right / max(there, 1)
    return SpanScore(type, precision, recall, float(f1_of(counts.sum(axis=0))), there)


def span_scores(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> list[SpanScore]:
    """The scores of tags, sentence by sentence, against the right ones: of all types together (""), then of each."""
    one, two = ([spans_of(tags) for tags in side] for side in (gold, found))
    types = sorted({span.type for side in (one, two) for spans in side for span in spans})
    return [_score("", count(one, two)), *(_score(type, count(one, two, type)) for type in types)]


def _resampled(*counts: Counts) -> list[NDArray[Any]]:
    """F1 of each system on the same random draws of sentences, `[TRIALS]` each."""
    n = len(counts[0])
    rows = np.random.default_rng(SEED).integers(n, size=(TRIALS, n))
    return [f1_of(np.stack([each[chosen].sum(axis=0) for chosen in rows])) for each in counts]


def interval(counts: Counts) -> float:
    """The half width of the 95 % interval of F1, by resampling the sentences of `counts` `[n_sentences, 3]`."""
    low, high = np.percentile(_resampled(counts)[0], (2.5, 97.5))
    return float(high - low) / 2


def p_value(counts: Counts, baseline: Counts) -> float:
    """How likely a difference in F1 as large as this one is by chance, two-sided, by paired resampling."""
    one, two = _resampled(counts, baseline)
    seen = abs(f1_of(counts.sum(axis=0)) - f1_of(baseline.sum(axis=0)))
    differences = one - two
    as_large = np.abs(differences - differences.mean()) >= seen
    return float((as_large.sum() + 1) / (TRIALS + 1))
