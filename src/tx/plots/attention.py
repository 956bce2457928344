"""Attention as a figure: who looks on the left, what is looked at above, the darker the more."""

from typing import TYPE_CHECKING

import numpy as np

from tx.inspect.attention import Table
from tx.plots.color import shade
from tx.plots.figure import FAINT, INK, MUTED, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL, _LETTER, _EDGE = 0.26, 0.078, 0.2  # inches


def draw_attention(table: Table, caption: str) -> "Figure":
    """A figure of one table of attention weights."""
    n_rows, n_columns = table.values.shape
    left, above = (_LETTER * max(map(len, names)) + _EDGE + 0.1 for names in (table.rows, table.columns))
    below = 0.42
    width = max(left + n_columns * _CELL + _EDGE, 0.075 * len(caption) + 2 * _EDGE, 3.2)
    height = above + n_rows * _CELL + below
    figure = new_figure(width, height)
    axes = figure.add_axes((left / width, below / height, n_columns * _CELL / width, n_rows * _CELL / height))
    colors = np.array([[shade(float(value)) for value in row] for row in table.values], np.uint8)
    axes.imshow(colors, aspect="auto", interpolation="nearest", extent=(0, n_columns, n_rows, 0))
    axes.set_xticks(np.arange(n_columns) + 0.5, table.columns, rotation=90)
    axes.set_yticks(np.arange(n_rows) + 0.5, table.rows)
    axes.tick_params(labelsize=9, length=0, pad=3, labelcolor=INK, top=True, labeltop=True, labelbottom=False)
    axes.hlines(range(1, n_rows), 0, n_columns, colors=FAINT, linewidth=0.25)
    axes.vlines(range(1, n_columns), 0, n_rows, colors=FAINT, linewidth=0.25)
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, color=FAINT)
    figure.text(_EDGE / width, 0.16 / height, caption, fontsize=8, color=MUTED, va="center")
    return figure
