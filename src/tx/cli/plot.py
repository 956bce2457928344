"""`tx plot`: what a model holds, as a picture in the terminal or in a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tx.cli import console
from tx.cli.app import MEASURE, app

if TYPE_CHECKING:
    from matplotlib.figure import Figure

plot = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(plot, name="plot", help="Look into a model and its data.", rich_help_panel=MEASURE)

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write a picture, .png or .svg, instead of text."),
]


def save(figure: "Figure", output: Path) -> None:
    """Write a figure and say so; warn of letters that no font has."""
    from tx.plots import figure as figures

    if missing := figures.save(figure, output):
        console.warn(f"no font here has {missing}; one that does is Noto Sans, in its edition for the script")
    console.note(f"wrote {output}")
