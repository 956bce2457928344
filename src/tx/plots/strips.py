"""Words as strips of coloured cells, one cell for each dimension, as in "The Illustrated Word2vec".

That picture is Alammar's (2019, https://jalammar.github.io/illustrated-word2vec/): words of similar meaning have
similar colours.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tx.inspect.vectors import Strip
from tx.plots.color import LIMIT
from tx.plots.figure import FAINT, INK, MUTED, add_axes, draw_cells, new_figure, style_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RULE = 0.08  # inches between the terms and the line above their sum
_ROW, _GAP = 0.30, 0.20  # inches: the height of a strip, and the space between groups


def draw_strips(groups: Sequence[Sequence[Strip]], caption: str) -> "Figure":
    """A figure of the groups, with the colour scale below them."""
    strips = [strip for group in groups for strip in group]
    dim = len(strips[0].values)
    longest = max(len(strip.label) * (1.12 if strip.is_sum else 1) for strip in strips)
    left, below, margin = max(longest * 0.092 + 0.3, 0.8), 0.62, 0.2  # inches
    width = left + min(max(dim * 0.13, 4.5), 11.0) + margin
    gaps = (len(groups) - 1) * _GAP + sum(strip.is_sum for strip in strips) * _RULE
    height = len(strips) * _ROW + gaps + below + margin
    figure = new_figure(width, height)
    axes = add_axes(figure, left, below, width - left - margin, height - below - margin)
    axes.set_axis_off()
    axes.set_xlim(0, dim)
    top = 0.0
    for group in groups:
        for strip in group:
            if strip.is_sum:
                axes.axhline(top + _RULE / 2, color=INK, linewidth=0.9, clip_on=False)
                top += _RULE
            _draw_strip(axes, strip, top)
            top += _ROW
        top += _GAP
    axes.set_ylim(top - _GAP, 0)
    scale = add_axes(figure, left, 0.34, 1.6, 0.11)
    draw_cells(scale, [np.linspace(-LIMIT, LIMIT, 101)], (-LIMIT, LIMIT, 0, 1))
    style_frame(scale)
    scale.set_yticks([])
    scale.set_xticks([-2, -1, 0, 1, 2], ["\u22122", "\u22121", "0", "+1", "+2"])
    scale.tick_params(pad=1.5)
    scale.annotate(
        caption, (1, 0.5), (9, -0.5), xycoords="axes fraction", textcoords="offset points", ha="left",
        va="center", fontsize=7.5, color=MUTED, annotation_clip=False,
    )  # fmt: skip
    return figure


def _draw_strip(axes: "Axes", strip: Strip, top: float) -> None:
    """Draw a strip and its label between the heights `top` and `top + _ROW`."""
    from matplotlib.patches import Rectangle

    dim, first, last = len(strip.values), top + 0.03, top + _ROW - 0.03
    draw_cells(axes, [strip.values], (0, dim, last, first))
    axes.set_autoscale_on(False)
    edge = 0.35 if dim <= 120 else 0
    axes.vlines(range(1, dim), first, last, colors="white", linewidth=edge, zorder=2)
    line: dict[str, Any] = {"edgecolor": FAINT, "linewidth": 0.5, "zorder": 3}
    axes.add_patch(Rectangle((0, first), dim, last - first, fill=False, clip_on=False, **line))
    axes.annotate(
        strip.label, (0, top + _ROW / 2), (-7, 0), textcoords="offset points", ha="right", va="center",
        fontsize=10, color=INK, fontweight="bold" if strip.is_sum else "normal", annotation_clip=False,
    )  # fmt: skip
