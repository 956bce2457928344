"""`tx config`: every key of a run, with its meaning and its value, as a TOML file to edit."""

from typing import Annotated

import typer

from tx.cli import console
from tx.cli.options import architecture_config
from tx.config.catalog import recipe_names, recipe_text
from tx.config.resolve import resolve
from tx.config.schema import MODELS
from tx.config.toml import to_toml


def config(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE|FILE", help="A recipe, a TOML file or an architecture."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Set any key; can be repeated."),
    ] = None,
    origins: Annotated[
        bool, typer.Option("--origins", help="Show where each value comes from, instead of what it means.")
    ] = False,
) -> None:
    """Print a complete configuration, or list the recipes.

    ```
    tx config                               # the recipes
    tx config transformer-xs > run.toml     # every key, with its meaning
    tx config run.toml --set train.lr=3e-4  # one value changed
    tx config run.toml --origins            # where each value is set
    ```

    `tx train run.toml` then trains with the file as you edited it. What `tx.toml` and the environment
    (`TX_TRAIN_LR`) set is already in it.
    """
    if name is None and not sets and not origins:
        rows = ((recipe, "".join(_header(recipe)[:1]).lstrip("# ")) for recipe in recipe_names())
        console.print_table(("RECIPE", "WHAT IT IS"), rows)
        return
    resolved = resolve(name, sets=sets or (), model=architecture_config)
    architecture = None
    if resolved.config.task in MODELS:
        architecture = architecture_config(resolved.config.arch)
        resolved.check_model(architecture)
    if origins:
        text = to_toml(resolved.config, resolved.origins)
    else:
        text = to_toml(resolved.config, comments=True, model=architecture)
        if name and name in recipe_names():
            text = "\n".join([*_header(name), "", text])
    print(text, end="")  # noqa: T201


def _header(recipe: str) -> list[str]:
    """The comment at the head of a recipe: what it is, then what to expect of it."""
    lines = recipe_text(recipe).split("\n")
    end = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:end]
