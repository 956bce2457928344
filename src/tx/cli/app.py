"""The `tx` command: the table of its commands, its exit codes, and how a failure is reported.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted. A closed pipe is not an error.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from tx import __version__
from tx.cli import console
from tx.cli.error_format import reworded
from tx.errors import TxError

TRAIN, USE, EVALUATE, MANAGE = "Train", "Use", "Evaluate and inspect", "Manage"

# The commands of `tx` and of each group, in the order of their help pages: the name, the function in `tx.cli` that
# runs it (or, for a group, its help line), and the panel of the help page.
COMMANDS: dict[str, list[tuple[str, str, str | None]]] = {
    "tx": [
        ("train", "train:train", TRAIN),
        ("config", "config:config", TRAIN),
        ("translate", "translate:translate", USE),
        ("transcribe", "transcribe:transcribe", USE),
        ("generate", "generate:generate", USE),
        ("tag", "tag:tag", USE),
        ("tokenize", "tokenize:tokenize", USE),
        ("detokenize", "tokenize:detokenize", USE),
        ("analogy", "analogy:analogy", USE),
        ("neighbors", "neighbors:neighbors", USE),
        ("score", "score:score", EVALUATE),
        ("evaluate", "evaluate:evaluate", EVALUATE),
        ("compare", "compare:compare", EVALUATE),
        ("explain", "explain:explain", EVALUATE),
        ("attention", "attention:attention", EVALUATE),
        ("plot", "Plot what a model has learned, its training, or its data.", EVALUATE),
        ("demo", "demo:demo", MANAGE),
        ("models", "List, inspect, choose, import and export model packages.", MANAGE),
        ("data", "Check data before training on it.", MANAGE),
    ],
    "plot": [
        ("vectors", "plot_vectors:vectors", None),
        ("map", "plot_map:map_", None),
        ("skipgram", "plot_skipgram:skipgram", None),
        ("curves", "plot_curves:curves", None),
        ("neurons", "plot_neurons:neurons", None),
        ("positions", "plot_positions:positions", None),
    ],
    "models": [
        ("list", "models:list_", None),
        ("show", "models:show", None),
        ("path", "models:path", None),
        ("default", "models:default", None),
        ("average", "models:average", None),
        ("import", "import_export:import_", None),
        ("export", "import_export:export", None),
    ],
    "data": [("check", "data:check", None)],
}


class LazyCommands(Mapping[str, Any]):
    """The commands of a group by name. The module of a command is imported when the command is looked up."""

    def __init__(self, group: str) -> None:
        self._rows = {name: (target, panel) for name, target, panel in COMMANDS[group]}

    def __getitem__(self, name: str) -> Any:
        target, panel = self._rows[name]
        command: Any
        if name in COMMANDS:
            group = typer.Typer(
                name=name, cls=Group, help=target, no_args_is_help=True, rich_markup_mode="markdown"
            )
            command = get_group(group)
        else:
            module_name, _, function = target.partition(":")
            module = import_module(f"tx.cli.{module_name}")
            single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
            single.command(name, cls=getattr(module, "COMMAND_CLASS", None))(getattr(module, function))
            command = get_command(single)
        command.rich_help_panel = panel
        for param in command.params:
            if param.param_type_name == "option":
                console.complete(param)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class Group(TyperGroup):
    """A group of the commands that `COMMANDS` lists under its name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = LazyCommands(self.name or "tx")


app = typer.Typer(
    name="tx",
    cls=Group,
    help="Train, evaluate and use translation models, language models, taggers, word vectors and Whisper.",
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
        console.option("Print the version and exit.", "--version", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    pass


def _failure(error: BaseException) -> TxError:
    """The error to report for an exception."""
    match error:
        case TxError():
            return error
        case typer.TyperException():
            return reworded(error, app)
        case KeyboardInterrupt():
            return TxError("interrupted", exit_code=130)
        case MemoryError():
            return TxError("out of memory")
    return TxError(
        f"unexpected {type(error).__name__}: {error}",
        "this is a bug in tx; run it with TX_DEBUG=1 for a traceback, and report it with your command",
    )


def main() -> None:
    """Run `tx`; every error becomes an exit status and at most two lines on stderr."""
    if not console.wants_style():
        from typer import rich_utils

        rich_utils.COLOR_SYSTEM = None  # for help pages: Rich itself would omit the colours only
    try:
        sys.exit(app(standalone_mode=False, prog_name="tx"))
    except SystemExit as exit:
        # Typer exits with 1 at a closed pipe; its reader (head, less) needed no more.
        if isinstance(exit.__context__, BrokenPipeError):
            sys.exit(0)
        raise
    except BaseException as error:
        if isinstance(error, typer.TyperException) and not error.format_message():
            sys.exit(2)  # without arguments Typer has printed the help page
        if os.environ.get("TX_DEBUG"):
            raise
        failure = _failure(error)
        console.error(failure.message, failure.hint)
        sys.exit(failure.exit_code)
