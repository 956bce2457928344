"""Sums of words as typed on a command line: `king-man+woman`, `ice-cream - ice + mail`, `2*king - 'mother-in-law'`.

A hyphen may be part of a word or an operator. An operator with a space next to it is always an operator; without
spaces, each term is the longest word of the vocabulary; quotes protect a word. Weights are written `2*king`.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tx.errors import TxError, UsageError
from tx.vectors.search import Method
from tx.vectors.word_vectors import WordVectors

_OPERATOR = re.compile(r"\s*([+-])\s*")
_WEIGHT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*\*\s*")
_QUOTED = re.compile(r"""'([^']+)'(?=[\s+-]|$)|"([^"]+)"(?=[\s+-]|$)""")
_CHUNK = re.compile(r"\S+")
_EXAMPLE = "for example: king-man+woman, 'ice-cream' - ice + mail, or 2*king - man"


class Term(NamedTuple):
    """A word and its weight in a sum."""

    word: str
    weight: float = 1.0

    def __str__(self) -> str:
        """The term without its sign."""
        size = abs(self.weight)
        return self.word if size == 1 else f"{size:g}*{self.word}"


class Answer(NamedTuple):
    """The terms of an expression, and the words nearest to their sum with their scores."""

    terms: Sequence[Term]
    words: list[tuple[str, float]]


def parse(text: str, vectors: WordVectors) -> list[Term]:
    """The terms of an expression.

    A term that does not begin with any word of the vocabulary ends at the next operator; the query for it then
    reports the unknown word. Raises UsageError where a term or an operator is missing.
    """
    terms: list[Term] = []
    at, sign = 0, 1.0
    text = text.strip()
    while at < len(text):
        if operator := _OPERATOR.match(text, at):
            sign = 1.0 if operator[1] == "+" else -1.0
            at = operator.end()
        elif terms:
            raise UsageError(f"there is no + or - before '{text[at:].strip()}' in '{text}'", _EXAMPLE)
        weight = _WEIGHT.match(text, at)
        if weight:
            at = weight.end()
        word, at = _parse_word(text, at, vectors)
        terms.append(Term(word, sign * (float(weight[1]) if weight else 1.0)))
    if not terms:
        raise UsageError("the expression is empty", _EXAMPLE)
    return terms


def _parse_word(text: str, at: int, vectors: WordVectors) -> tuple[str, int]:
    """The word at `at`, and where it ends."""
    if quoted := _QUOTED.match(text, at):
        return quoted[1] or quoted[2], quoted.end()
    chunk = _CHUNK.match(text, at)
    if chunk is None or chunk[0] in ("+", "-"):
        place = "at the end" if chunk is None else f"before '{chunk[0]}'"
        raise UsageError(f"a word is missing {place} of '{text}'", _EXAMPLE)
    ends = [index for index, letter in enumerate(chunk[0]) if letter in "+-" and index] + [len(chunk[0])]
    rest = text[chunk.end() :].lstrip()
    if chunk[0][-1] in "+-" and rest and rest[0] not in "+-":
        ends.pop()  # `king- man`: the minus has a space after it
    end = next((end for end in reversed(ends) if chunk[0][:end] in vectors), ends[0])
    return chunk[0][:end], at + end


def answer_lines(
    vectors: WordVectors,
    lines: Sequence[str],
    parse_line: Callable[[str], Sequence[Term]],
    topn: int = 10,
    method: Method = "add",
    restrict_vocab: int | None = None,
) -> list[Answer | TxError | None]:
    """Answer an expression on each line, all in one pass over the matrix; a blank line gives None.

    An expression that cannot be answered gives its error instead.
    """
    answers: list[Answer | TxError | None] = [None] * len(lines)
    asked, queries = [], []
    for i, line in enumerate(lines):
        try:
            if line.strip():
                terms = parse_line(line)
                queries.append(vectors.query(terms))
                asked.append((i, terms))
        except TxError as error:
            answers[i] = error
    found = vectors.search(queries, topn, method, restrict_vocab)
    for (i, terms), neighbors in zip(asked, found, strict=True):
        answers[i] = Answer(terms, vectors.named(neighbors))
    return answers
