"""BLEU against the length of the source, a line for each system: how far a model's memory reaches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tx.evaluate.compare import Bucket
from tx.plots.curves import COLORS
from tx.plots.figure import INK, MUTED, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_lengths(buckets: Sequence[Bucket]) -> "Figure":
    """A figure of the BLEU of each system in each bucket; under a bucket stands how many lines it has."""
    buckets = [bucket for bucket in buckets if bucket.n_lines]
    figure = new_figure(7.0, 3.8)
    axes = figure.add_axes((0.09, 0.2, 0.66, 0.68))
    places = range(len(buckets))
    axes.set_title("BLEU by the length of the source", loc="left", fontsize=10, color=INK, pad=8)
    style_axes(axes, grid="y")
    ends: list[tuple[float, str, str]] = []
    for number, name in enumerate(buckets[0].bleu if buckets else {}):
        values = [bucket.bleu[name] or 0.0 for bucket in buckets]
        color = COLORS[number % len(COLORS)]
        axes.plot(places, values, color=color, linewidth=1.8, marker="o", markersize=4)
        ends.append((values[-1], name, color))
    axes.set_xlim(-0.25, len(buckets) - 0.75)
    axes.set_ylim(bottom=0)
    axes.set_xticks(list(places), [f"{bucket.label}\n{bucket.n_lines} lines" for bucket in buckets])
    axes.set_xlabel("words of the source", color=MUTED, fontsize=9)
    low = -float("inf")
    gap = 0.06 * axes.get_ylim()[1]
    for value, name, color in sorted(ends):  # names keep their distance
        low = max(value, low + gap)
        axes.annotate(
            name,
            (len(buckets) - 1, low),
            (10, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize=9,
        )
    return figure
