"""The accuracy of word vectors on analogies: a is to b as c is to ... (Mikolov et al. 2013, arXiv:1301.3781).

The rules are those of word2vec's own script and of gensim: case is ignored, only the first `restrict_vocab` words
take part, questions with a word outside them are skipped, and the words of a question are never its answer.
Thousands of questions are answered in one matrix product.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tx.errors import TxError
from tx.vectors.search import Method, Query
from tx.vectors.word_vectors import WordVectors

RESTRICT_VOCAB = 300_000  # gensim's default; word2vec's script takes 30,000
_BATCH = 1024  # questions in one matrix product
_SYNTACTIC = "gram"  # the names of the grammatical sections begin with this


@dataclass(frozen=True)
class Section:
    """A section of a file of analogies, each a, b, c and the expected word."""

    name: str
    questions: list[tuple[str, str, str, str]] = field(default_factory=list)


@dataclass
class Accuracy:
    """The number of correct answers, and of questions."""

    name: str
    correct: int = 0
    known: int = 0  # questions whose four words all have vectors
    total: int = 0

    @property
    def percent(self) -> float | None:
        return 100 * self.correct / self.known if self.known else None

    def details(self) -> dict[str, Any]:
        """The counts as a JSON object."""
        return {"name": self.name, "correct": self.correct, "asked": self.known, "total": self.total}

    def row(self) -> tuple[str, ...]:
        """Name, percent and counts as the cells of a table."""
        percent = "-" if self.percent is None else f"{self.percent:.1f}"
        return self.name, percent, f"{self.correct:,}", f"{self.known:,}", f"{self.total:,}"


@dataclass(frozen=True)
class AnalogyReport:
    sections: list[Accuracy]
    semantic: Accuracy
    syntactic: Accuracy
    total: Accuracy


def read_questions(lines: Iterable[str], name: str) -> list[Section]:
    """The sections of a file like questions-words.txt: `: name`, then four words on each line.

    Raises TxError that names the line of the file `name` that does not have four words.
    """
    sections: list[Section] = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if line.startswith(":"):
            sections.append(Section(line[1:].strip()))
        elif len(words) == 4:
            if not sections:
                sections.append(Section("all"))
            a, b, c, d = words
            sections[-1].questions.append((a, b, c, d))
        elif words:
            raise TxError(
                f"{name}:{number} has {len(words)} words, and an analogy has four", "correct the line"
            )
    return sections


def rows_by_word(vectors: WordVectors, restrict_vocab: int | None) -> dict[str, list[int]]:
    """The rows of each word in upper case among the first `restrict_vocab`, the most frequent spelling first."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, word in enumerate(vectors.words[: restrict_vocab or None]):
        rows[word.upper()].append(row)
    return rows


def evaluate_analogies(
    vectors: WordVectors,
    sections: Sequence[Section],
    restrict_vocab: int | None = RESTRICT_VOCAB,
    method: Method = "add",
) -> AnalogyReport:
    """Answer every question of every section; None for `restrict_vocab` takes all words."""
    rows = rows_by_word(vectors, restrict_vocab)
    report = AnalogyReport([], Accuracy("semantic"), Accuracy("syntactic"), Accuracy("total"))
    queries: list[Query] = []
    expected: list[tuple[list[int], tuple[Accuracy, ...]]] = []  # rows of the right answer, where it counts
    for section in sections:
        report.sections.append(Accuracy(section.name))
        kind = report.syntactic if section.name.startswith(_SYNTACTIC) else report.semantic
        counters = report.sections[-1], kind, report.total
        for words in section.questions:
            a, b, c, d = (rows.get(word.upper(), []) for word in words)
            if a and b and c and d:
                queries.append(Query((b[0], a[0], c[0]), (1, -1, 1), exclude=(*a, *b, *c)))
                expected.append((d, counters))
        for counter in counters:
            counter.total += len(section.questions)
    for start in range(0, len(queries), _BATCH):
        found = vectors.search(queries[start : start + _BATCH], 1, method, restrict_vocab)
        for neighbors, (right, counted) in zip(found, expected[start : start + _BATCH], strict=True):
            for counter in counted:
                counter.known += 1
                counter.correct += bool(neighbors) and neighbors[0].row in right
    return report
