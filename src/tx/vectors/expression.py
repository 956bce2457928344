"""Sums of words as people type them: `king-man+woman`, `ice-cream - ice + mail`, `2*king - 'mother-in-law'`.

Hyphens are letters of some words and operators between others. So: an operator with space beside it is always
an operator; without space, the longest word of the vocabulary wins at each term; quotes protect what they
enclose. Weights are written `2*king`.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tx.errors import TxError, UsageError
from tx.vectors.search import Question
from tx.vectors.spelling import unknown_word
from tx.vectors.store import WordVectors

_WEIGHT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*\*\s*")
_QUOTED = re.compile(r"""'([^']+)'(?=[\s+-]|$)|"([^"]+)"(?=[\s+-]|$)""")
_CHUNK = re.compile(r"\S+")
_EXAMPLE = "for example: king-man+woman, 'ice-cream' - ice + mail, or 2*king - man"


@dataclass(frozen=True)
class Term:
    weight: float
    word: str

    def __str__(self) -> str:
        """The term without its sign."""
        size = abs(self.weight)
        return self.word if size == 1 else f"{size:g}*{self.word}"


def parse(text: str, is_word: Callable[[str], bool]) -> list[Term]:
    """The terms of an expression; `is_word` tells what is in the vocabulary.

    A term that is nowhere in the vocabulary ends at the next operator, and stands in the result for the caller
    to complain about. Raises UsageError where a term or an operator is missing.
    """
    terms: list[Term] = []
    at, sign = 0, 1.0
    text = text.strip()
    while at < len(text):
        operator = re.match(r"\s*([+-])\s*", text[at:])
        if operator:
            sign = 1.0 if operator[1] == "+" else -1.0
            at += operator.end()
        elif terms:
            rest = text[at:].strip()
            raise UsageError(f"there is no + or - before '{rest}' in '{text}'", _EXAMPLE)
        weight = _WEIGHT.match(text, at)
        if weight:
            at = weight.end()
        word, at = _word(text, at, is_word)
        terms.append(Term(sign * (float(weight[1]) if weight else 1.0), word))
    if not terms:
        raise UsageError("the expression is empty", _EXAMPLE)
    return terms


def _word(text: str, at: int, is_word: Callable[[str], bool]) -> tuple[str, int]:
    """The word at `at`, and where it ends."""
    if quoted := _QUOTED.match(text, at):
        return quoted[1] or quoted[2], quoted.end()
    chunk = _CHUNK.match(text, at)
    if chunk is None or chunk[0] in ("+", "-"):
        raise UsageError(
            f"there is no word {'at the end' if chunk is None else f'before {chunk[0]!r}'} of '{text}'",
            _EXAMPLE,
        )
    ends = [index for index, letter in enumerate(chunk[0]) if letter in "+-" and index] + [len(chunk[0])]
    rest = text[at + len(chunk[0]) :].lstrip()
    if chunk[0][-1] in "+-" and rest and rest[0] not in "+-":
        ends.pop()  # `king- man`: the minus has space after it
    found = [end for end in ends if is_word(chunk[0][:end])]
    end = max(found) if found else ends[0]
    return chunk[0][:end], at + end


def ask(terms: Sequence[Term], vectors: WordVectors) -> Question:
    """The terms as rows of `vectors`. Raises TxError for an unknown word, and where nothing is left of a sum."""
    rows: list[int] = []
    sums: dict[int, float] = defaultdict(float)
    for term in terms:
        row = vectors.find(term.word)
        if row is None:
            raise unknown_word(term.word, vectors.words, vectors.name)
        rows.append(row)
        sums[row] += term.weight
    if not any(sums.values()):
        raise TxError("the terms cancel each other out", "a sum needs a word that stays")
    return Question(tuple(rows), tuple(term.weight for term in terms))
