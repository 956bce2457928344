"""`tx generate`: text from a language model."""

import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tx.cli import console
from tx.cli.console import argument, given, option
from tx.cli.pipe import Seed, TopK, TopP, json_line, line_batches, sampling
from tx.errors import UsageError
from tx.package import find_package
from tx.text.lines import LineWriter

if TYPE_CHECKING:
    from tx.decode.generate import GenerationOptions, LanguageModel

RULE = "-" * 16  # between samples


def generate(
    context: typer.Context,
    prompt: Annotated[
        str | None, argument("[PROMPT]", "Text to continue; by default each line of stdin.")
    ] = None,
    model: console.Model = None,
    length: Annotated[
        int, option("Maximum number of new tokens (for a character model, characters).", min=1)
    ] = 300,
    samples: Annotated[int, option("Number of continuations of each prompt.", "-n", min=1)] = 1,
    stop: Annotated[
        list[str] | None, option(r"Stop before STRING, repeatable; \n is a newline.", metavar="STRING")
    ] = None,
    next: Annotated[
        int | None, option("List the K most probable next words instead of generating.", metavar="K", min=1)
    ] = None,
    temperature: Annotated[
        float, sampling("Temperature; 0: greedy; below 1 it favours the more probable tokens.", min=0)
    ] = 0.8,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    repetition_penalty: Annotated[
        float, sampling("Values above 1 make tokens already in the text less probable.", min=0.01)
    ] = 1.0,
    seed: Seed = 1,
    as_json: console.Json = False,
    device: Annotated[
        str, option("Device; a GPU is faster for large models only.", metavar="cpu|cuda|cuda:N")
    ] = "cpu",
    quiet: console.Quiet = False,
) -> None:
    r"""Generate text with a language model, and print it token by token.

    ```
    $ tx generate -m bard "ROMEO:"
    $ tx generate -m bard "ROMEO:" --length 2000 --temperature 0.5 --seed 7
    $ tx generate -m bard "To be" --samples 5 --stop '\n'
    $ tx generate -m bard --next 5 "thou shalt"
    $ tx generate -m bard < prompts.txt
    $ tx generate -m bard --json < prompts.txt | jq -r .text
    ```

    Each line of stdin is a prompt and gives one line: without --json the text ends at its first newline. A blank
    line gives a blank line. A recurrent model conditions on the whole text. A Transformer whose context window is
    full continues with the last half of it.
    """
    # The matrix products of one step are too small to be shared between threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tx.decode.generate import GenerationOptions, open_language_model
    from tx.decode.sampling import Sampling

    if next is not None and (samples > 1 or stop):
        raise UsageError("--next lists words and generates no text", "omit --samples and --stop")
    stops = [re.sub(r"\\([nt])", lambda found: {"n": "\n", "t": "\t"}[found[1]], text) for text in stop or []]
    opened = open_language_model(find_package(model, "language-model"), device)
    options = GenerationOptions(length, Sampling(**given(context, Sampling)), repetition_penalty, stops)
    piped = prompt is None and not (sys.stdin is None or sys.stdin.isatty())
    if piped and not as_json:
        options.stops = [*stops, "\n"]
    batches = line_batches(None, "-") if piped else [(0, [prompt or ""])]
    warned: set[str] = set()
    number = -1
    with LineWriter("-") as writer:
        for first, lines in batches:
            for number, line in enumerate(lines, first):
                _warn_of_unknown(opened, line, warned)
                if piped or as_json:
                    for answer in _answer(opened, options, line, number, samples, next, as_json):
                        writer.write([answer])
                elif next is not None:
                    words = [(word, f"{p:.4f}") for word, p in _next_words(opened, line, next)]
                    console.print_table(["word", "probability"], words, header=False)
                else:
                    _stream(opened, writer, line, options, samples)
    if number < 0:
        console.note('there is no prompt on stdin; for text without a prompt: tx generate ""')


def _stream(
    model: "LanguageModel", writer: LineWriter, prompt: str, options: "GenerationOptions", samples: int
) -> None:
    """Print the prompt and its continuation as it is generated, with a rule between samples."""
    for number, pieces in enumerate(model.generate(prompt, options, n=samples)):
        writer.write_part((RULE + "\n") * (number > 0) + prompt)
        last = prompt
        for piece in pieces:
            if piece:
                writer.write_part(piece)
                last = piece
        if not last.endswith("\n"):
            writer.write_part("\n")


def _answer(
    model: "LanguageModel",
    options: "GenerationOptions",
    prompt: str,
    number: int,
    samples: int,
    k: int | None,
    as_json: bool,
) -> Iterator[str]:
    """The answer to one prompt: a line with the `k` next words, or a line for each sample."""
    if k is not None:
        words = _next_words(model, prompt, k)
        if as_json:
            records: list[dict[str, Any]] = [{"word": w, "probability": round(p, 6)} for w, p in words]
            yield json_line({"prompt": prompt, "next": records})
        else:
            yield "\t".join(f"{word}\t{p:.4f}" for word, p in words)
    elif not prompt.strip() and not as_json:
        yield from [""] * samples
    else:
        for sample, pieces in enumerate(model.generate(prompt, options, number, samples)):
            text = "".join(pieces)
            record = {"prompt": prompt, "sample": sample, "text": text}
            yield json_line(record) if as_json else prompt + text


def _next_words(model: "LanguageModel", prompt: str, k: int) -> list[tuple[str, float]]:
    from tx.decode.next_word import next_words

    found = next_words(model, prompt, k)
    if not found.certain:
        console.warn(f"the search for words after '{prompt}' was cut short, and may have missed better ones")
    return found.words


def _warn_of_unknown(model: "LanguageModel", prompt: str, warned: set[str]) -> None:
    """Warn once about each character that is not in the vocabulary."""
    if unknown := "".join(c for c in model.unknown(prompt) if c not in warned):
        warned.update(unknown)
        console.warn(f"not in the vocabulary of the model, and read as <unk>: {' '.join(unknown)}")
