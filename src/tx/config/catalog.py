"""The recipes that ship with tx, found by the names of their files."""

import tomllib
from importlib.resources import files
from typing import Any

from tx.errors import TxError, did_you_mean


def recipe_names() -> list[str]:
    """The recipes that ship with tx."""
    names = (file.name for file in files("tx").joinpath("recipes").iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """The text of a recipe's file. Raises TxError, with the nearest name, if there is no such recipe."""
    if name not in recipe_names():
        known = ", ".join(recipe_names())
        raise TxError(f"no recipe '{name}'", did_you_mean(name, recipe_names()) or f"there are: {known}")
    return files("tx").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")


def load_recipe(name: str) -> dict[str, Any]:
    """The tables of a recipe. Raises TxError if there is no such recipe."""
    return tomllib.loads(recipe_text(name))


def recipe_header(name: str) -> list[str]:
    """The comment at the head of a recipe: its description, line by line, without the comment signs."""
    lines = recipe_text(name).split("\n")
    end = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.removeprefix("#").removeprefix(" ") for line in lines[:end]]
