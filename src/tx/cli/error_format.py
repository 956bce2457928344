"""What Typer finds wrong with a command line, in the two lines in which tx tells every fault.

Typer's own report is a framed box, folded to the width of the terminal even where there is none.
"""

import re
import sys
from typing import Any, get_args

import typer
from typer.main import get_command

from tx.errors import UsageError, did_you_mean

# What was expected, by pydantic's name for the fault; its bounds fill the braces.
_EXPECTED = {
    "greater_than_equal": "{ge:g} or more",
    "less_than_equal": "{le:g} or less",
    "int_parsing": "a whole number",
    "float_parsing": "a number",
}


# What others call an option, where its name is too far from that to be guessed by its letters.
_ALIASES = {"--length": ("--max-len", "--max-length", "--max-tokens", "--max-new-tokens")}


def reworded(error: typer.TyperException, app: typer.Typer) -> UsageError:
    """The same fault as a UsageError: a hint names the closest option or command, else the help page."""
    path, command = _asked(app)
    hint = f"`{path} --help` lists what there is"
    option: str | None = getattr(error, "option_name", None)
    if option is not None and hasattr(error, "possibilities"):
        known = [name for param in command.params for name in param.opts]
        near = did_you_mean(option, error.possibilities or [])
        for name, aliases in _ALIASES.items():
            if name in known and option in aliases:
                near = f"did you mean '{name}'?"
        return UsageError(f"`{path}` has no option {option}", near or hint)
    if option is not None and "requires an argument" in error.format_message():
        return UsageError(f"{option} needs {_wanted(option, command)}", hint)
    message, _, near = error.format_message().partition(" Did you mean ")
    if near:
        hint = f"did you mean {near}"
    return UsageError(_bad_value(error) or _plain(message), hint)


def _asked(app: typer.Typer) -> tuple[str, Any]:
    """The command that the command line names, as typed and itself: Typer does not tell it with every fault."""
    path, command = ["tx"], get_command(app)
    for word in sys.argv[1:]:
        if word not in getattr(command, "commands", {}):
            break
        path, command = [*path, word], command.commands[word]  # type: ignore[attr-defined]
    return " ".join(path), command


def _wanted(option: str, command: Any) -> str:
    """What an option wants: "a FILE", "one of src, tgt"."""
    param = next(param for param in command.params if option in param.opts)
    annotation = param.type_descriptor.annotation
    metavar = (
        param.metavar or {int: "N", float: "X"}.get(annotation) or "|".join(get_args(annotation)) or "TEXT"
    )
    if metavar.islower() and "|" in metavar:
        return f"one of {', '.join(metavar.split('|'))}"
    article = "an" if re.match(r"[AEIO]|[NX]\b", metavar) else "a"
    return f"{article} {metavar}"


def _bad_value(error: Any) -> str | None:
    """What is wrong with the value of an option or argument, in the words used for configuration files."""
    if not hasattr(error.__cause__, "errors") or getattr(error, "param", None) is None:
        return None
    fault, names = error.__cause__.errors()[0], error.param.opts
    name = max(names, key=len) if names[0].startswith("-") else error.param.metavar or names[0]
    if expected := _EXPECTED.get(fault["type"]):
        return f"{name}: expected {expected.format(**fault.get('ctx', {}))}, got {fault['input']}"
    return f"{name}: {fault['msg'].removeprefix('Value error, ').rstrip('.')}"


def _plain(message: str) -> str:
    """One line, without the capital and the full stop of a sentence."""
    message = " ".join(message.split()).rstrip(".")
    message = re.sub(r"^Got unexpected extra argument\(s\) \((.*)\)$", r"too many arguments: \1", message)
    return message[:1].lower() + message[1:]
