"""`tx plot`: what a model holds, as a picture in the terminal or in a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tx.cli import console

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
