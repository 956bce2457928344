"""The `tx` command: its groups, its exit codes, and how a failure is told.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted. A closed pipe is no error.
"""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Annotated

import typer

from tx import __version__
from tx.cli import console
from tx.cli.error_format import reworded
from tx.errors import TxError

LEARN, USE, MEASURE, MANAGE = "Learn", "Use", "Measure", "Manage"

app = typer.Typer(
    name="tx",
    help="From raw text to a working sequence model, and on into a shell pipeline.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            torch = version("torch")  # read from its metadata: importing torch takes seconds
        except PackageNotFoundError:
            torch = "not installed"
        print(f"tx {__version__} (torch {torch}, python {python_version()})")  # noqa: T201
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


def _run() -> int | None:
    """Run the command that the command line names and return its exit status."""
    try:
        status: int | None = app(standalone_mode=False, prog_name="tx")
        return status
    except typer.TyperException as error:
        if not error.format_message():
            return 2  # nothing was asked for, and Typer has printed the help page
        raise reworded(error, app) from error


def main() -> None:
    """Run `tx` and turn every way it can end into an exit status and at most two lines on stderr."""
    if not console.wants_style():
        from typer import rich_utils

        rich_utils.COLOR_SYSTEM = None  # for help pages; on its own, Rich would leave away the colours alone
    try:
        sys.exit(_run())
    except TxError as error:
        if os.environ.get("TX_DEBUG"):
            raise
        console.error(error.message, error.hint)
        sys.exit(error.exit_code)
    except SystemExit as exit:
        # Typer turns a closed pipe into status 1; whoever closed it (head, less) had read enough.
        if isinstance(exit.__context__, BrokenPipeError):
            sys.exit(0)
        raise
    except (KeyboardInterrupt, MemoryError) as error:
        if os.environ.get("TX_DEBUG"):
            raise
        interrupted = isinstance(error, KeyboardInterrupt)
        console.error("interrupted" if interrupted else "out of memory", None)
        sys.exit(130 if interrupted else 1)
    except Exception as error:
        if os.environ.get("TX_DEBUG"):
            raise
        console.error(
            f"unexpected {type(error).__name__}: {error}",
            "this is a fault in tx; TX_DEBUG=1 shows where, please report it with the command you ran",
        )
        sys.exit(1)


# Each module registers its commands on `app`; the order here is the order of the help page.
from tx.cli import train, config, translate, transcribe, generate, tag, tokenize, analogy, neighbors  # noqa: E402, F401, I001
from tx.cli import score, evaluate, compare, explain, attention, plot, plot_vectors, plot_map, plot_skipgram  # noqa: E402, F401
from tx.cli import plot_curves, plot_neurons, plot_positions  # noqa: E402, F401
from tx.cli import demo, models, import_export, data  # noqa: E402, F401
