"""`tx plot vectors`: word vectors as strips of coloured cells."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tx.cli import console
from tx.cli.console import argument, option
from tx.cli.plot import Output, save
from tx.cli.vector_query import Side

if TYPE_CHECKING:
    from tx.inspect.vectors import Strip

_SIXTEEN = {"=": "blue", "-": "bright_blue", " ": "bright_white", "+": "bright_red", "#": "red"}
_UNLIMITED = 10_000  # columns: in a pipe, a strip is one line, however long


def vectors(
    words: Annotated[list[str], argument("WORD", "Words, and sums such as king-man+woman.")],
    model: console.Model = None,
    output: Output = None,
    raw: Annotated[bool, option("Show the components without scaling them.")] = False,
    side: Side = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Show word vectors as strips of cells, one cell per dimension, from blue (-2) through white (0) to red (+2).

    ```
    $ tx plot vectors king man woman queen water
    $ tx plot vectors king-man+woman -o queen.png
    $ tx plot vectors Haus Baum --side src -m de-en
    ```

    All components are divided by the root mean square of the components of the most frequent words, so that a typical
    cell is at +1 or -1. A sum is shown below its terms, followed by the word whose vector is nearest to it. Without
    colours, the marks are `=` (strongly negative), `-` (negative), `+` (positive) and `#` (strongly positive).
    """
    from tx.inspect.vectors import component_scale, component_strips
    from tx.plots.strips import draw_strips
    from tx.vectors import open_vectors
    from tx.vectors.expression import parse

    opened = open_vectors(model, side)
    scale = 1.0 if raw else component_scale(opened)
    groups = component_strips(opened, [parse(text, opened) for text in _join_sums(words)], scale)
    unit = "unscaled" if raw else f"in units of {scale:.3g}, the typical size of a component"
    caption = f"{opened.dim} dimensions, {unit}"
    if as_json:
        labelled = [
            {"label": strip.label, "values": [round(float(x), 6) for x in strip.values]}
            for group in groups
            for strip in group
        ]
        console.print_json({"model": opened.name, "scale": scale, "strips": labelled})
    elif output:
        save(draw_strips(groups, f"{opened.name}, {caption}"), output)
    else:
        _print(groups, caption)


def _join_sums(words: Sequence[str]) -> Iterator[str]:
    """Join words with an operator between them: `king - man` is one sum, `king man` are two words."""
    sum: list[str] = []
    for word in words:
        if sum and word not in ("+", "-") and sum[-1] not in ("+", "-"):
            yield " ".join(sum)
            sum = []
        sum.append(word)
    yield " ".join(sum)


def _print(groups: Sequence[Sequence["Strip"]], caption: str) -> None:
    """Print the strips on stdout, as wide as the terminal, in the colours that it can show."""
    from tx.plots.color import mark, rgb

    stdout = Console(highlight=False)
    has_color = stdout.color_system is not None and not stdout.no_color

    def cell(value: float) -> str:
        if not has_color:
            return mark(value)
        if stdout.color_system in ("standard", "windows"):
            return _SIXTEEN[mark(value)]
        return "rgb({},{},{})".format(*rgb(value))

    label_width = max(cell_len(strip.label) for group in groups for strip in group)
    width = max(stdout.width - label_width - 2, 10) if stdout.is_terminal else _UNLIMITED
    for number, group in enumerate(groups):
        if number:
            stdout.print()
        for strip in group:
            cells = [cell(float(value)) for value in strip.values]
            label = Text(" " * (label_width - cell_len(strip.label)) + strip.label, Style(bold=strip.is_sum))
            for line in _cell_lines(cells, width, has_color):
                stdout.print(Text.assemble(label, "  ", line), overflow="ignore", crop=False, soft_wrap=True)
                label = Text(" " * label_width)
    legend = "blue -2, white 0, red +2" if has_color else "= -2, - -1, + 1, # 2"
    console.note(f"{legend}; {caption}", "dim")


def _cell_lines(cells: Sequence[str], width: int, has_color: bool) -> Iterator[Text]:
    """The lines of a strip: a mark in each column; or colours, two columns wide if they fit, else one or half."""
    if not has_color:
        for start in range(0, len(cells), width):
            yield Text("".join(cells[start : start + width]))
        return
    if len(cells) <= width:
        blank = " " * (2 if 2 * len(cells) <= width else 1)
        yield Text.assemble(*((blank, f"on {color}") for color in cells))
        return
    for start in range(0, len(cells), 2 * width):
        line = cells[start : start + 2 * width]
        halves = [f"{left} on {right}" for left, right in zip(line[::2], line[1::2], strict=False)]
        yield Text.assemble(*(("\u258c", style) for style in [*halves, *line[2 * len(halves) :]]))
