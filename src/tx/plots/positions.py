"""Positional encodings as pictures: sines and cosines by position and dimension, and how alike positions are.

The product of two positions depends on their distance alone, since `sin a sin b + cos a cos b = cos(a - b)`: it is
the mean of the cosines of all frequencies at that distance (Vaswani et al. 2017, section 3.5).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tx.errors import UsageError
from tx.nn.position import sinusoids
from tx.plots.color import LIMIT, rgb
from tx.plots.figure import FAINT, INK, MUTED, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float32]
LAYOUTS = {
    "interleaved": "sine, cosine, sine, cosine ..., as in the paper",
    "concatenated": "all sines, then all cosines, as in tensor2tensor",
}
_LINES = {"interleaved": ("#0969da", "-"), "concatenated": ("#bf8700", "--")}


def encodings(length: int, d_model: int) -> dict[str, Array]:
    """The encoding of the first `length` positions in each layout, `[length, d_model]`."""
    if d_model % 2:
        raise UsageError(f"a d_model of {d_model} is odd, and sinusoids come in pairs", "choose an even one")
    return {layout: sinusoids(length, d_model, layout).numpy() for layout in LAYOUTS}


def similarity(encoding: Array) -> Array:
    """The cosine of two positions by their distance, from 0 on."""
    units = encoding / np.linalg.norm(encoding, axis=1, keepdims=True)
    products = units @ units.T
    return np.array([np.diagonal(products, k).mean() for k in range(len(encoding))], np.float32)


def draw_positions(tables: Mapping[str, Array]) -> "Figure":
    """A figure of the encodings, one under the other, and under them the similarities by distance."""
    (length, d_model), n = next(iter(tables.values())).shape, len(tables)
    each, curve, gap, left, width = min(max(length * 0.06, 1.2), 3.5), 1.7, 0.62, 0.65, 8.0  # inches
    height = n * (each + gap) + curve + gap
    figure = new_figure(width, height)
    top = 0.3
    for layout, table in tables.items():
        axes = figure.add_axes(
            (left / width, 1 - (top + each) / height, 1 - (left + 0.2) / width, each / height)
        )
        colors = np.array([[rgb(LIMIT * float(value)) for value in row] for row in table], np.uint8)
        axes.imshow(colors, aspect="auto", interpolation="nearest", extent=(0, d_model, length - 0.5, -0.5))
        _label(axes, f"{layout}: {LAYOUTS[layout]}", "dimension", "position")
        top += each + gap
    axes = figure.add_axes(
        (left / width, 1 - (top + curve) / height, 1 - (left + 0.2) / width, curve / height)
    )
    for layout, table in tables.items():
        axes.plot(
            similarity(table),
            color=_LINES[layout][0],
            linestyle=_LINES[layout][1],
            linewidth=1.4,
            label=layout,
        )
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
    axes.tick_params(labelsize=7, length=2, width=0.5, color=FAINT, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, color=FAINT)
