"""Write the pages of the documentation that follow from the program: commands and configuration keys.

python scripts/reference.py           write docs/reference/commands.md and configuration.md
python scripts/reference.py --check   exit with 1 if one of them is not what would be written
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from tx.cli.app import app

DOCS = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Written by scripts/reference.py from the program; edit the help texts, not this page. -->\n\n"


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


def table(head: str, params: list[Any], context: Any) -> str:
    """A Markdown table of the options or arguments of a command."""
    records = filter(None, (param.get_help_record(context) for param in params))
    rows = (f"| `{cell(names)}` | {cell(help)} |" for names, help in records)
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


def pages() -> dict[str, str]:
    """The text of each generated page, by file name."""
    return {"commands.md": command_page()}


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
