"""What the commands that draw share: the option for a picture, and writing it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tx.cli import console
from tx.cli.console import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HTML = ".html"


def _output(help: str, *others: str) -> Any:
    """An option for an output file, whose name must end in .png, .svg or one of `others`."""

    def check(path: Path | None) -> Path | None:
        if path is not None:
            from tx.plots.figure import check_path  # imports numpy

            check_path(path, *others)
        return path

    return option(help, "-o", metavar="FILE", callback=check)


Output = Annotated[Path | None, _output("Write a figure (.png, .svg) to FILE.")]
PageOutput = Annotated[
    Path | None, _output("Write a figure (.png, .svg) or an HTML page (.html) to FILE.", HTML)
]


def save(figure: "Figure", output: Path) -> None:
    """Write a figure and report it; warn about characters that no font has."""
    from tx.plots.figure import save as save_figure

    if missing := save_figure(figure, output):
        console.warn(f"no font here has {missing}; Noto Sans has it, in the edition for its script")
    console.note(f"wrote {output}")
