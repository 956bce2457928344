"""What every command needs from a terminal: notes on stderr, tables and JSON on stdout."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors on stderr.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME|FOLDER", help="The model package.", show_default=False),
]


def wants_style() -> bool:
    """Whether text may be coloured, bold or dim where a terminal shows it: see https://no-color.org."""
    return not os.environ.get("NO_COLOR")


def _console(**options: Any) -> Console:
    """A Rich console, with no escapes at all where `NO_COLOR` asks for none: Rich would keep bold and dim."""
    return Console(color_system="auto" if wants_style() else None, highlight=False, **options)


_stderr = _console(stderr=True, soft_wrap=True)
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Silence `note` and `warn` for the rest of this process."""
    global _quiet
    _quiet = quiet


def note(message: str, style: str = "") -> None:
    """Say something on stderr that is not data; square brackets in it are ordinary text."""
    if not _quiet:
        _stderr.print(escape(message), style=style)


def warn(message: str, always: bool = False) -> None:
    """Say something on stderr that the user ought to look at; `always`: also when quiet."""
    if always or not _quiet:
        _stderr.print(escape(f"tx: warning: {message}"), style="yellow")


def error(message: str, hint: str | None) -> None:
    """Print an error and its hint on stderr, also when quiet."""
    _stderr.print(f"[red]tx: error:[/red] {escape(message)}")
    if hint:
        _stderr.print(f"  [dim]hint:[/dim] {escape(hint)}")


def is_terminal() -> bool:
    """Whether a person watches stderr (bars and live lines are for them alone)."""
    return _stderr.is_terminal and not _quiet


def stderr() -> Console:
    """The Rich console on stderr, for live displays."""
    return _stderr


def stdout() -> Console:
    """A Rich console on stdout, for what is shown to people."""
    return _console()


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(value, ensure_ascii=False), flush=True)  # noqa: T201


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows on stdout: aligned with a header on a terminal, tab-separated without one in a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(str(cell) for cell in row))  # noqa: T201
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    stdout().print(table)
