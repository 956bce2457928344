"""Tagged words in columns, the format of the CoNLL shared tasks (Tjong Kim Sang and De Meulder 2003).

A line has a word in its first column and the tag in its last; a blank line ends a sentence. Two schemes are read. In
BIO (IOB2) every entity begins with B-TYPE and continues with I-TYPE. In IOB1 it begins with I-TYPE, and with B-TYPE
only after another entity of its type. tx writes BIO.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tx.errors import TxError
from tx.text.lines import read_lines

OUTSIDE = "O"
_TAG = re.compile(r"O|[BI]-\S+")
_DOCUMENT = "-DOCSTART-"

Rows = list[tuple[int, list[str]]]  # the line numbers, from 1, and columns of a sentence


@dataclass(frozen=True)
class TaggedSentence:
    """The words of a sentence, their BIO tags, and their line numbers in the file."""

    words: list[str]
    tags: list[str]
    lines: list[int]


@dataclass(frozen=True, order=True)
class Span:
    """An entity: the words `start` to `end` - 1."""

    start: int
    end: int
    type: str


def spans_from_tags(tags: Sequence[str]) -> list[Span]:
    """The entities of a tag sequence in either scheme, in order, as the shared task's scorer reads them.

    B begins an entity, and so does I after another tag than B or I of its type.
    """
    found: list[Span] = []
    start, open_type = 0, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        kind, _, type = tag.partition("-")
        if open_type and (kind != "I" or type != open_type):
            found.append(Span(start, place, open_type))
            open_type = ""
        if type and not open_type:
            start, open_type = place, type
    return found


def bio_tags(spans: Iterable[Span], n_words: int) -> list[str]:
    """The BIO tags of entities that do not overlap."""
    tags = [OUTSIDE] * n_words
    for span in spans:
        tags[span.start : span.end] = [f"I-{span.type}"] * (span.end - span.start)
        tags[span.start] = f"B-{span.type}"
    return tags


class SentenceReader:
    """Groups lines into sentences as they arrive; skips `-DOCSTART-` lines and comments."""

    def __init__(self) -> None:
        self._rows: Rows = []
        self._number = 0

    def feed(self, lines: Iterable[str]) -> Iterator[Rows]:
        """The sentences that end within `lines`, the next lines of the text."""
        for line in lines:
            self._number += 1
            columns = _columns(line)
            if columns and columns[0] != _DOCUMENT:
                if not _is_comment(line, columns):
                    self._rows.append((self._number, columns))
            else:
                yield from self.rest()

    def rest(self) -> Iterator[Rows]:
        """The last sentence, if no blank line has ended it."""
        if self._rows:
            yield self._rows
            self._rows = []


def _columns(line: str) -> list[str]:
    """The columns of a line, separated by tabs if it has any, else by spaces; [] for a blank line."""
    line = line.rstrip()
    if not line:
        return []
    return line.split("\t") if "\t" in line else line.strip(" ").split()


def _is_comment(line: str, columns: list[str]) -> bool:
    """Whether a line is a comment, as `# id = 7` is; `# O` and `#tag O` are words."""
    return line.startswith("# ") and not _TAG.fullmatch(columns[-1])


def read_words(path: str | Path) -> Iterator[list[str]]:
    """The words of each sentence of a file in columns."""
    sentences = SentenceReader()
    for rows in sentences.feed([*read_lines(path), ""]):
        yield [columns[0] for _, columns in rows]


def read_tagged(path: str | Path) -> list[TaggedSentence]:
    """The sentences of a file in columns, with their tags converted to BIO.

    Raises TxError, with file and line, for a word without a tag, an invalid tag, and a tag that is inconsistent with
    the scheme of the file; and for a file without a sentence.
    """
    found = []
    for rows in SentenceReader().feed([*read_lines(path), ""]):
        for number, columns in rows:
            _check_row(f"{path}:{number}", columns)
        numbers, columns_of = zip(*rows, strict=True)
        found.append(TaggedSentence([c[0] for c in columns_of], [c[-1] for c in columns_of], list(numbers)))
    if not found:
        raise TxError(f"{path} has no sentence", "each line needs a word and its tag")
    _check_scheme(str(path), found)
    return [TaggedSentence(s.words, bio_tags(spans_from_tags(s.tags), len(s.words)), s.lines) for s in found]


def _check_row(where: str, columns: list[str]) -> None:
    hint = "each line needs a word first and its tag last, separated by spaces or tabs"
    if len(columns) < 2:
        raise TxError(f"{where}: '{columns[0]}' has no tag", hint)
    if not columns[0]:
        raise TxError(f"{where}: the tag {columns[-1]} has no word", hint)
    if not _TAG.fullmatch(columns[-1]):
        raise TxError(
            f"{where}: '{columns[-1]}' is not a tag", f"{hint}; tags are O, B-TYPE and I-TYPE (BIO or IOB1)"
        )


def _check_scheme(path: str, sentences: Sequence[TaggedSentence]) -> None:
    """Raise TxError, with the first inconsistent line, unless all entities begin in one scheme."""
    begun: dict[str, list[tuple[int, str, str]]] = {
        "B": [],
        "I": [],
    }  # beginnings that only one scheme allows
    for sentence in sentences:
        before = OUTSIDE
        for number, tag in zip(sentence.lines, sentence.tags, strict=True):
            if tag != OUTSIDE and tag[2:] != before[2:]:
                begun[tag[0]].append((number, tag, before))
            before = tag
    bio = len(begun["B"]) >= len(begun["I"])
    if wrong := begun["I" if bio else "B"]:
        number, tag, before = wrong[0]
        scheme, right = ("BIO", "B") if bio else ("IOB1", "I")
        more = f"; {len(wrong) - 1:,} more lines have this problem" if len(wrong) > 1 else ""
        raise TxError(
            f"{path}:{number}: {tag} follows {before}, and in {scheme}, which this file has, an entity begins "
            f"with {right}-{tag[2:]} there{more}",
            f"write {right}-{tag[2:]}, or correct the tag before it",
        )
