"""Typer's usage errors in the format of all errors of tx: one line, and a hint.

Typer itself prints a framed box, wrapped to the width of a terminal even where there is none.
"""

import re
import sys
from typing import Any

import typer
from typer.main import get_command

from tx.errors import UsageError, did_you_mean

# What is expected, by pydantic's name of the error; its bounds fill the braces.
_EXPECTED = {
    "greater_than_equal": "{ge:g} or more",
    "less_than_equal": "{le:g} or less",
    "int_parsing": "a whole number",
    "float_parsing": "a number",
}

# Names that other tools use for an option, where they are spelled too differently for did_you_mean.
_ALIASES = {"--length": ("--max-len", "--max-length", "--max-tokens", "--max-new-tokens")}


def reworded(error: typer.TyperException, app: typer.Typer) -> UsageError:
    """The error as a UsageError, whose hint names the closest option or command, else the help page."""
    path, command = _asked(app)
    hint = f"`{path} --help` lists the options"
    option: str | None = getattr(error, "option_name", None)
    if option is not None and hasattr(error, "possibilities"):
        known = [name for param in command.params for name in param.opts]
        near = did_you_mean(option, error.possibilities or [])
        for name, aliases in _ALIASES.items():
            if name in known and option in aliases:
                near = f"did you mean '{name}'?"
        return UsageError(f"`{path}` has no option {option}", near or hint)
    if option is not None and "requires an argument" in error.format_message():
        metavar = next(param for param in command.params if option in param.opts).metavar
        if metavar.islower() and "|" in metavar:
            return UsageError(f"{option} needs one of {', '.join(metavar.split('|'))}", hint)
        article = "an" if re.match(r"[AEIO]|[NX]\b", metavar) else "a"
        return UsageError(f"{option} needs {article} {metavar}", hint)
    message, _, near = error.format_message().partition(" Did you mean ")
    if near:
        hint = f"did you mean {near}"
    message = " ".join(message.split()).rstrip(".")
    message = re.sub(r"^Got unexpected extra argument\(s\) \((.*)\)$", r"too many arguments: \1", message)
    return UsageError(_bad_value(error) or message[:1].lower() + message[1:], hint)


def _asked(app: typer.Typer) -> tuple[str, Any]:
    """The command on the command line, as typed and as an object, which not every error of Typer has."""
    path, command = ["tx"], get_command(app)
    for word in sys.argv[1:]:
        if word not in getattr(command, "commands", {}):
            break
        path, command = [*path, word], command.commands[word]  # type: ignore[attr-defined]
    return " ".join(path), command


def _bad_value(error: Any) -> str | None:
    """The message for an invalid value of an option or argument, as for configuration files."""
    if not hasattr(error.__cause__, "errors") or getattr(error, "param", None) is None:
        return None
    fault, names = error.__cause__.errors()[0], error.param.opts
    name = max(names, key=len) if names[0].startswith("-") else error.param.metavar or names[0]
    if expected := _EXPECTED.get(fault["type"]):
        return f"{name}: expected {expected.format(**fault.get('ctx', {}))}, got {fault['input']}"
    return f"{name}: {fault['msg'].removeprefix('Value error, ').rstrip('.')}"
