"""Positional encodings as pictures: sines and cosines by position and dimension, and the similarity of positions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tx.inspect.positions import LAYOUTS, Array, similarity
from tx.plots.color import LIMIT
from tx.plots.figure import FAINT, INK, MUTED, add_axes, draw_cells, new_figure, style_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES = {"interleaved": ("#0969da", "-"), "concatenated": ("#bf8700", "--")}


def draw_positions(tables: Mapping[str, Array]) -> "Figure":
    """A figure of the encodings `[length, d_model]` by layout, and below them their similarities by distance."""
    (length, d_model), n = next(iter(tables.values())).shape, len(tables)
    row, curve, gap, left, width = min(max(length * 0.06, 1.2), 3.5), 1.7, 0.62, 0.65, 8.0  # inches
    height = n * (row + gap) + curve + gap
    figure = new_figure(width, height)
    bottom = height - 0.3 + gap
    for layout, table in tables.items():
        bottom -= row + gap
        axes = add_axes(figure, left, bottom, width - left - 0.2, row)
        draw_cells(axes, LIMIT * table, (0, d_model, length - 0.5, -0.5))
        _label(axes, f"{layout}: {LAYOUTS[layout]}", "dimension", "position")
    axes = add_axes(figure, left, bottom - curve - gap, width - left - 0.2, curve)
    for layout, table in tables.items():
        color, style = _LINES[layout]
        axes.plot(similarity(table), color=color, linestyle=style, linewidth=1.4, label=layout)
    axes.set_xlim(0, length - 1)
    axes.locator_params(axis="x", integer=True)
    axes.grid(color=FAINT, linewidth=0.3)
    axes.legend(frameon=False, fontsize=7.5)
    _label(axes, "similarity of two positions (cosine)", "distance", "")
    return figure


def _label(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=9, color=INK, loc="left", pad=4)
    axes.set_xlabel(x, fontsize=7.5, color=MUTED, labelpad=1)
    axes.set_ylabel(y, fontsize=7.5, color=MUTED, labelpad=1)
    style_frame(axes)
