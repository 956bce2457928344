"""Evaluating word vectors: analogies and the similarity of word pairs, distinguished by the first line of a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tx.errors import TxError, UsageError
from tx.evaluate.analogy import RESTRICT, evaluate_analogies, read_questions
from tx.evaluate.report import Report, record
from tx.evaluate.similarity import evaluate_similarity, read_pairs
from tx.package import Package
from tx.text.lines import read_lines
from tx.vectors import WordVectors, read_vectors
from tx.vectors.search import METHODS, Method

COLUMNS = ("data", "measure", "score", "correct", "known", "of")


def evaluate(
    package: Package, files: Sequence[str], *, restrict: int | None = None, method: str = "add"
) -> Report:
    """Score the vectors on each file: the accuracy of analogies in percent, Spearman's correlation of word pairs."""
    chosen = next((known for known in METHODS if known == method), None)
    if chosen is None:
        raise UsageError(f"there is no method '{method}'", f"the methods are {' and '.join(METHODS)}")
    vectors = read_vectors(package)
    limit = RESTRICT if restrict is None else restrict or None
    reports = []
    for file in files:
        lines = list(read_lines(file))
        if not any(map(str.strip, lines)):
            raise TxError(f"{file} is empty", "give analogies, or pairs of words with scores")
        if lines[0].startswith(":") or len(lines[0].split()) == 4:
            reports.append(_analogies(vectors, file, lines, limit, chosen))
        else:
            reports.append(_similarity(vectors, file, lines, limit))
    records = [score for report in reports for score in report.records]
    details = {"model": package.name, "files": [report.details for report in reports], "scores": records}
    return Report(records, details, COLUMNS, [row for report in reports for row in report.rows])


def _analogies(
    vectors: WordVectors, file: str, lines: Sequence[str], restrict: int | None, method: Method
) -> Report:
    found = evaluate_analogies(vectors, read_questions(lines, file), restrict, method)
    if not found.total.asked:
        raise TxError(f"no analogy in {file} has its four words among the vectors", "check the language")
    name = Path(file).name
    signature = f"{method}|restrict:{restrict or 'no'}|asked:{found.total.asked}/{found.total.total}"
    records = [
        record(f"{part.name} accuracy", part.percent, signature, name)
        for part in (found.total, found.semantic, found.syntactic)
        if part.percent is not None
    ]
    parts = (*found.sections, found.semantic, found.syntactic, found.total)
    sections = [
        {"name": part.name, "correct": part.correct, "asked": part.asked, "total": part.total}
        for part in parts
    ]
    rows = []
    for part in parts:
        shown = "-" if part.percent is None else f"{part.percent:.1f}"
        rows.append((name, part.name, shown, f"{part.correct:,}", f"{part.asked:,}", f"{part.total:,}"))
    return Report(records, {"data": name, "sections": sections}, COLUMNS, rows)


def _similarity(vectors: WordVectors, file: str, lines: Sequence[str], restrict: int | None) -> Report:
    found = evaluate_similarity(vectors, read_pairs(lines, file), restrict)
    name = Path(file).name
    signature = f"cosine|restrict:{restrict or 'no'}|known:{found.known}/{found.total}"
    details: dict[str, Any] = {"data": name, "spearman": found.spearman, "pearson": found.pearson}
    details |= {"known": found.known, "total": found.total}
    row = (name, "Spearman", f"{found.spearman:.3f}", "-", f"{found.known:,}", f"{found.total:,}")
    return Report([record("Spearman", found.spearman, signature, name)], details, COLUMNS, [row])
