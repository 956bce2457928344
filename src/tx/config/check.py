"""Checks of configured values against the fields of a dataclass, with errors that name the place of a value.

All errors are collected and reported together. pydantic checks the types.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from functools import cache
from typing import Any, TypeVar, get_type_hints

from tx.config.schema import choices, default_of, limits
from tx.config.toml import toml_value
from tx.errors import TxError, did_you_mean

COMMAND_LINE = ("flag ", "--set", "command line")  # so begin the origins of what was typed
_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text in quotes",
    list[str]: 'a list of texts, as in ["a", "b"]',
}
T = TypeVar("T")
Fault = tuple["Source", str, str]  # where, which key, what is wrong


@dataclass(frozen=True)
class Source:
    """One place that values come from, with the dotted keys it gives."""

    origin: str
    values: Mapping[str, Any]
    path: str = ""  # the name of a file, as errors give it
    toml: str = ""  # the text of the file, in which errors find the line
    typed: str | None = None  # the text of a single value that may be TOML or a plain string

    def place(self, key: str) -> str:
        """The file and line of `key`, or the name of the source."""
        line = _line_of(self.toml, key) if self.toml else None
        return f"{self.path}:{line}" if line else self.path or self.origin


def check_section(
    cls: type[T],
    values: Mapping[str, Any],
    sources: Mapping[str, Source] | None = None,
    section: str = "model",
    others: Mapping[str, type] | None = None,
) -> T:
    """Check `values` against the fields of the dataclass `cls` and return an instance of it.

    `sources` are those of "section.key", for the errors; `others` the further sections, in which a key that `cls`
    lacks may belong. Raises TxError that lists every unknown key and bad value.
    """
    checked, faults = check_values(cls, values, sources or {}, section, others)
    raise_faults(faults)
    return cls(**checked)


def check_values(
    cls: type,
    values: Mapping[str, Any],
    sources: Mapping[str, Source],
    section: str = "model",
    others: Mapping[str, type] | None = None,
) -> tuple[dict[str, Any], list[Fault]]:
    """`values` as the types of the fields of `cls`, and the faults of the others."""
    checked: dict[str, Any] = {}
    faults: list[Fault] = []
    unnamed = Source(f"[{section}]", {})
    for name, value in values.items():
        source = sources.get(f"{section}.{name}", unnamed)
        try:
            checked[name] = check_field(cls, name, value, source.typed, others)
        except ValueError as error:
            faults.append((source, f"{section}.{name}", str(error)))
    return checked, faults


def check_field(
    owner: type, name: str, value: Any, typed: str | None, others: Mapping[str, type] | None = None
) -> Any:
    """`value` as the type of the field `name` of a dataclass. Raises ValueError that says what is wrong."""
    known: dict[str, Field] = {option.name: option for option in fields(owner)}
    if name not in known:
        raise ValueError(f"no such key{_elsewhere(owner, name, others or {})}")
    option, hint = known[name], get_type_hints(owner)[name]
    if option.metadata.get("derived"):
        raise ValueError("is derived from the data and cannot be set")
    if typed is not None and not isinstance(value, str) and (hint is str or choices(hint)):
        value = typed  # `--set data.tokenizer=1984` means a name
    try:
        result = _adapter(hint).validate_python(value)
    except ValueError:
        result = None
    if result is None or not _within(option, result):
        kind, allowed = _KINDS.get(hint, str(hint)), limits(option, hint)
        wanted = f"one of {allowed}" if choices(hint) else f"{kind} ({allowed})" if allowed else kind
        near = did_you_mean(str(value), map(str, choices(hint)))
        raise ValueError(f"expected {wanted}, got {toml_value(value)}" + (f"; {near}" if near else ""))
    if any("\ud800" <= letter <= "\udfff" for letter in toml_value(result)):
        raise ValueError("not UTF-8 text")  # a file name in another encoding, which TOML cannot hold
    if option.metadata.get("check") and result != default_of(option):
        try:
            option.metadata["check"](result)
        except TxError as error:
            raise ValueError(error.message) from error
    return result


def raise_faults(faults: list[Fault], hints: Mapping[str, str] | None = None) -> None:
    """Raise TxError that lists the faults, if there are any; `hints` has those for some keys."""
    if faults:
        lines = [f"{source.place(key)}: {key}: {what}" for source, key, what in faults]
        many = f"{len(lines)} errors in the configuration\n  " + "\n  ".join(lines)
        typed = all(source.origin.startswith(COMMAND_LINE) for source, _, _ in faults)
        hint = next(filter(None, ((hints or {}).get(key) for _, key, _ in faults)), None)
        hint = hint or "`tx config RECIPE` prints every key with its meaning"
        raise TxError(lines[0] if len(lines) == 1 else many, hint, exit_code=2 if typed else 1)


def _within(option: Field, value: Any) -> bool:
    ge, le = option.metadata.get("ge"), option.metadata.get("le")
    return (ge is None or value >= ge) and (le is None or value <= le)


@cache
def _adapter(hint: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter  # takes 0.2 s, which `tx --help` need not wait for

    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


def _elsewhere(owner: type, name: str, others: Mapping[str, type]) -> str:
    """Where a key that `owner` lacks may belong: in another section, or under a similar name."""
    for section, other in others.items():
        if section and other is not owner and any(option.name == name for option in fields(other)):
            return f" here; it belongs in [{section}]"
    names = [option.name for option in fields(owner) if not option.metadata.get("derived")]
    names += ["recipe"] if owner is others.get("") else []
    return f"; {did_you_mean(name, names) or 'there are: ' + ', '.join(names)}"


def _line_of(toml: str, key: str) -> int | None:
    """The line on which a dotted key begins: the one after the longest part of the text that lacks it.

    Parsing ever longer beginnings of the text handles every way to write a key, which no pattern does.
    """
    section, _, leaf = key.partition(".")
    read, before = "", 0
    for number, line in enumerate(toml.split("\n"), 1):
        read += line + "\n"
        try:
            table = tomllib.loads(read)
        except (ValueError, RecursionError):
            continue
        inner = table.get(section, {}) if leaf else table
        if isinstance(inner, dict) and (leaf or section) in inner:
            return before + 1
        before = number
    return None
