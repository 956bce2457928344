"""Reading TOML files, and writing a configuration as TOML that reads back equal, with comments and origins.

The standard library reads TOML but does not write it; a configuration needs only a small part of the language.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, asdict, fields
from pathlib import Path
from typing import Any, get_type_hints

from tx.config.schema import RunConfig, limits, sections
from tx.errors import TxError


def toml_value(value: Any) -> str:
    """A string, number, boolean, list or dictionary as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):  # TOML's escapes are JSON's, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(key)} = {toml_value(item)}" for key, item in value.items()) + "}"
    return str(value)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def to_toml(
    config: RunConfig,
    origins: Mapping[str, str] | None = None,
    comments: bool = False,
    model: type | None = None,
) -> str:
    """Every key of `config` as TOML that reads back equal.

    `comments` writes each key's help text and limits above it, those of `[model]` from the dataclass `model`;
    `origins` ("train.lr" to "flag --lr") writes the origin of its value behind it. A key of `[model]` whose value is
    None is omitted, since TOML has no such value.
    """
    everything = asdict(config)
    tables = {"": {key: value for key, value in everything.items() if not isinstance(value, dict)}}
    tables |= {key: value for key, value in everything.items() if isinstance(value, dict)}
    owners = sections(type(config)) | ({"model": model} if model else {})
    blocks = []
    for section, values in tables.items():
        options = {option.name: option for option in fields(owners[section])} if section in owners else {}
        lines = [f"[{section}]"] if section else []
        for key, value in values.items():
            if value is None or (key in options and options[key].metadata.get("derived")):
                continue
            line = f"{_toml_key(key)} = {toml_value(value)}"
            origin = (origins or {}).get(f"{section}.{key}".lstrip("."))
            if comments and key in options:
                lines.append(f"# {_note(owners[section], options[key])}")
            lines.append(f"{line:<36}  # {origin}" if origin else line)
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _note(owner: type, option: Field) -> str:
    """The help text of a field, and what it allows."""
    allowed = limits(option, get_type_hints(owner)[option.name])
    note: str = option.metadata.get("help", "")
    return f"{note} [{allowed}]" if allowed else note


def nearest_toml(folder: Path) -> Path | None:
    """The `tx.toml` in `folder` or the nearest folder above it."""
    folder = folder.absolute()
    return next((path for at in (folder, *folder.parents) if (path := at / "tx.toml").is_file()), None)


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """A TOML file's tables and its text. Raises TxError with the file and the line of a fault."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TxError(
            f"cannot read {path}: {error.strerror or error}", "check the path and its permissions"
        ) from error
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TxError(f"{path}:{line}: not UTF-8 text", "save the file as UTF-8") from error
    try:
        return tomllib.loads(text), text
    except (ValueError, RecursionError) as error:  # ValueError: also a number with thousands of digits
        hint = 'text needs quotes, as in schedule = "cosine"; true and false are lower case'
        raise TxError(f"cannot read {path}: not valid TOML: {error}", hint) from error
