"""Write the reference pages of the documentation, commands and configuration keys, from the program.

python scripts/reference.py           write docs/reference/commands.md and configuration.md
python scripts/reference.py --check   exit with 1 if one of them is not what would be written
"""

import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import Field, fields
from html import escape
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

from typer.main import get_command

from tx.cli.app import app
from tx.config.schema import default_of, has_model, limits, options
from tx.tasks import TASKS, architecture_config, architectures

TYPE = r" <(list\[)?str\]?>$"  # what Typer adds to the name of an argument
DOCS = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Written by scripts/reference.py from the program; edit the help texts, not this page. -->\n\n"
CONFIGURATION = """# Configuration

Every key of the configuration, for each task. `tx config RECIPE` prints a complete configuration of a recipe with
the same explanations; `tx train RECIPE --help` shows the keys that are also flags.

A value is taken from the first of these places that sets it:

1. a flag, or `--set section.key=value`;
2. an environment variable, for example `TX_TRAIN_LR=1e-3`;
3. the configuration file on the command line;
4. `tx.toml` in the working directory, or in the nearest folder above it that has one;
5. your own `config.toml`, in `$TX_HOME` or in `~/.config/tx`;
6. the recipe;
7. the default of the program.

`tx config RECIPE --origins` shows where each value comes from. The defaults below are those of the program; recipes
set their own values."""


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command below `command` with its full name, in the order of the help page."""
    context = command.make_context(path, [], resilient_parsing=True)
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if not child.hidden:
            yield from commands(child, f"{path} {name}")


def cell(text: str) -> str:
    """Text that fits into one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Code in a cell of a table, whose bars neither GitHub nor MkDocs takes for a border."""
    text = " ".join(text.split())
    return f"<code>{escape(text).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def table(head: str, params: list[Any], context: Any) -> str:
    """A Markdown table of the options or arguments of a command."""
    records = filter(None, (param.get_help_record(context) for param in params))
    rows = (f"| {code(re.sub(TYPE, '', names))} | {cell(help)} |" for names, help in records)
    return "\n".join([f"| {head} | meaning |", "| --- | --- |", *rows])


def command_section(path: str, command: Any) -> str:
    """One command: its usage, its help text, its arguments and its options."""
    context = command.make_context(path, [], resilient_parsing=True)
    params = [
        param for param in command.params if not getattr(param, "hidden", False) and param.name != "help"
    ]
    parts = [f"## {path}", f"    {path} {' '.join(command.collect_usage_pieces(context))}"]
    parts.append(inspect.cleandoc(command.help or ""))
    for head, kind in (("argument", "argument"), ("option", "option")):
        if chosen := [param for param in params if param.param_type_name == kind]:
            parts.append(table(head, chosen, context))
    return "\n\n".join(parts) + "\n"


def command_page() -> str:
    sections = [command_section(path, command) for path, command in commands(get_command(app), "tx")]
    head = "# Command line\n\nEvery command and every option, as `tx COMMAND --help` shows them.\n\n"
    return NOTE + head + "\n".join(sections)


def key_table(keys: Iterable[tuple[str, Field, Any]]) -> str:
    """A Markdown table of configuration keys with their types, defaults and help."""
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, option, hint in keys:
        kind = (
            "choice" if get_origin(hint) is Literal else "list" if get_origin(hint) is list else hint.__name__
        )
        default = json.dumps(default_of(option))
        allowed = limits(option, hint)
        kind = f"{kind}: {allowed}" if allowed else kind
        key = f"`{name}`" + (f"<br>`--{option.name.replace('_', '-')}`" if option.metadata["flag"] else "")
        rows.append(f"| {key} | {cell(kind)} | `{cell(default)}` | {cell(option.metadata['help'])} |")
    return "\n".join(rows)


def model_keys(arch: str) -> Iterator[tuple[str, Field, Any]]:
    """The keys of `[model]` that an architecture defines."""
    config = architecture_config(arch)
    hints = get_type_hints(config)
    for option in fields(config):
        if "help" in option.metadata and not option.metadata["derived"]:
            yield f"model.{option.name}", option, hints[option.name]


def configuration_page() -> str:
    parts = [CONFIGURATION]
    for task in TASKS.values():
        archs = [arch for arch, config in architectures().items() if config is task.config]
        parts.append(f"## {task.name.replace('-', ' ').capitalize()}")
        parts.append(
            f"Training data: `{task.data}`. Architectures: {', '.join(f'`{arch}`' for arch in archs)}."
        )
        parts.append(key_table(options(task.config)))
        for arch in archs if has_model(task.config) else ():
            parts.append(f"### Model: {arch}")
            parts.append(f'The section `[model]` with `arch = "{arch}"`.')
            parts.append(key_table(model_keys(arch)))
    return NOTE + "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """The text of each generated page, by file name."""
    return {"commands.md": command_page(), "configuration.md": configuration_page()}


def main() -> int:
    stale = []
    for name, text in pages().items():
        path = DOCS / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run python scripts/reference.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
