"""Words as strips of coloured cells, one cell for each dimension, and sums of words under their parts.

Two words of a kind share colours where they share meaning: the picture of "The Illustrated Word2vec" (Alammar
2019, https://jalammar.github.io/illustrated-word2vec/). Vectors of different tools differ in size, so all
cells are divided by one number, the root mean square of the vocabulary's components: signs, proportions and
sums stay as they are, and a typical cell is at +1 or -1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tx.plots.color import LIMIT, rgb
from tx.plots.figure import FAINT, INK, MUTED, new_figure
from tx.vectors.expression import Term, ask
from tx.vectors.search import search
from tx.vectors.store import Matrix, WordVectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RULE = 0.08  # inches between the parts and the line above their sum
_FREQUENT = 10_000  # words whose components set the scale


@dataclass(frozen=True)
class Strip:
    label: str
    values: Matrix  # [dim], divided by the scale
    is_sum: bool = False


def scale_of(vectors: WordVectors) -> float:
    """The root mean square of the components of the most frequent words."""
    norms = np.asarray(vectors.norms[:_FREQUENT], np.float64)
    return float(np.sqrt((norms @ norms) / (len(norms) * vectors.dim))) or 1.0


def strips(vectors: WordVectors, sums: Sequence[Sequence[Term]], scale: float) -> list[list[Strip]]:
    """Groups of strips: the single words among `sums`, as they stand together; each sum with its parts.

    Under a sum stands the nearest word, as `tx analogy` finds it. Raises TxError for an unknown word.
    """
    groups: list[list[Strip]] = []
    single: list[Strip] = []  # the group that single words in a row share
    for terms in sums:
        question = ask(terms, vectors)
        rows = vectors.matrix[list(question.rows)] / np.float32(scale)
        if len(terms) == 1 and terms[0].weight == 1:
            if not single:
                groups.append(single)
            single.append(Strip(terms[0].word, rows[0]))
            continue
        single = []
        signs = ["+" if term.weight > 0 else "\u2212" for term in terms]
        signs[0] = "" if terms[0].weight > 0 else signs[0]
        labels = [f"{sign} {term}".strip() for sign, term in zip(signs, terms, strict=True)]
        group = [Strip(label, row) for label, row in zip(labels, rows, strict=True)]
        total = np.array(question.weights, np.float32) @ rows
        group.append(Strip("".join(f"{s}{t}" for s, t in zip(signs, terms, strict=True)), total, is_sum=True))
        ((nearest, *_),) = search(vectors, [question], 1)
        nearest_row = vectors.matrix[nearest.row] / np.float32(scale)
        group.append(Strip(f"\u2248 {vectors.words[nearest.row]}", nearest_row))
        groups.append(group)
    return groups


def draw_strips(groups: Sequence[Sequence[Strip]], caption: str) -> "Figure":
    """A figure of the groups, with the scale of colours under them."""
    dim = len(groups[0][0].values)
    n_rows = sum(map(len, groups))
    row, gap, left, below = 0.30, 0.20, _label_width(groups), 0.62  # inches
    width = left + min(max(dim * 0.13, 4.5), 11.0) + 0.2
    n_sums = sum(strip.is_sum for group in groups for strip in group)
    height = n_rows * row + (len(groups) - 1) * gap + n_sums * _RULE + below + 0.18
    figure = new_figure(width, height)
    axes = figure.add_axes(
        (left / width, below / height, 1 - (left + 0.2) / width, 1 - (below + 0.18) / height)
    )
    axes.set_axis_off()
    axes.set_xlim(0, dim)
    top = 0.0
    for group in groups:
        for strip in group:
            if strip.is_sum:
                line = axes.axhline(top + _RULE / 2, color=INK, linewidth=0.9)
                line.set_clip_on(False)
                top += _RULE
            _draw_strip(axes, strip, top, row, dim)
            top += row
        top += gap
    axes.set_ylim(top - gap, 0)
    _draw_scale(figure, left, width, height, caption)
    return figure


def _draw_strip(axes: "Axes", strip: Strip, top: float, row: float, dim: int) -> None:
    pad = 0.03
    colors = np.array([rgb(float(value)) for value in strip.values], np.uint8)[None]  # [1, dim, 3]
    axes.imshow(
        colors, extent=(0, dim, top + row - pad, top + pad), aspect="auto", interpolation="nearest", zorder=1
    )
    axes.set_autoscale_on(False)
    edge = 0.35 if dim <= 120 else 0
    axes.vlines(range(1, dim), top + pad, top + row - pad, colors="white", linewidth=edge, zorder=2)
    axes.plot(
        [0, dim, dim, 0, 0],
        [top + pad, top + pad, top + row - pad, top + row - pad, top + pad],
        color=FAINT,
        linewidth=0.5,
        zorder=3,
        clip_on=False,
    )
    weight = "bold" if strip.is_sum else "normal"
    axes.annotate(
        strip.label, (0, top + row / 2), (-7, 0), textcoords="offset points", ha="right", va="center",
        fontsize=10, color=INK, fontweight=weight, annotation_clip=False,
    )  # fmt: skip


def _label_width(groups: Sequence[Sequence[Strip]]) -> float:
    longest = max(len(strip.label) * (1.12 if strip.is_sum else 1) for group in groups for strip in group)
    return max(longest * 0.092 + 0.3, 0.8)


def _draw_scale(figure: "Figure", left: float, width: float, height: float, caption: str) -> None:
    axes = figure.add_axes((left / width, 0.34 / height, 1.6 / width, 0.11 / height))
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
