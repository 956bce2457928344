"""What Typer finds wrong with a command line, in the two lines in which tx tells every fault.

Typer's own report is a framed box, folded to the width of the terminal even where there is none.
"""

from typing import Any

import typer

from tx.errors import UsageError, did_you_mean

# What was expected, by pydantic's name for the fault; its bounds fill the braces.
_EXPECTED = {
    "greater_than_equal": "{ge:g} or more",
    "less_than_equal": "{le:g} or less",
    "int_parsing": "a whole number",
    "float_parsing": "a number",
}


def reworded(error: typer.TyperException) -> UsageError:
    """The same fault as a UsageError: a hint names the closest option or command, else the help page."""
    context: Any = getattr(error, "ctx", None)
    command = context.command_path if context else "tx COMMAND"
    hint = f"`{command} --help` lists what there is"
    option: str | None = getattr(error, "option_name", None)
    if option is not None and hasattr(error, "possibilities"):
        near = did_you_mean(option, error.possibilities or [])
        return UsageError(f"`{command}` has no option {option}", near or hint)
    message, _, near = error.format_message().partition(" Did you mean ")
    if near:
        hint = f"did you mean {near}"
    return UsageError(_bad_value(error) or _plain(message), hint)


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
    return message[:1].lower() + message[1:]
