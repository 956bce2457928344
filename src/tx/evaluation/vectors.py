"""Evaluating word vectors: accuracy on analogies, and correlation with human judgements of word pairs."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tx.errors import TxError
from tx.evaluation.analogy import RESTRICT_VOCAB, evaluate_analogies, read_questions
from tx.evaluation.report import Report, record
from tx.evaluation.similarity import evaluate_similarity, read_pairs
from tx.package import Package
from tx.text.lines import read_lines
from tx.vectors import read_vectors
from tx.vectors.search import Method

COLUMNS = ("data", "measure", "score", "correct", "known", "total")


def evaluate(
    package: Package, files: Sequence[str], *, restrict: int | None = None, method: Method = "add"
) -> Report:
    """Evaluate word vectors on each file; its first line shows whether it has analogies or word pairs.

    `restrict` is the number of words that take part, most frequent first (300,000); 0 means all. `method` answers
    the analogies. Raises TxError for a file that is empty or shares too few words with the vocabulary.
    """
    vectors = read_vectors(package)
    restrict_vocab = RESTRICT_VOCAB if restrict is None else restrict or None
    records: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    for file in files:
        lines, name = list(read_lines(file)), Path(file).name
        if not any(map(str.strip, lines)):
            raise TxError(f"{file} is empty", "give analogies, or pairs of words with scores")
        if not lines[0].startswith(":") and len(lines[0].split()) != 4:
            similarity = evaluate_similarity(vectors, read_pairs(lines, file), restrict_vocab)
            known, total = similarity.known, similarity.total
            signature = f"cosine|restrict:{restrict_vocab or 'no'}|known:{known}/{total}"
            records.append(record("Spearman", similarity.spearman, signature, name))
            details.append({"data": name, **asdict(similarity)})
            rows.append((name, "Spearman", f"{similarity.spearman:.3f}", "-", f"{known:,}", f"{total:,}"))
            continue
        found = evaluate_analogies(vectors, read_questions(lines, file), restrict_vocab, method)
        if not found.total.known:
            raise TxError(f"no analogy in {file} has vectors for all four words", "check the language")
        asked = f"{found.total.known}/{found.total.total}"
        signature = f"{method}|restrict:{restrict_vocab or 'no'}|asked:{asked}"
        for part in (found.total, found.semantic, found.syntactic):
            if part.percent is not None:
                records.append(record(f"{part.name} accuracy", part.percent, signature, name))
        parts = [*found.sections, found.semantic, found.syntactic, found.total]
        details.append({"data": name, "sections": [part.details() for part in parts]})
        rows += [(name, *part.row()) for part in parts]
    document = {"model": package.name, "files": details, "scores": records}
    return Report(records, document, COLUMNS, rows)
