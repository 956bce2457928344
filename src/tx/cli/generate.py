"""`tx generate`: a language model goes on with a text."""

import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tx.cli import console
from tx.cli.pipe import json_line, line_batches
from tx.errors import UsageError
from tx.package import find_package
from tx.text.lines import LineWriter

if TYPE_CHECKING:
    from tx.decode.generate import GenerationOptions, LanguageModel

SAMPLING = "Sampling"
RULE = "-" * 16  # between samples


def generate(
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="[PROMPT]", help="What to go on with; without it, each line of stdin."),
    ] = None,
    model: console.Model = None,
    length: Annotated[
        int, typer.Option(metavar="N", min=1, help="Tokens to add at most: of a character model, characters.")
    ] = 300,
    samples: Annotated[
        int, typer.Option("--samples", "-n", metavar="N", min=1, help="Go on in N different ways.")
    ] = 1,
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help=r"End before TEXT; \n is a newline. Can be repeated."),
    ] = None,
    next: Annotated[
        int | None,
        typer.Option("--next", metavar="K", min=1, help="List the K likeliest next words instead."),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            min=0, help="0: the likeliest token; 1: as learned; above: wilder.", rich_help_panel=SAMPLING
        ),
    ] = 0.8,
    top_k: Annotated[
        int,
        typer.Option(
            metavar="K", min=0, help="From the K likeliest tokens; 0: all.", rich_help_panel=SAMPLING
        ),
    ] = 0,
    top_p: Annotated[
        float,
        typer.Option(min=0, max=1, help="From the smallest set of this mass.", rich_help_panel=SAMPLING),
    ] = 1.0,
    repetition_penalty: Annotated[
        float,
        typer.Option(
            min=0.01, help="Above 1: tokens that were there become rarer.", rich_help_panel=SAMPLING
        ),
    ] = 1.0,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Another number, another text.", rich_help_panel=SAMPLING)
    ] = 1,
    as_json: console.Json = False,
    device: Annotated[
        str, typer.Option(help="cpu, cuda or cuda:N; a GPU pays for large models only.")
    ] = "cpu",
    quiet: console.Quiet = False,
) -> None:
    r"""Go on with a text, character by character as it is made up.

    ```
    $ tx generate -m bard "ROMEO:"
    $ tx generate -m bard "ROMEO:" --length 2000 --temperature 0.5 --seed 7
    $ tx generate -m bard "To be" --samples 5 --stop '\n'
    $ tx generate -m bard --next 5 "thou shalt"
    $ tx generate -m bard < prompts.txt
    $ tx generate -m bard --json < prompts.txt | jq -r .text
    ```

    A prompt from stdin is a line, and gives a line: the text ends at its first newline, but not with --json. A blank
    one gives a blank line. A recurrent model remembers the whole text; a Transformer whose context is full begins
    again with the last half of it.
    """
    console.set_quiet(quiet)
    # A step is made of products too small to share: more threads would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tx.decode.generate import GenerationOptions, open_language_model
    from tx.decode.sampling import Sampling

    if next is not None and (samples > 1 or stop):
        raise UsageError("--next lists words and makes up no text", "leave --samples and --stop away")
    stops = [re.sub(r"\\([nt])", lambda found: {"n": "\n", "t": "\t"}[found[1]], text) for text in stop or []]
    opened = open_language_model(find_package(model, "language-model"), device)
    options = GenerationOptions(length, Sampling(temperature, top_k, top_p, seed), repetition_penalty, stops)
    with LineWriter("-") as writer:
        if prompt is None and not (sys.stdin is None or sys.stdin.isatty()):
            if not as_json:
                options.stops = [*stops, "\n"]
            _pipe(opened, writer, _lines(opened, options, samples, next, as_json))
            return
        _warn_of_unknown(opened, prompt or "", set())
        if next is not None:
            _show_next(opened, prompt or "", next, as_json)
        elif as_json:
            writer.write(_lines(opened, options, samples, None, True)(prompt or "", 0))
        else:
            _stream(opened, writer, prompt or "", options, samples)


def _stream(
    model: "LanguageModel", writer: LineWriter, prompt: str, options: "GenerationOptions", samples: int
) -> None:
    """Print prompt and text as it comes, samples with a rule between them."""
    for number, pieces in enumerate(model.generate(prompt, options, n=samples)):
        writer.write_part((RULE + "\n") * (number > 0) + prompt)
        last = prompt
        for piece in pieces:
            if piece:
                writer.write_part(piece)
                last = piece
        if not last.endswith("\n"):
            writer.write_part("\n")


def _lines(
    model: "LanguageModel", options: "GenerationOptions", samples: int, k: int | None, as_json: bool
) -> Callable[[str, int], Iterable[str]]:
    """What answers a prompt, the line of a number, in as many lines as there are samples."""

    def answer(prompt: str, number: int) -> Iterable[str]:
        if k is not None:
            yield _next_line(model, prompt, k, as_json)
            return
        if not prompt.strip() and not as_json:
            yield from [""] * samples
            return
        for sample, pieces in enumerate(model.generate(prompt, options, number, samples)):
            text = "".join(pieces)
            yield json_line({"prompt": prompt, "sample": sample, "text": text}) if as_json else prompt + text

    return answer


def _pipe(model: "LanguageModel", writer: LineWriter, answer: Callable[[str, int], Iterable[str]]) -> None:
    warned: set[str] = set()
    n_lines = 0
    for first, lines in line_batches(None, "-"):
        n_lines += len(lines)
        for number, line in enumerate(lines, first):
            _warn_of_unknown(model, line, warned)
            for item in answer(line, number):
                writer.write([item])
    if not n_lines:
        console.note('no prompt came on stdin; for a text from nothing, give an empty one: tx generate ""')


def _show_next(model: "LanguageModel", prompt: str, k: int, as_json: bool) -> None:
    if as_json:
        console.print_json({"prompt": prompt, "next": _records(_next(model, prompt, k))})
    else:
        console.print_table(
            ["word", "probability"], [(w, f"{p:.4f}") for w, p in _next(model, prompt, k)], header=False
        )


def _next_line(model: "LanguageModel", prompt: str, k: int, as_json: bool) -> str:
    words = _next(model, prompt, k)
    if as_json:
        return json_line({"prompt": prompt, "next": _records(words)})
    return "\t".join(f"{word}\t{probability:.4f}" for word, probability in words)


def _records(words: list[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"word": word, "probability": round(probability, 6)} for word, probability in words]


def _next(model: "LanguageModel", prompt: str, k: int) -> list[tuple[str, float]]:
    from tx.decode.next_word import next_words

    found = next_words(model, prompt, k)
    if not found.certain:
        console.warn(
            f"the words after '{prompt}' are the best of those found; likelier ones may have been missed"
        )
    return found.words


def _warn_of_unknown(model: "LanguageModel", prompt: str, warned: set[str]) -> None:
    """Say once which characters mean nothing to the model."""
    if unknown := "".join(c for c in model.unknown(prompt) if c not in warned):
        warned.update(unknown)
        console.warn(
            f"the model has never seen {' '.join(unknown)}, and reads something unknown in its place"
        )
