"""`tx evaluate` for word vectors: analogies, and the similarity of word pairs; a file shows which it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tx.cli import console
from tx.errors import TxError, UsageError
from tx.package import Package, add_scores
from tx.text.lines import read_lines

if TYPE_CHECKING:
    from tx.vectors import WordVectors
    from tx.vectors.search import Method

_Rows = list[tuple[str, ...]]


def evaluate_vectors(
    package: Package,
    files: list[str],
    store: bool,
    as_json: bool,
    *,
    restrict: int | None = None,
    method: str = "add",
) -> None:
    """Measure the vectors on each of `files`: analogies in percent, word pairs as Spearman's correlation."""
    from tx.evaluate.analogy import RESTRICT
    from tx.vectors import read_vectors
    from tx.vectors.search import METHODS

    chosen = next((known for known in METHODS if known == method), None)
    if chosen is None:
        raise UsageError(f"there is no method '{method}'", f"the methods are {' and '.join(METHODS)}")
    vectors = read_vectors(package)
    limit = RESTRICT if restrict is None else restrict or None
    records: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    rows: _Rows = []
    for file in files:
        lines = list(read_lines(file))
        if not any(map(str.strip, lines)):
            raise TxError(f"{file} is empty", "give analogies, or pairs of words with scores")
        is_analogies = any(line.startswith(":") or len(line.split()) == 4 for line in lines[:1])
        if is_analogies:
            measured, told, shown = _analogies(vectors, file, lines, limit, chosen)
        else:
            measured, told, shown = _similarity(vectors, file, lines, limit)
        records += measured
        details.append(told)
        rows += shown
    if store:
        add_scores(package, records)
    if as_json:
        console.print_json({"model": package.name, "files": details, "scores": records})
    else:
        console.print_table(["data", "measure", "score", "correct", "known", "of"], rows)


def _analogies(
    vectors: "WordVectors", file: str, lines: Sequence[str], restrict: int | None, method: "Method"
) -> tuple[list[dict[str, Any]], dict[str, Any], _Rows]:
    """The scores to keep, the whole report for --json, and the rows to show."""
    from tx.evaluate.analogy import evaluate_analogies, read_questions

    report = evaluate_analogies(vectors, read_questions(lines, file), restrict, method)
    if not report.total.asked:
        raise TxError(f"no analogy in {file} has its four words among the vectors", "check the language")
    name = Path(file).name
    sums = (report.semantic, report.syntactic, report.total)
    signature = f"{method}|restrict:{restrict or 'no'}|asked:{report.total.asked}/{report.total.total}"
    records = [
        {"metric": f"{part.name} accuracy", "value": part.percent, "signature": signature, "data": name}
        for part in (report.total, report.semantic, report.syntactic)
        if part.percent is not None
    ]
    told: dict[str, Any] = {
        "data": name,
        "sections": [
            {"name": part.name, "correct": part.correct, "asked": part.asked, "total": part.total}
            for part in (*report.sections, *sums)
        ],
    }
    rows: _Rows = [
        (
            name,
            part.name,
            "-" if part.percent is None else f"{part.percent:.1f}",
            f"{part.correct:,}",
            f"{part.asked:,}",
            f"{part.total:,}",
        )
        for part in (*report.sections, *sums)
    ]
    return records, told, rows


def _similarity(
    vectors: "WordVectors", file: str, lines: Sequence[str], restrict: int | None
) -> tuple[list[dict[str, Any]], dict[str, Any], _Rows]:
    from tx.evaluate.similarity import evaluate_similarity, read_pairs

    found = evaluate_similarity(vectors, read_pairs(lines, file), restrict)
    name = Path(file).name
    signature = f"cosine|restrict:{restrict or 'no'}|known:{found.known}/{found.total}"
    record = {"metric": "Spearman", "value": found.spearman, "signature": signature, "data": name}
    told = {
        "data": name,
        "spearman": found.spearman,
        "pearson": found.pearson,
        "known": found.known,
        "total": found.total,
    }
    row = (name, "Spearman", f"{found.spearman:.3f}", "-", f"{found.known:,}", f"{found.total:,}")
    return [record], told, [row]
