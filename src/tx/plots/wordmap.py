"""Words on a map: their vectors brought to two dimensions, so that neighbours stay neighbours.

PCA keeps the two directions of most variance (Pearson 1901); t-SNE keeps who is near whom (van der Maaten and
Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html) and says nothing of far distances. Both see the
unit vectors, so that angles count and frequency does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError, UsageError
from tx.plots.figure import INK, MUTED, new_figure
from tx.plots.labels import place_labels
from tx.vectors.spelling import unknown_word
from tx.vectors.store import Matrix, WordVectors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Method = Literal["pca", "tsne"]
METHODS: tuple[Method, ...] = ("pca", "tsne")

_DOT, _LINK = "#2166ac", "#afb8c1"


@dataclass(frozen=True)
class WordMap:
    words: list[str]
    points: NDArray[np.float64]  # [n, 2]
    note: str  # how the map came about


def make_map(vectors: WordVectors, rows: Sequence[int], method: Method = "pca", seed: int = 1) -> WordMap:
    """Bring the words in `rows` to the plane. Raises TxError for fewer than three, or without scikit-learn."""
    if len(rows) < 3:
        raise UsageError(
            f"a map of {len(rows)} words shows nothing", "name three words or more, or take --top N"
        )
    unit = vectors.unit(rows)
    words = [vectors.words[row] for row in rows]
    if method == "tsne":
        return WordMap(words, _tsne(unit, seed), f"t-SNE of {len(rows):,} unit vectors, seed {seed}")
    points, share = pca(unit)
    return WordMap(words, points, f"PCA of {len(rows):,} unit vectors, {share:.0%} of their variance")


def chosen_rows(vectors: WordVectors, words: Sequence[str]) -> list[int]:
    """The rows of `words`, each once. Raises TxError for an unknown one."""
    rows: dict[int, None] = {}
    for word in words:
        row = vectors.find(word)
        if row is None:
            raise unknown_word(word, vectors.words, vectors.name)
        rows[row] = None
    return list(rows)


def frequent_rows(vectors: WordVectors, n: int) -> list[int]:
    """The rows of the first `n` words that hold a letter or a digit."""
    found = (row for row, word in enumerate(vectors.words) if any(letter.isalnum() for letter in word))
    return list(islice(found, n))


def pca(x: Matrix) -> tuple[NDArray[np.float64], float]:
    """The rows of `x` [n, dim] on their first two principal axes [n, 2], and the share of variance these hold.

    The sign of an axis is free: here its largest coordinate is positive.
    """
    centered = np.asarray(x, np.float64) - x.mean(axis=0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centered, full_matrices=False)
    points = np.zeros((len(x), 2))
    points[:, : min(2, len(s))] = (u * s)[:, :2]
    extreme = points[np.abs(points).argmax(axis=0), (0, 1)]
    total = float((s**2).sum())
    return points * np.where(extreme < 0, -1.0, 1.0), float((s[:2] ** 2).sum()) / total if total else 0.0


def _tsne(x: Matrix, seed: int) -> NDArray[np.float64]:
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise TxError("t-SNE needs scikit-learn, which is not installed", "pip install 'tx[tsne]'") from None
    perplexity = min(30.0, (len(x) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca" if min(x.shape) > 2 else "random", random_state=seed)
    return np.asarray(tsne.fit_transform(np.asarray(x, np.float32)), np.float64)


def draw_map(map: WordMap, title: str) -> tuple["Figure", int]:
    """A figure of the map, and how many words have no room for their name."""
    n = len(map.words)
    width, height = (9.0, 6.5) if n <= 150 else (13.0, 9.5)  # inches
    size = 10.0 if n <= 60 else 8.5 if n <= 150 else 7.5  # points
    figure = new_figure(width, height)
    dpi, pixel = figure.dpi, figure.dpi / 72
    bottom = 0.35 * dpi  # the caption stands below the sheet
    sheet = np.array([width * dpi, height * dpi - bottom])
    points = _fit(map.points, sheet, margin=0.55 * dpi)
    sizes = _extents(figure, map.words, size)
    edge = 0.15 * dpi  # no name touches the edge of the picture
    inner = sheet - 2 * edge
    found = place_labels(points - edge, sizes, float(inner[0]), float(inner[1]), room=2.6 * pixel)
    places = [None if place is None else (place[0] + edge, place[1] + edge) for place in found]
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, sheet[0])
    axes.set_ylim(-bottom, sheet[1])
    axes.scatter(points[:, 0], points[:, 1], s=11, color=_DOT, linewidths=0, zorder=2)
    for word, place, point, extent in zip(map.words, places, points, sizes, strict=True):
        if place is None:
            continue
        end = np.clip(point, place, np.add(place, extent))  # where the label is nearest to its point
        if np.hypot(*(end - point)) > 7 * pixel:
            axes.plot(*np.stack([point, end]).T, color=_LINK, linewidth=0.6, zorder=1)
        x, y = np.add(place, extent) - np.divide(extent, 2)
        axes.text(x, y, word, fontsize=size, color=INK, ha="center", va="center_baseline", zorder=3)
    axes.text(0.3 * dpi, -bottom * 0.35, f"{title}, {map.note}", fontsize=7.5, color=MUTED, va="center")
    return figure, places.count(None)


def _extents(figure: "Figure", words: Sequence[str], size: float) -> list[tuple[float, float]]:
    """The width and height of each word in pixels, with a little air."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer, air = FigureCanvasAgg(figure).get_renderer(), figure.dpi / 72
    found = []
    for word in words:
        text = figure.text(0, 0, word, fontsize=size)
        box = text.get_window_extent(renderer)
        found.append((box.width + 3 * air, box.height + 1.5 * air))
        text.remove()
    return found


def _fit(points: NDArray[np.float64], sheet: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """The points stretched over a sheet, each axis by itself, with a margin around."""
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    share = np.where(span > 0, (points - low) / np.where(span > 0, span, 1), 0.5)
    return margin + share * (sheet - 2 * margin)


def text_map(map: WordMap, width: int, height: int) -> tuple[list[str], int]:
    """The map as lines of text, and how many words found no room on them. A word stands centred on its place."""
    grid = [[" "] * width for _ in range(height)]
    left = 0
    sheet = np.array([width - 1.0, height - 1.0])
    for word, (x, y) in zip(map.words, _fit(map.points, sheet, margin=0), strict=True):
        start = min(max(round(x) - len(word) // 2, 0), max(width - len(word), 0))
        row = height - 1 - round(y)
        for shift in (0, 1, -1, 2, -2):
            line = grid[row + shift] if 0 <= row + shift < height else []
            if (
                line
                and len(word) <= width
                and not "".join(line[max(start - 1, 0) : start + len(word) + 1]).strip()
            ):
                line[start : start + len(word)] = word
                break
        else:
            left += 1
    return ["".join(line).rstrip() for line in grid], left
