"""Precision, recall and F1 of named entities, by the rules of the CoNLL-2003 scorer, and the evaluation of a tagger.

An entity is correct if its type, its start and its end are. Micro-averages count all entities alike. Confidence
intervals and significance come from bootstrap resampling of sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tx.decode.tag import open_tagger
from tx.evaluation import significance
from tx.evaluation.report import Report, record
from tx.package import Package, find_package
from tx.text.conll import Span, read_tagged, spans_from_tags

SIGNATURE = "spans:exact|average:micro|bootstrap:1000"
COLUMNS = ("data", "type", "precision", "recall", "F1", "95%", "entities")
Counts = NDArray[
    np.int64
]  # [..., 3]: entities of the reference, predicted entities, correct ones among these


@dataclass(frozen=True)
class SpanScore:
    """The scores of one entity type, in percent; `n` is the number of entities in the reference."""

    type: str
    precision: float
    recall: float
    f1: float
    n: int


def count_spans(
    gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], type: str | None = None
) -> Counts:
    """The counts of each sentence, `[n_sentences, 3]`, of one type or of all."""
    rows = []
    for sides in zip(gold, predicted, strict=True):
        one, two = ({span for span in spans if type in (None, span.type)} for spans in sides)
        rows.append((len(one), len(two), len(one & two)))
    return np.array(rows, np.int64).reshape(-1, 3)


def f1_of(counts: Counts) -> NDArray[np.float64]:
    """F1 in percent, of counts `[..., 3]`; 0 where there is no entity at all."""
    return 200.0 * counts[..., 2] / np.maximum(counts[..., 0] + counts[..., 1], 1)  # type: ignore[no-any-return]


def span_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> list[SpanScore]:
    """The scores of BIO tags against the reference: of all types together (""), then of each type."""
    one, two = ([spans_from_tags(tags) for tags in side] for side in (gold, predicted))
    types = sorted({span.type for side in (one, two) for spans in side for span in spans})
    scores = []
    for type in ("", *types):
        total = count_spans(one, two, type or None).sum(axis=0)
        n, n_predicted, correct = total.tolist()
        precision, recall = 100 * correct / max(n_predicted, 1), 100 * correct / max(n, 1)
        scores.append(SpanScore(type, precision, recall, float(f1_of(total)), n))
    return scores


def confidence_interval(counts: Counts) -> float:
    """The half width of the 95% confidence interval of F1, of the counts `[n_sentences, 3]` of each sentence."""
    return significance.confidence_interval(f1_of(significance.bootstrap(counts)))


def p_value(counts: Counts, baseline: Counts) -> float:
    """The two-sided p-value of the difference in F1 of two taggers, by paired bootstrap resampling."""
    observed = f1_of(counts.sum(axis=0)) - f1_of(baseline.sum(axis=0))
    one, two = (f1_of(significance.bootstrap(each)) for each in (counts, baseline))
    return significance.p_value(float(observed), one - two)


def evaluate(
    package: Package,
    files: Sequence[str],
    *,
    against: str | None = None,
    device: str = "auto",
    threads: int = 0,
) -> Report:
    """Score the entities that a tagger finds in each file of tagged columns.

    `against` names another tagger; the difference in F1 to it is tested for significance.
    """
    texts = [read_tagged(file) for file in files]
    paths = [package.path, *([find_package(against, "tagging")] if against else [])]
    taggers = [open_tagger(path, device, threads) for path in paths]
    comparisons: list[dict[str, Any]] = []
    records, rows, notes, warnings = [], [], [], []
    for file, sentences in zip(files, texts, strict=True):
        name, gold = Path(file).name, [s.tags for s in sentences]
        unknown = {tag[2:] for tags in gold for tag in tags} - {tag[2:] for tag in taggers[0].tags}
        if unknown:
            types = ", ".join(sorted(unknown))
            warnings.append(f"{file} has entities of type {types}, which the model does not know")
        predicted = [[each.tags for each in t.tag([s.words for s in sentences])] for t in taggers]
        spans = [[spans_from_tags(tags) for tags in side] for side in (gold, *predicted)]
        counts = [count_spans(spans[0], found) for found in spans[1:]]
        ci = confidence_interval(counts[0])
        total, *by_type = span_scores(gold, predicted[0])
        records += [
            record("F1", total.f1, SIGNATURE, name, ci),
            record("precision", total.precision, SIGNATURE, name),
            record("recall", total.recall, SIGNATURE, name),
            *(record(f"F1 {score.type}", score.f1, SIGNATURE, name) for score in by_type),
        ]
        for score in (total, *by_type):
            shares = (f"{value:.2f}" for value in (score.precision, score.recall, score.f1))
            shown = f"± {ci:.2f}" if score is total else "-"
            rows.append((name, score.type or "all", *shares, shown, f"{score.n:,}"))
        for baseline in counts[1:]:
            p = p_value(counts[0], baseline)
            comparisons.append({"data": name, "against": against, "p_value": p})
            negation = "" if p < 0.05 else "not "
            notes.append(f"{name}: the difference to {against} is {negation}significant (p = {p:.4f})")
    details = {"model": package.name, "scores": records, "comparisons": comparisons}
    return Report(records, details, COLUMNS, rows, notes, warnings)
