"""`tx tag`: lines in, the names in them marked."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tx.cli import console
from tx.cli.pipe import Files, Input, Output, json_line, line_batches
from tx.errors import UsageError
from tx.package import find_package
from tx.text.conll import Rows, SentenceReader
from tx.text.lines import LineWriter
from tx.text.words import Word, spaced, split_at_spaces, split_words

if TYPE_CHECKING:
    from tx.decode.tag import TaggedWords

Line = tuple[str, list[Word]]  # a line, and where its words stand


class Form(StrEnum):
    """How the input comes."""

    TEXT = "text"
    WORDS = "words"
    COLUMNS = "columns"


class Format(StrEnum):
    """How the output goes."""

    INLINE = "inline"
    COLUMNS = "columns"
    JSON = "json"


def tag(
    files: Files = None,
    model: console.Model = None,
    input: Input = "-",
    output: Output = "-",
    form: Annotated[
        Form,
        typer.Option(
            "--from",
            help="text: split into words here; words: spaces between them all; columns: one on each line, first.",
        ),
    ] = Form.TEXT,
    format: Annotated[
        Format, typer.Option(help="Names in brackets; a word and its tag on each line; or JSON.")
    ] = Format.INLINE,
    scores: Annotated[
        bool, typer.Option("--scores", help="inline: put the probability of each name into its brackets.")
    ] = False,
    device: console.Device = "auto",
    threads: console.Threads = 0,
    quiet: console.Quiet = False,
) -> None:
    """Mark the names in lines: one line out for each line in, in order, as soon as they can be had.

    ```
    $ echo "My name is Jiaqi." | tx tag -m names
    $ tx tag -m names --scores < text.txt
    $ tx tag -m names --format json < text.txt | jq -r '.entities[] | [.type, .text, .score] | @tsv'
    $ tx tag -m names --format columns < text.txt > text.conll
    $ tx tag -m names --from columns --format columns test.conll
    ```

    A blank line gives a blank line. With --format columns a line gives a line for each word, tags in BIO, and a blank
    one at the end. A score is the probability of just this name, no word more and none less, of just this type.
    """
    console.set_quiet(quiet)
    if scores and format is not Format.INLINE:
        raise UsageError(
            f"--scores means nothing with --format {format}", "JSON has the scores always, columns have none"
        )
    path = find_package(model, "tagging")
    batches, writer = line_batches(files, input, ramp=True), LineWriter(output)
    from tx.decode.tag import open_tagger

    tagger, write = open_tagger(path, device, threads), _WRITERS[format]
    with writer:
        for lines in _lines(batches, form):
            results = tagger.tag([[word.text for word in words] for _, words in lines])
            for line, found in zip(lines, results, strict=True):
                writer.write(write(line, found, scores))


def _lines(batches: Iterator[tuple[int, list[str]]], form: Form) -> Iterator[list[Line]]:
    """The lines, or the sentences in columns, that have arrived."""
    if form is Form.COLUMNS:
        sentences = SentenceReader()
        for _, lines in batches:
            yield [_sentence(rows) for rows in sentences.feed(lines)]
        yield [_sentence(rows) for rows in sentences.rest()]
        return
    split = split_words if form is Form.TEXT else split_at_spaces
    for _, lines in batches:
        yield [(line, split(line)) for line in lines]


def _sentence(rows: Rows) -> Line:
    return spaced(columns[0] for _, columns in rows)


# -- what is written of a line -----------------------------------------------------------------------


def _inline(line: Line, found: "TaggedWords", scores: bool) -> Iterator[str]:
    from tx.decode.tag import format_inline

    yield format_inline(*line, found.entities, scores)


def _columns(line: Line, found: "TaggedWords", scores: bool) -> Iterator[str]:
    for word, tag in zip(line[1], found.tags, strict=True):
        yield f"{word.text}\t{tag}"
    yield ""


def _json(line: Line, found: "TaggedWords", scores: bool) -> Iterator[str]:
    text, words = line
    entities = []
    for entity in found.entities:
        start, end = words[entity.span.start].start, words[entity.span.end - 1].end
        place = {"start": start, "end": end, "score": round(entity.score, 4)}
        entities.append({"type": entity.span.type, "text": text[start:end], **place})
    tagged = {"words": [word.text for word in words], "tags": found.tags}
    yield json_line({"text": text, "entities": entities, **tagged})


_WRITERS: dict[Format, Callable[[Line, "TaggedWords", bool], Iterator[str]]] = {
    Format.INLINE: _inline,
    Format.COLUMNS: _columns,
    Format.JSON: _json,
}
