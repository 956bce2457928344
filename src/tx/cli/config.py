"""`tx config`: every key of a run, with its meaning and its value, as a TOML file to edit."""

from typing import Annotated

import typer

from tx.cli import console
from tx.config.catalog import recipe_header, recipe_names
from tx.config.schema import has_model
from tx.config.toml import to_toml
from tx.tasks import architecture_config, resolve


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

    `tx train run.toml` then trains with the file as you edited it. Values from `tx.toml` and the environment
    (`TX_TRAIN_LR`) are already included.
    """
    if name is None and not sets and not origins:
        rows = ((recipe, recipe_header(recipe)[0]) for recipe in recipe_names())
        console.print_table(("RECIPE", "DESCRIPTION"), rows)
        return
    resolved = resolve(name, sets=sets or ())
    model = None
    if has_model(type(resolved.config)):
        model = architecture_config(resolved.config.arch)
        resolved.check_model(model)
    if origins:
        text = to_toml(resolved.config, resolved.origins)
    else:
        text = to_toml(resolved.config, comments=True, model=model)
        if name and name in recipe_names():
            header = (f"# {line}".rstrip() for line in recipe_header(name))
            text = "\n".join([*header, "", text])
    print(text, end="")  # noqa: T201
