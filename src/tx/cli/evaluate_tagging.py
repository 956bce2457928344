"""`tx evaluate` for taggers: how many of the names in tagged text they find, and of how many they are right."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tx.cli import console
from tx.package import Package, add_scores, find
from tx.text.conll import Tagged, read_tagged, spans_of

if TYPE_CHECKING:
    from tx.decode.tag import Tagger
    from tx.evaluate.tagging import Counts, SpanScore

SIGNATURE = "spans:exact|average:micro|bootstrap:1000"


def evaluate_tagging(
    package: Package,
    files: list[str],
    store: bool,
    as_json: bool,
    *,
    against: str | None = None,
    device: str = "auto",
    threads: int = 0,
) -> None:
    """Precision, recall and F1 on each of `files`, in columns; `against` is the model to compare with."""
    texts = [read_tagged(file) for file in files]
    other = find(against, "tagging") if against else None
    from tx.decode.tag import open_tagger
    from tx.evaluate.tagging import interval, p_value, span_scores

    tagger = open_tagger(package.path, device, threads)
    baseline = open_tagger(other, device, threads) if other else None
    records: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    compared = []
    for file, sentences in zip(files, texts, strict=True):
        name = Path(file).name
        _warn_of_unknown(file, sentences, tagger)
        found, counts = _measure(tagger, sentences)
        scores = span_scores([s.tags for s in sentences], found)
        ci = interval(counts)
        records += _records(scores, ci, name)
        rows += [_row(name, score, ci if not score.type else None) for score in scores]
        if baseline is not None:
            p = p_value(counts, _measure(baseline, sentences)[1])
            compared.append({"data": name, "against": against, "p_value": p})
            told = "" if p < 0.05 else "not "
            console.note(f"{name}: the difference to {against} is {told}significant (p = {p:.4f})")
    if store:
        add_scores(package, records)
    if as_json:
        console.print_json({"model": package.name, "scores": records, "comparisons": compared})
    else:
        columns = ["data", "type", "precision", "recall", "F1", "95%", "entities"]
        console.print_table(columns, rows)


def _measure(tagger: "Tagger", sentences: list[Tagged]) -> tuple[list[list[str]], "Counts"]:
    """The tags that are found, and what is there, found and right in each sentence."""
    from tx.evaluate.tagging import count

    found = [each.tags for each in tagger.tag([s.words for s in sentences])]
    return found, count([spans_of(s.tags) for s in sentences], [spans_of(tags) for tags in found])


def _records(scores: list["SpanScore"], ci: float, data: str) -> list[dict[str, Any]]:
    shared = {"signature": SIGNATURE, "data": data}
    whole = scores[0]
    return [
        {"metric": "F1", "value": whole.f1, "ci": ci, **shared},
        {"metric": "precision", "value": whole.precision, **shared},
        {"metric": "recall", "value": whole.recall, **shared},
        *({"metric": f"F1 {score.type}", "value": score.f1, **shared} for score in scores[1:]),
    ]


def _row(data: str, score: "SpanScore", ci: float | None) -> tuple[str, ...]:
    shares = (f"{value:.2f}" for value in (score.precision, score.recall, score.f1))
    return data, score.type or "all", *shares, f"± {ci:.2f}" if ci is not None else "-", f"{score.n:,}"


def _warn_of_unknown(file: str, sentences: list[Tagged], tagger: "Tagger") -> None:
    known = {tag[2:] for tag in tagger.tags}
    if strange := sorted({tag[2:] for s in sentences for tag in s.tags} - known):
        console.warn(f"{file} names {', '.join(strange)}, which the model has never seen and cannot find")
