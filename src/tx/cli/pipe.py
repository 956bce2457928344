"""Lines from files and pipes, in the batches that suit a command which must answer soon and work fast."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from tx.cli import console
from tx.errors import TxError, UsageError
from tx.text.lines import available_lines, open_input

BATCH = 1000  # lines taken together when a file or a fast pipe provides them
FIRST = 16  # and at the start, so that the first answer comes soon

Files = Annotated[
    list[str] | None, typer.Argument(metavar="FILE", help="Text, plain or .gz, instead of stdin.")
]
Input = Annotated[str, typer.Option("--input", "-i", metavar="FILE", help="The same, for one file.")]
Output = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write here, not to stdout.")]


def input_paths(files: list[str] | None, input: str) -> list[str]:
    """The files to read lines from; says at once if that is the terminal.

    Raises UsageError if the input is given both as arguments and as an option.
    """
    if files and input != "-":
        raise UsageError("the input is given twice", "name files, or one file with -i")
    paths = files or [input]
    if "-" in paths and sys.stdin is not None and sys.stdin.isatty():
        console.note("reading lines from the terminal; Ctrl-D ends", style="dim")
    return paths


def line_batches(files: list[str] | None, input: str, ramp: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Batches of the lines that have arrived, each with the number (from 0) of its first line.

    With `ramp` batches grow fourfold from `FIRST` to `BATCH`: for work that takes seconds for a batch. Called
    before a model is loaded, it says at once that it waits for the terminal.
    """
    return _batches(input_paths(files, input), FIRST if ramp else BATCH)


def one_line(text: str | None) -> str:
    """The text from the command line; without one, or for `-`, the first line of stdin.

    Raises TxError where there is none.
    """
    if text is not None and text != "-":
        return text
    for _, lines in line_batches(None, "-"):
        if len(lines) > 1:
            console.warn("of stdin only the first line is read")
        return lines[0]
    raise TxError("there is no sentence on stdin", "echo SENTENCE | tx ..., or name it on the command line")


def _batches(paths: list[str], size: int) -> Iterator[tuple[int, list[str]]]:
    number = 0
    for path in paths:
        with open_input(path) as stream:
            for lines in available_lines(stream, BATCH, console.warn):
                while lines:
                    yield number, lines[:size]
                    number += len(lines[:size])
                    lines, size = lines[size:], min(BATCH, 4 * size)


def json_line(value: Any) -> str:
    """`value` as JSON in one line, for whatever reader: what some would cut at is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\x85\u2028\u2029]", lambda cut: f"\\u{ord(cut[0]):04x}", text)
