"""Finding a package: by its name, by a default, or as the only one for a task.

The newest or largest package is never chosen: a pipeline must not change its meaning when another one is trained.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tx.config.toml import nearest_toml, read_toml
from tx.errors import TxError, did_you_mean
from tx.files import atomic_file
from tx.package.manifest import MANIFEST, Manifest, parse_json
from tx.package.read import read_unverified


@dataclass(frozen=True)
class Summary:
    """The model.json of a package, without verifying its files; or the problem with that model.json."""

    path: Path
    manifest: Manifest = field(default_factory=dict)
    problem: str | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def task(self) -> str:
        return str(self.manifest.get("task", ""))

    @property
    def bytes(self) -> int:
        """The total size of the listed files."""
        return sum(entry["bytes"] for entry in self.manifest.get("files", {}).values())


def user_folder() -> Path:
    """The folder of the user's packages and defaults: TX_HOME, or tx in the XDG data folder."""
    if home := os.environ.get("TX_HOME"):
        return Path(home).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "tx"


def _places(base: Path) -> list[Path]:
    return [base / "models", base, user_folder() / "models"]


def list_packages() -> list[Summary]:
    """The packages in ./models, in this folder and in the user's folder, without verifying their files."""
    found: dict[Path, Summary] = {}
    for place in _places(Path()):
        for path in sorted(place.iterdir()) if place.is_dir() else []:
            if not path.name.startswith(".") and (path / MANIFEST).is_file():
                found.setdefault(path.resolve(), _summary(path))
    return list(found.values())


def _summary(path: Path) -> Summary:
    try:
        return Summary(path, read_unverified(path))
    except TxError as error:
        return Summary(path, problem=error.message)


def find_package(name: str | None, task: str) -> Path:
    """The folder of the package called `name`, or without a name of the default package for `task`.

    A name is a path, or a folder in ./models, this folder or the user's folder, in this order. Without a name:
    the environment's TX_TASK_MODEL (TX_TRANSLATION_MODEL, TX_VECTORS_MODEL, ...), then
    the key `task` under [defaults] in the nearest tx.toml, then the user's default, then the only package for
    the task. Raises TxError if there is none, or more than one.
    """
    if name is not None:
        return _named(name, Path())
    variable = f"TX_{task.upper().replace('-', '_')}_MODEL"
    if chosen := os.environ.get(variable):
        return _chosen(chosen, Path(), f"the environment names it in {variable}")
    if path := nearest_toml(Path.cwd()):
        defaults = read_toml(path)[0].get("defaults", {})
        if not isinstance(defaults, dict):
            raise TxError(f"'defaults' in {path} is not a table", 'write [defaults] and translation = "NAME"')
        if task in defaults:
            return _chosen(defaults[task], path.parent, f"{path} names it as the default for {task}")
    chosen = _read_defaults().get(task)
    if chosen is not None:
        return _chosen(chosen, Path(), f"`tx models default {task} NAME` chooses another default")
    fitting = [summary.path for summary in list_packages() if summary.task == task]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise TxError(
            f"there is no {task} package here or in {user_folder() / 'models'}",
            "give one with --model, or train one",
        )
    candidates = ", ".join(str(path) for path in fitting)
    raise TxError(
        f"there are {len(fitting)} {task} packages: {candidates}",
        f"choose one with --model, or for good with `tx models default {task} NAME`",
    )


def _named(name: str, base: Path) -> Path:
    if not name:
        raise TxError("the name of the package is empty", "`tx models list` shows the packages there are")
    if "/" in name or name.startswith("~") or name in (".", ".."):
        path = base / Path(name).expanduser()
        if path.is_dir():
            return path
        raise TxError(f"there is no package at {path}", "`tx models list` shows the packages there are")
    folders = [place / name for place in _places(base) if (place / name).is_dir()]
    for folder in folders:
        if (folder / MANIFEST).exists():
            return folder
    if folders:
        return folders[0]  # opening it reports the problem
    known = [summary.name for summary in list_packages()]
    raise TxError(
        f"there is no package called '{name}'",
        did_you_mean(name, known) or "`tx models list` shows the packages there are",
    )


def _chosen(name: Any, base: Path, hint: str) -> Path:
    """The folder of a default package; the hint of an error says where the default is set."""
    if not isinstance(name, str):
        raise TxError(f"the default package {name!r} is not a name", hint)
    try:
        return _named(name, base)
    except TxError as error:
        raise TxError(error.message, hint) from None


def _defaults_file() -> Path:
    return user_folder() / "defaults.json"


def _read_defaults() -> dict[str, Any]:
    path = _defaults_file()
    try:
        defaults = parse_json(path.read_bytes(), path)
    except FileNotFoundError:
        return {}
    except (OSError, TxError) as error:
        raise TxError(f"cannot read {path}: {error}", "remove it and set the defaults again") from None
    return defaults if isinstance(defaults, dict) else {}


def get_default(task: str) -> str | None:
    """The user's default package for `task`: a name or an absolute path."""
    chosen = _read_defaults().get(task)
    return None if chosen is None else str(chosen)


def set_default(task: str, path: Path | None) -> None:
    """Make the package at `path` the user's default for `task`; None removes the default."""
    defaults = _read_defaults()
    if path is None:
        defaults.pop(task, None)
    elif path.resolve().parent == (user_folder() / "models").resolve():
        defaults[task] = path.name  # remains valid if the user's folder is moved
    else:
        defaults[task] = str(path.resolve())
    with atomic_file(_defaults_file(), "w") as file:
        json.dump(defaults, file, indent=2, ensure_ascii=False)
        file.write("\n")
