"""Reading TOML files, and writing a configuration as TOML that reads back equal, with comments and origins.

The standard library reads TOML but does not write it; a configuration needs only a small part of the language.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_type_hints

from tx.config.schema import MODELS, SECTIONS, RunConfig, concerns, limits
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
    """Every key of `config` that its task knows, as TOML that reads back equal.

    `comments` puts each key's help text and limits above it, those of `[model]` from the dataclass `model`;
    `origins` ("train.lr" to "flag --lr") puts where its value comes from behind it. A key of `[model]` whose
    value is None is left out, since TOML has no word for it.
    """
    tables = {"": {key: value for key, value in asdict(config).items() if not isinstance(value, dict)}}
    tables |= {key: value for key, value in asdict(config).items() if isinstance(value, dict)}
    for section, owner in {"": RunConfig, **SECTIONS}.items():
        for option in fields(owner):
            if not concerns(option, config.task):
                tables[section].pop(option.name, None)
    owners = {"": RunConfig, **SECTIONS} | ({"model": model} if model else {})
    blocks = []
    for section, values in tables.items():
        if section and not values and (section != "model" or config.task not in MODELS):
            continue
        notes = dict(_notes(owners[section])) if comments and section in owners else {}
        lines = [f"[{section}]"] if section else []
        for key, value in values.items():
            if value is not None:
                line = f"{_toml_key(key)} = {toml_value(value)}"
                origin = (origins or {}).get(f"{section}.{key}".lstrip("."))
                lines += [f"# {notes[key]}"] if notes.get(key) else []
                lines.append(f"{line:<36}  # {origin}" if origin else line)
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _notes(owner: type) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(owner)
    for option in fields(owner):
        allowed = limits(option, hints[option.name])
        note = option.metadata.get("help", "")
        yield option.name, f"{note} [{allowed}]" if allowed else note


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
