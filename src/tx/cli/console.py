"""What all commands share: notes on stderr, tables and JSON on stdout, and the most common options."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, TypeVar

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tx.decode.config import MAX_BEAM_SIZE

T = TypeVar("T")
RGB = tuple[int, int, int]
METAVARS = {bool: "", int: "N", float: "X"}  # of options that declare none


def option(
    help: str, *names: str, metavar: str | None = None, panel: str | None = None, **limits: Any
) -> Any:
    """A Typer option with its help line and the panel of the help page that lists it; see `complete`."""
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=panel, **limits)


def argument(metavar: str, help: str) -> Any:
    """A Typer argument with its value name and its help line."""
    return typer.Argument(metavar=metavar, help=help)


def given(context: typer.Context, options: type) -> dict[str, Any]:
    """The parameters of a command that are fields of the dataclass `options`, without those that are None."""
    found = {field.name: context.params.get(field.name) for field in fields(options)}
    return {name: value for name, value in found.items() if value is not None}


def complete(option: Any) -> None:
    """Add the long name and the value name to an option that declares none, and remove `--no-x` of a simple flag."""
    kind = option.type_descriptor
    if not any(name.startswith("--") for name in option.opts):
        option.opts.insert(0, f"--{option.name.replace('_', '-')}")
    if option.metavar is None:
        option.metavar = "|".join(kind.choices or ()) or METAVARS.get(kind.annotation, "VALUE")
    if option.default is False:
        option.secondary_opts.clear()


def wants_style() -> bool:
    """Whether NO_COLOR permits colours, bold and dim text: see https://no-color.org."""
    return not os.environ.get("NO_COLOR")


def _console(**options: Any) -> Console:
    """A Rich console. With `NO_COLOR` it writes no escape sequences at all; Rich alone would write bold and dim."""
    return Console(color_system="auto" if wants_style() else None, highlight=False, **options)


_stderr = _console(stderr=True, soft_wrap=True)
_quiet = False
_NUMBER = re.compile(r"-|(± )?-?\d[\d.,]*( ?%| [kMG]?B)?")  # what a table must not wrap


def set_quiet(quiet: bool) -> bool:
    """Silence `note` and `warn` for the rest of this process, or undo that."""
    global _quiet
    _quiet = quiet
    return quiet


def note(message: str, style: str = "") -> None:
    """Print a message on stderr; square brackets in it are not markup."""
    if not _quiet:
        _stderr.print(escape(message), style=style)


def warn(message: str, always: bool = False) -> None:
    """Print a warning on stderr; with `always` also when quiet."""
    if always or not _quiet:
        _stderr.print(escape(f"tx: warning: {message}"), style="yellow")


def error(message: str, hint: str | None) -> None:
    """Print an error and its hint on stderr, also when quiet."""
    _stderr.print(f"[red]tx: error:[/red] {escape(message)}")
    if hint:
        _stderr.print(f"  [dim]hint:[/dim] {escape(hint)}")


def is_terminal() -> bool:
    """Whether stderr is a terminal and not quiet: only then are progress bars shown."""
    return _stderr.is_terminal and not _quiet


def stderr() -> Console:
    """The Rich console on stderr, for live displays."""
    return _stderr


def stdout() -> Console:
    """A Rich console on stdout."""
    return _console()


def track(items: Sequence[T], description: str) -> Iterable[T]:
    """Iterate with a progress bar, if stderr is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), MofNCompleteColumn()
    with Progress(*columns, console=_stderr, transient=True, disable=not is_terminal()) as bar:
        yield from bar.track(items, description=description)


def terminal_width(in_pipe: int = 100) -> int:
    """The columns of the terminal; `in_pipe` where stdout is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else in_pipe


def print_lines(lines: Iterable[str | Text]) -> None:
    """Print lines on stdout as they are, however long: Rich neither wraps nor cuts them."""
    out = stdout()
    for line in lines:
        out.print(line, markup=False, overflow="ignore", crop=False, soft_wrap=True)


def cells(
    values: Iterable[float], color: Callable[[float], RGB], mark: Callable[[float], str], width: int = 1
) -> Text:
    """Values as coloured cells, each `width` columns wide, or as `mark` where stdout shows no colours."""
    if stdout().color_system is None:
        return Text("".join(mark(value) * width for value in values))
    return Text.assemble(*((" " * width, "on rgb({},{},{})".format(*color(value))) for value in values))


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(value, ensure_ascii=False), flush=True)  # noqa: T201


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    optional: Sequence[str] = (),
    header: bool = True,
) -> None:
    """Print rows under a header on stdout: aligned on a terminal, tab-separated in a pipe.

    `header=False` omits the header in a pipe. Numbers are never wrapped. A terminal too narrow for all columns
    omits `optional` ones, in their order, before words are wrapped.
    """
    written = [[str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in [columns] * header + written:
            print("\t".join(row))  # noqa: T201
        return
    console, kept = stdout(), {name: [row[i] for row in written] for i, name in enumerate(columns)}
    for name in optional:
        if sum(2 + _least_width([column, *cells]) for column, cells in kept.items()) <= console.width + 2:
            break
        kept.pop(name, None)
    console.print(_table(kept), crop=False)


def _least_width(cells: Sequence[str]) -> int:
    """The cells that a column needs so that no word of it is cut."""
    words = (word for cell in cells for word in ([cell] if _NUMBER.fullmatch(cell) else cell.split()))
    return max(map(cell_len, words), default=0)


def _table(columns: Mapping[str, Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, cells in columns.items():
        if all(map(_NUMBER.fullmatch, cells)):
            table.add_column(name, no_wrap=True, min_width=max(map(cell_len, [name, *cells])))
        else:
            table.add_column(name, overflow="fold")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(escape, row))
    return table


Quiet = Annotated[bool, option("Print only errors on stderr.", "-q", callback=set_quiet)]
Json = Annotated[bool, option("Print JSON.", "--json")]
Model = Annotated[str | None, option("Name or folder of the model package.", "-m", metavar="NAME|FOLDER")]
BeamSize = Annotated[int | None, option("Beam size; 1: greedy search.", "-b", min=1, max=MAX_BEAM_SIZE)]
DEVICE = option("Device to run the model on.", metavar="auto|cpu|cuda|cuda:N")
THREADS = option("Number of CPU threads; 0: one for each core.", min=0)
Device = Annotated[str, DEVICE]
Threads = Annotated[int, THREADS]
