"""A text with the activations of one hidden unit as background colours: as a figure, or as an HTML page."""

import html
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tx.files import atomic_file
from tx.inspect.neurons import Array
from tx.plots.color import LIMIT, rgb
from tx.plots.figure import INK, MUTED, add_axes, draw_cells, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEGEND = "blue low, white between, red high"
NEWLINE = "\u21b5"  # shown in place of a newline, which has an activation too


def color_scale(activations: NDArray[np.floating]) -> Array:
    """Activations `[T]` scaled so that their 2nd and 98th percentiles become ±`LIMIT`.

    Scaled by their extremes, a few outliers would leave all others one colour. Where the two percentiles are equal,
    the minimum and the maximum take their place; a constant becomes 0.
    """
    values = activations.astype(np.float64)
    low, high = np.percentile(values, (2, 98))
    if low == high:
        low, high = values.min(), values.max()
    scaled: Array = LIMIT * (2 * values - low - high) / ((high - low) or 1.0)
    return scaled


def lines_of(text: str, values: Array, width: int) -> list[list[tuple[str, float]]]:
    """Characters with their values, in lines of at most `width`; invisible characters are shown as signs."""
    lines: list[list[tuple[str, float]]] = [[]]
    for character, value in zip(text, values, strict=True):
        if len(lines[-1]) == width:
            lines.append([])
        if character == "\n":
            lines[-1].append((NEWLINE, float(value)))
            lines.append([])
        else:
            shown = character if character.isprintable() else "\u2423" if character.isspace() else "\ufffd"
            lines[-1].append((shown, float(value)))
    return lines if lines[-1] else lines[:-1]


def draw_text(text: str, values: Array, caption: str, line_width: int = 96) -> "Figure":
    """A figure of the text, each character on the colour of its value (see `color_scale`)."""
    lines = lines_of(text, values, line_width)
    columns = max(map(len, lines))
    cell_width, cell_height, margin, above = 0.085, 0.17, 0.2, 0.42  # inches
    size = columns * cell_width, len(lines) * cell_height
    width, height = max(size[0] + 2 * margin, 6.0), size[1] + above + margin
    figure = new_figure(width, height)
    axes = add_axes(figure, margin, margin, *size)
    axes.set_axis_off()
    cells = np.zeros((len(lines), columns))  # white where a line is shorter
    for row, line in enumerate(lines):
        cells[row, : len(line)] = [value for _, value in line]
    draw_cells(axes, cells, (0, columns, len(lines), 0))
    for row, line in enumerate(lines):
        for column, (character, value) in enumerate(line):
            if character != " ":
                axes.text(
                    column + 0.5, row + 0.54, character, family="monospace", fontsize=8, ha="center", va="center",
                    color=ink(value), alpha=0.5 if character == NEWLINE else 1,
                )  # fmt: skip
    left, at = margin / width, 1 - 0.24 / height
    figure.text(left, at, caption, fontsize=9, color=INK, va="center")
    figure.text(1 - left, at, LEGEND, fontsize=7.5, color=MUTED, va="center", ha="right")
    return figure


def ink(value: float) -> str:
    """The text colour that is legible on the colour of a value."""
    red, green, blue = rgb(value)
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 150 else "#ffffff"


def write_html(text: str, values: Array, caption: str, path: Path) -> None:
    """Write the coloured text as one self-contained page. Raises TxError if that fails."""
    lines = []
    for line in lines_of(text, values, 120):
        cells = []
        for character, value in line:
            red, green, blue = rgb(value)
            style = f"background:#{red:02x}{green:02x}{blue:02x};color:{ink(value)}"
            cells.append(f'<span style="{style}" title="{value:+.2f}">{html.escape(character)}</span>')
        lines.append("".join(cells))
    page = (
        '<!doctype html>\n<meta charset="utf-8">\n'
        f"<title>{html.escape(caption)}</title>\n"
        f'<p style="font: 14px sans-serif">{html.escape(caption)}; {LEGEND}</p>\n'
        '<pre style="font: 14px/1.45 monospace">\n' + "\n".join(lines) + "\n</pre>\n"
    )
    with atomic_file(path, "w") as file:
        file.write(page)
