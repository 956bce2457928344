"""BLEU by the length of the source, a line for each system."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tx.evaluation.compare import Bucket
from tx.plots.color import LINE_COLORS
from tx.plots.figure import INK, MUTED, label_lines, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_lengths(buckets: Sequence[Bucket]) -> "Figure":
    """A figure of the BLEU of each system in each bucket of lengths; empty buckets are omitted."""
    buckets = [bucket for bucket in buckets if bucket.n_lines]
    figure = new_figure(7.0, 3.8)
    axes = figure.add_axes((0.09, 0.2, 0.66, 0.68))
    axes.set_title("BLEU by the length of the source", loc="left", fontsize=10, color=INK, pad=8)
    style_axes(axes, grid="y")
    labels = []
    for number, name in enumerate(buckets[0].bleu if buckets else {}):
        values = [bucket.bleu[name] or 0.0 for bucket in buckets]
        color = LINE_COLORS[number % len(LINE_COLORS)]
        axes.plot(range(len(buckets)), values, color=color, linewidth=1.8, marker="o", markersize=4)
        labels.append((values[-1], name, "", color))
    axes.set_xlim(-0.25, len(buckets) - 0.75)
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(len(buckets)), [f"{bucket.label}\n{bucket.n_lines} lines" for bucket in buckets])
    axes.set_xlabel("words of the source", color=MUTED, fontsize=9)
    label_lines(axes, labels, gap=0.06)
    return figure
