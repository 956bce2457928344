"""`tx plot vectors`: words as strips of coloured cells."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tx.cli import console
from tx.cli.plot import Output, save
from tx.cli.vector_query import Side

if TYPE_CHECKING:
    from tx.plots.strips import Strip

_SIXTEEN = {"=": "blue", "-": "bright_blue", " ": "bright_white", "+": "bright_red", "#": "red"}
_UNBROKEN = 10_000  # columns: in a pipe a word is a line, however long


def vectors(
    words: Annotated[
        list[str], typer.Argument(metavar="WORD", help="Words, and sums such as king-man+woman.")
    ],
    model: console.Model = None,
    output: Output = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Colour the numbers as they are, without bringing them to one size.")
    ] = False,
    side: Side = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Show words as strips of cells, one for each dimension, from blue (-2) through white (0) to red (+2).

    ```
    $ tx plot vectors king man woman queen water
    $ tx plot vectors king-man+woman -o queen.png
    $ tx plot vectors Haus Baum --side src -m de-en
    ```

    All numbers are divided by one, the root mean square of the components of the most frequent words, so that a
    typical cell is at 1. A sum stands under its parts, and under it the word that is nearest to it. Without
    colours, `=` and `-` are below zero, `+` and `#` above.
    """
    console.set_quiet(quiet)
    from tx.plots.figure import check_path
    from tx.plots.strips import draw_strips, scale_of, strips
    from tx.vectors import open_vectors
    from tx.vectors.expression import parse

    if output:
        check_path(output)
    opened = open_vectors(model, side)
    sums = [parse(text, lambda word: opened.find(word) is not None) for text in _glue(words)]
    scale = 1.0 if raw else scale_of(opened)
    groups = strips(opened, sums, scale)
    unit = "the numbers themselves" if raw else f"in units of {scale:.3g}, the typical size of a component"
    if as_json:
        rows = [strip for group in groups for strip in group]
        labelled = [
            {"label": strip.label, "values": [round(float(x), 6) for x in strip.values]} for strip in rows
        ]
        console.print_json({"model": opened.name, "scale": scale, "strips": labelled})
    elif output:
        save(draw_strips(groups, f"{opened.name}, {opened.dim} dimensions, {unit}"), output)
    else:
        _print(groups, f"{opened.dim} dimensions, {unit}")


def _glue(words: Sequence[str]) -> Iterator[str]:
    """Join what a spaced operator holds together: king - man is one sum, king man are two words."""
    sum: list[str] = []
    for word in words:
        if sum and word not in ("+", "-") and sum[-1] not in ("+", "-"):
            yield " ".join(sum)
            sum = []
        sum.append(word)
    yield " ".join(sum)


def _print(groups: Sequence[Sequence["Strip"]], caption: str) -> None:
    """Print the strips on stdout, in colour where it can show any, as wide as it is."""
    from tx.plots.color import mark, rgb

    stdout = Console(highlight=False)
    colorful = stdout.color_system is not None and not stdout.no_color

    def color(value: float) -> str:
        if stdout.color_system in ("standard", "windows"):
            return _SIXTEEN[mark(value)]
        return "rgb({},{},{})".format(*rgb(value))

    label_width = max(cell_len(strip.label) for group in groups for strip in group)
    room = max(stdout.width - label_width - 2, 10) if stdout.is_terminal else _UNBROKEN
    for number, group in enumerate(groups):
        if number:
            stdout.print()
        for strip in group:
            cells = [(color if colorful else mark)(float(value)) for value in strip.values]
            name = Text(" " * (label_width - cell_len(strip.label)) + strip.label, Style(bold=strip.is_sum))
            for line in _colored(cells, room) if colorful else _plain(cells, room):
                stdout.print(Text.assemble(name, "  ", line), overflow="ignore", crop=False, soft_wrap=True)
                name = Text(" " * label_width)
    console.note(
        f"blue -2, white 0, red +2; {caption}" if colorful else f"= -2, - -1, + 1, # 2; {caption}", "dim"
    )


def _plain(marks: Sequence[str], room: int) -> Iterator[Text]:
    for start in range(0, len(marks), room):
        yield Text("".join(marks[start : start + room]))


def _colored(colors: Sequence[str], room: int) -> Iterator[Text]:
    """The cells of a strip, two columns wide if there is room, else one, else two cells in one column."""
    if len(colors) <= room:
        cell = " " * (2 if 2 * len(colors) <= room else 1)
        yield Text.assemble(*((cell, f"on {color}") for color in colors))
        return
    for start in range(0, len(colors), 2 * room):
        line = colors[start : start + 2 * room]
        halves = [f"{left} on {right}" for left, right in zip(line[::2], line[1::2], strict=False)]
        yield Text.assemble(*(("\u258c", style) for style in [*halves, *line[2 * len(halves) :]]))
