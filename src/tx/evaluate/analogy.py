"""How many analogies word vectors get right: a is to b as c is to ... (Mikolov et al. 2013, arXiv:1301.3781).

The rules are those of word2vec's own script and of gensim: case does not count, only the first `restrict` words
take part, a question with a word outside them is not asked, and none of the question's own words is an answer.
Thousands of questions are asked in one matrix product.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tx.errors import TxError
from tx.vectors.search import Method, Question, search
from tx.vectors.store import WordVectors

RESTRICT = 300_000  # gensim's default; word2vec's script takes 30,000
_BATCH = 1024  # questions in one product
SYNTACTIC = "gram"  # how the names of the grammatical sections begin


@dataclass(frozen=True)
class Section:
    """A part of a file of analogies, each a, b, c and the expected word."""

    name: str
    questions: list[tuple[str, str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Accuracy:
    name: str
    correct: int
    asked: int  # questions whose four words are known
    total: int

    @property
    def percent(self) -> float | None:
        return 100 * self.correct / self.asked if self.asked else None


@dataclass(frozen=True)
class AnalogyReport:
    sections: list[Accuracy]
    semantic: Accuracy
    syntactic: Accuracy
    total: Accuracy


def read_questions(lines: Iterable[str], name: str) -> list[Section]:
    """The sections of a file like questions-words.txt: `: name`, then four words on each line.

    Raises TxError that names the line of `name` where there are not four words.
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
            raise TxError(f"{name}:{number} has {len(words)} words, and an analogy has four", "mend the line")
    return sections


def fold(vectors: WordVectors, restrict: int | None) -> dict[str, list[int]]:
    """The rows of each word among the first `restrict`, the most frequent spelling first, capitals or not."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, word in enumerate(vectors.words[: restrict or None]):
        rows[word.upper()].append(row)
    return rows


def evaluate_analogies(
    vectors: WordVectors,
    sections: Sequence[Section],
    restrict: int | None = RESTRICT,
    method: Method = "add",
) -> AnalogyReport:
    """Ask every question of every section; None for `restrict` takes all words."""
    rows_of = fold(vectors, restrict)
    questions: list[Question] = []
    expected: list[
        tuple[int, list[int]]
    ] = []  # the section of each question, and the rows of the right answer
    for number, section in enumerate(sections):
        for words in section.questions:
            a, b, c, d = (rows_of.get(word.upper(), []) for word in words)
            if a and b and c and d:
                questions.append(Question((b[0], a[0], c[0]), (1, -1, 1), exclude=(*a, *b, *c)))
                expected.append((number, d))
    correct = [0] * len(sections)
    for start in range(0, len(questions), _BATCH):
        answers = search(vectors, questions[start : start + _BATCH], 1, method, restrict)
        for answer, (number, right) in zip(answers, expected[start : start + _BATCH], strict=True):
            correct[number] += bool(answer) and answer[0].row in right
    asked = [0] * len(sections)
    for number, _ in expected:
        asked[number] += 1
    done = [
        Accuracy(section.name, hits, n, len(section.questions))
        for section, hits, n in zip(sections, correct, asked, strict=True)
    ]
    semantic = [part for part in done if not part.name.startswith(SYNTACTIC)]
    syntactic = [part for part in done if part.name.startswith(SYNTACTIC)]
    return AnalogyReport(done, _sum("semantic", semantic), _sum("syntactic", syntactic), _sum("total", done))


def _sum(name: str, parts: Sequence[Accuracy]) -> Accuracy:
    return Accuracy(
        name,
        sum(part.correct for part in parts),
        sum(part.asked for part in parts),
        sum(part.total for part in parts),
    )
