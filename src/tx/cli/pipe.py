"""Lines from files and pipes, in batches that suit both a keyboard and a large file; and what pipes share."""

import json
import re
import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from tx.cli import console
from tx.cli.console import argument, option
from tx.errors import TxError, UsageError
from tx.text.lines import available_lines, open_input

if TYPE_CHECKING:
    pass

BATCH = 1000  # lines in a batch, where a file or a fast pipe provides them
FIRST = 16  # lines in the first batch, so that the first output comes soon
sampling = partial(option, panel="Sampling")  # an option in the panel of the help page

Files = Annotated[list[str] | None, argument("FILE", "Text files, plain or .gz; by default stdin.")]
Input = Annotated[str, option("Read FILE; - is stdin.", "--input", "-i", metavar="FILE")]
Output = Annotated[str, option("Write to FILE; - is stdout.", "--output", "-o", metavar="FILE")]
Sentence = Annotated[
    str | None, argument("[SENTENCE]", "Source sentence; by default the first line of stdin.")
]
TopK = Annotated[int | None, sampling("Sample from the N most probable tokens; 0: from all.", min=0)]
TopP = Annotated[
    float | None, sampling("Sample from the most probable tokens of total probability X.", min=0, max=1)
]
Seed = Annotated[int | None, sampling("Random seed.")]


def input_paths(files: list[str] | None, input: str) -> list[str]:
    """The files to read lines from; a note appears at once if one is the terminal.

    Raises UsageError if the input is given both as arguments and as an option.
    """
    if files and input != "-":
        raise UsageError("the input is given twice", "name files, or one file with -i")
    paths = files or [input]
    if "-" in paths and sys.stdin is not None and sys.stdin.isatty():
        console.note("reading lines from the terminal; end with Ctrl-D", style="dim")
    return paths


def line_batches(files: list[str] | None, input: str, ramp: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Batches of the lines that have arrived, each with the number (from 0) of its first line.

    With `ramp` batches grow fourfold from `FIRST` to `BATCH`, for work that takes seconds for a batch. Call it before
    a model is loaded: the note of `input_paths` appears at once.
    """
    paths = input_paths(files, input)

    def batches(size: int) -> Iterator[tuple[int, list[str]]]:
        number = 0
        for path in paths:
            with open_input(path) as stream:
                for lines in available_lines(stream, BATCH, console.warn):
                    while lines:
                        yield number, lines[:size]
                        number += len(lines[:size])
                        lines, size = lines[size:], min(BATCH, 4 * size)

    return batches(FIRST if ramp else BATCH)


def one_line(text: str | None) -> str:
    """The text from the command line; without one, or for `-`, the first line of stdin.

    Raises TxError where there is none.
    """
    if text is not None and text != "-":
        return text
    for _, lines in line_batches(None, "-"):
        if len(lines) > 1:
            console.warn("only the first line of stdin is read")
        return lines[0]
    raise TxError("there is no sentence on stdin", "echo SENTENCE | tx ..., or give it as an argument")


def json_line(value: Any) -> str:
    """`value` as JSON on one line; characters at which some readers end a line are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\x85\u2028\u2029]", lambda cut: f"\\u{ord(cut[0]):04x}", text)
