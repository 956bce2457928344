"""`tx tag`: lines in, with their named entities marked."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Literal

from tx.cli import console
from tx.cli.console import option
from tx.cli.pipe import Files, Input, Output, json_line, line_batches
from tx.errors import UsageError
from tx.package import find_package
from tx.text.conll import SentenceReader
from tx.text.lines import LineWriter
from tx.text.words import Word, spaced, split_at_spaces, split_words

if TYPE_CHECKING:
    from tx.decode.tag import TaggedWords

Line = tuple[str, list[Word]]  # a line, and the positions of its words


def tag(
    files: Files = None,
    model: console.Model = None,
    input: Input = "-",
    output: Output = "-",
    input_format: Annotated[
        Literal["text", "words", "columns"],
        option(
            "Input: running text, words separated by spaces, or the first column of a file with one word per line.",
            "--from",
        ),
    ] = "text",
    format: Annotated[
        Literal["inline", "columns", "json"], option("Output: entities in brackets, word and tag, or JSON.")
    ] = "inline",
    scores: Annotated[bool, option("Add the probability of each entity to the inline format.")] = False,
    device: console.Device = "auto",
    threads: console.Threads = 0,
    quiet: console.Quiet = False,
) -> None:
    """Mark named entities in text: one output line for each input line, printed as soon as it is ready.

    ```
    $ echo "My name is Jiaqi." | tx tag -m names
    $ tx tag -m names --scores < text.txt
    $ tx tag -m names --format json < text.txt | jq -r '.entities[] | [.type, .text, .score] | @tsv'
    $ tx tag -m names --format columns < text.txt > text.conll
    $ tx tag -m names --from columns --format columns test.conll
    ```

    A blank line gives a blank line. With --format columns each word gives a line with its tag in BIO notation, and
    a blank line ends each sentence. A score is the probability of an entity with exactly this span and type.
    """
    if scores and format != "inline":
        raise UsageError(
            f"--scores does not apply to --format {format}", "JSON always has scores, columns never have"
        )
    path = find_package(model, "tagging")
    batches, writer = line_batches(files, input, ramp=True), LineWriter(output)
    from tx.decode.tag import open_tagger

    tagger = open_tagger(path, device, threads)
    with writer:
        for lines in _read(batches, input_format):
            results = tagger.tag([[word.text for word in words] for _, words in lines])
            for line, found in zip(lines, results, strict=True):
                writer.write(_formatted(line, found, format, scores))


def _read(batches: Iterator[tuple[int, list[str]]], form: str) -> Iterator[list[Line]]:
    """Batches of lines, or of sentences in columns, that have arrived."""
    if form == "columns":
        sentences = SentenceReader()
        for rows in chain((sentences.feed(lines) for _, lines in batches), [sentences.rest()]):
            yield [spaced(columns[0] for _, columns in sentence) for sentence in rows]
        return
    split = split_words if form == "text" else split_at_spaces
    for _, lines in batches:
        yield [(line, split(line)) for line in lines]


def _formatted(line: Line, found: "TaggedWords", format: str, scores: bool) -> Iterator[str]:
    from tx.decode.tag import format_inline

    text, words = line
    if format == "inline":
        yield format_inline(text, words, found.entities, scores)
    elif format == "columns":
        for word, tag in zip(words, found.tags, strict=True):
            yield f"{word.text}\t{tag}"
        yield ""
    else:
        entities = []
        for entity in found.entities:
            start, end = entity.characters(words)
            place = {"start": start, "end": end, "score": round(entity.score, 4)}
            entities.append({"type": entity.span.type, "text": text[start:end], **place})
        tagged = {"words": [word.text for word in words], "tags": found.tags}
        yield json_line({"text": text, "entities": entities, **tagged})
