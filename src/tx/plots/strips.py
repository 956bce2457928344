"""Words as strips of coloured cells, one cell for each dimension, as in "The Illustrated Word2vec".

That picture is Alammar's (2019, https://jalammar.github.io/illustrated-word2vec/): words of similar meaning have
similar colours.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tx.inspect.vectors import Strip
from tx.plots.color import LIMIT, rgb
from tx.plots.figure import FAINT, INK, MUTED, new_figure

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
    axes = figure.add_axes(
        (left / width, below / height, 1 - (left + margin) / width, 1 - (below + margin) / height)
    )
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
    _draw_scale(figure.add_axes((left / width, 0.34 / height, 1.6 / width, 0.11 / height)), caption)
    return figure


def _draw_strip(axes: "Axes", strip: Strip, top: float) -> None:
    """Draw a strip and its label between the heights `top` and `top + _ROW`."""
    from matplotlib.patches import Rectangle

    dim, first, last = len(strip.values), top + 0.03, top + _ROW - 0.03
    colors = np.array([[rgb(float(value)) for value in strip.values]], np.uint8)  # [1, dim, 3]
    axes.imshow(colors, extent=(0, dim, last, first), aspect="auto", interpolation="nearest", zorder=1)
    axes.set_autoscale_on(False)
    edge = 0.35 if dim <= 120 else 0
    axes.vlines(range(1, dim), first, last, colors="white", linewidth=edge, zorder=2)
    frame = Rectangle(
        (0, first), dim, last - first, fill=False, edgecolor=FAINT, linewidth=0.5, clip_on=False
    )
    frame.set_zorder(3)
    axes.add_patch(frame)
    axes.annotate(
        strip.label, (0, top + _ROW / 2), (-7, 0), textcoords="offset points", ha="right", va="center",
        fontsize=10, color=INK, fontweight="bold" if strip.is_sum else "normal", annotation_clip=False,
    )  # fmt: skip


def _draw_scale(axes: "Axes", caption: str) -> None:
    """Draw the colours of the values, with the caption to the right."""
    colors = np.array([[rgb(value) for value in np.linspace(-LIMIT, LIMIT, 101)]], np.uint8)
    axes.imshow(colors, extent=(-LIMIT, LIMIT, 0, 1), aspect="auto", interpolation="nearest")
    axes.set_yticks([])
    axes.set_xticks([-2, -1, 0, 1, 2], ["\u22122", "\u22121", "0", "+1", "+2"])
    axes.tick_params(labelsize=7, length=2, width=0.5, pad=1.5, color=FAINT, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, color=FAINT)
    axes.annotate(
        caption, (1, 0.5), (9, -0.5), xycoords="axes fraction", textcoords="offset points", ha="left",
        va="center", fontsize=7.5, color=MUTED, annotation_clip=False,
    )  # fmt: skip
