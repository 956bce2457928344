"""How well entities are found: precision, recall and F1 of whole spans, as the scorer of CoNLL-2003 does.

An entity counts as found where its type and both of its ends are right, and not at all otherwise. Micro-averages
count all entities alike. Sentences are resampled for intervals and for the significance of a difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tx.evaluate import resample
from tx.text.conll import Span, spans_of

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


def interval(counts: Counts) -> float:
    """The half width of the 95 % interval of F1, by resampling the sentences of `counts` `[n_sentences, 3]`."""
    return resample.half_width(f1_of(resample.resampled_sums(counts)))


def p_value(counts: Counts, baseline: Counts) -> float:
    """How likely a difference in F1 as large as this one is by chance, two-sided, by paired resampling."""
    observed = f1_of(counts.sum(axis=0)) - f1_of(baseline.sum(axis=0))
    one, two = (f1_of(resample.resampled_sums(each)) for each in (counts, baseline))
    return resample.p_value(float(observed), one - two)
