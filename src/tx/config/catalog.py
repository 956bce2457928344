"""What ships with tx: recipes and architectures, found by the names of their files without importing any."""

import re
import tomllib
from importlib.resources import files
from typing import Any

from tx.errors import TxError, did_you_mean

ELSEWHERE = {"word2vec": "vectors"}  # no files of tx/models; with their tasks


def recipe_names() -> list[str]:
    """The recipes that ship with tx."""
    return sorted(file.name.removesuffix(".toml") for file in _recipes() if file.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """A recipe as it was written. Raises TxError, with the nearest name, where there is none."""
    if name not in recipe_names():
        known = ", ".join(recipe_names())
        raise TxError(f"no recipe '{name}'", did_you_mean(name, recipe_names()) or f"there are: {known}")
    return files("tx").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")


def load_recipe(name: str) -> dict[str, Any]:
    """A recipe's tables. Raises TxError where there is none of that name."""
    return tomllib.loads(recipe_text(name))


def task_of(arch: str) -> str:
    """The TASK of an architecture, read from its file without importing it, since that takes torch."""
    if arch in ELSEWHERE:
        return ELSEWHERE[arch]
    text = files("tx").joinpath("models", f"{arch}.py").read_text(encoding="utf-8")
    found = re.search(r'^TASK = "([^"]+)"', text, re.MULTILINE)
    assert found, f"tx/models/{arch}.py states no TASK"
    return found[1]


def arch_named(name: str) -> str | None:
    """The architecture called `name`, in which a hyphen may stand for an underscore, or None."""
    return arch if (arch := name.replace("-", "_")) in arch_names() else None


def arch_names() -> list[str]:
    """The architectures, found by file name without importing them."""
    names = (file.name for file in files("tx").joinpath("models").iterdir())
    return sorted([*ELSEWHERE, *(n[:-3] for n in names if n.endswith(".py") and not n.startswith("_"))])


def _recipes() -> list[Any]:
    folder = files("tx").joinpath("recipes")
    return list(folder.iterdir()) if folder.is_dir() else []
