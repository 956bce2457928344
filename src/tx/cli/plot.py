"""What the commands that draw share: the option for a picture, and writing it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tx.cli import console
from tx.plots import figure as figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HTML = ".html"


def _checks_path(*others: str) -> Callable[[Path | None], Path | None]:
    def check(path: Path | None) -> Path | None:
        if path is not None:
            figures.check_path(path, *others)
        return path

    return check


Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        callback=_checks_path(),
        help="Write a figure to FILE, .png or .svg.",
    ),
]
PageOutput = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        callback=_checks_path(HTML),
        help="Write a figure to FILE, .png or .svg, or a page, .html.",
    ),
]


def save(figure: "Figure", output: Path) -> None:
    """Write a figure and report it; warn about characters that no font has."""
    if missing := figures.save(figure, output):
        console.warn(f"no font here has {missing}; Noto Sans has it, in the edition for its script")
    console.note(f"wrote {output}")
