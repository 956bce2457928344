"""Maps of words in two dimensions, as a figure or as lines of text.

In the figure, labels are placed in their order such that none covers another label or a point, each at the first
free position on rings around its point: a simple form of map lettering (Imhof 1975), sufficient for some hundreds of
words. A label without a free position is omitted, which iterative methods such as adjustText do not do: they leave
overlaps where there is no room.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tx.inspect.vectors import WordMap
from tx.plots.figure import INK, MUTED, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_DOT, _LINK = "#2166ac", "#afb8c1"


def draw_map(map: WordMap, title: str) -> tuple["Figure", int]:
    """A figure of the map, and the number of words without room for a label."""
    n = len(map.words)
    width, height = (9.0, 6.5) if n <= 150 else (13.0, 9.5)  # inches
    font_size = 10.0 if n <= 60 else 8.5 if n <= 150 else 7.5  # points
    figure = new_figure(width, height)
    dpi, pixel = figure.dpi, figure.dpi / 72
    bottom, edge = 0.35 * dpi, 0.15 * dpi  # for the caption; without labels at the edge of the picture
    area = np.array([width * dpi, height * dpi - bottom])
    points = _scale_points(map.points, area, margin=0.55 * dpi)
    sizes = _label_sizes(figure, map.words, font_size)
    places = place_labels(points - edge, sizes, area - 2 * edge, room=2.6 * pixel)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, area[0])
    axes.set_ylim(-bottom, area[1])
    axes.scatter(points[:, 0], points[:, 1], s=11, color=_DOT, linewidths=0, zorder=2)
    for word, place, point, size in zip(map.words, places, points, sizes, strict=True):
        if place is None:
            continue
        corner = place + edge
        end = np.clip(point, corner, corner + size)  # where the label is nearest to its point
        if np.hypot(*(end - point)) > 7 * pixel:
            axes.plot(*np.stack([point, end]).T, color=_LINK, linewidth=0.6, zorder=1)
        x, y = corner + size / 2
        axes.text(x, y, word, fontsize=font_size, color=INK, ha="center", va="center_baseline", zorder=3)
    axes.text(0.3 * dpi, -bottom * 0.35, f"{title}, {map.note}", fontsize=7.5, color=MUTED, va="center")
    return figure, sum(place is None for place in places)


def _label_sizes(figure: "Figure", words: Sequence[str], font_size: float) -> Floats:
    """The width and height of each word in pixels, with a small margin: [n, 2]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    text = figure.text(0, 0, "", fontsize=font_size)
    sizes = []
    for word in words:
        text.set_text(word)
        sizes.append(text.get_window_extent(renderer).size)
    text.remove()
    return np.array(sizes) + np.array([3, 1.5]) * figure.dpi / 72


def _scale_points(points: Floats, area: Floats, margin: float) -> Floats:
    """The points stretched to fill an area, each axis separately, with a margin around them."""
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    share = np.where(span > 0, (points - low) / np.where(span > 0, span, 1), 0.5)
    return margin + share * (area - 2 * margin)


def text_map(map: WordMap, width: int, height: int) -> tuple[list[str], int]:
    """The map as lines of text with each word centred on its point, and the number of words without room."""
    grid = [" " * width for _ in range(height)]
    omitted = 0
    area = np.array([width - 1.0, height - 1.0])
    for word, (x, y) in zip(map.words, _scale_points(map.points, area, margin=0), strict=True):
        start = min(max(round(x) - len(word) // 2, 0), max(width - len(word), 0))
        end, row = start + len(word), height - 1 - round(y)
        near = (row + shift for shift in (0, 1, -1, 2, -2) if 0 <= row + shift < height)
        free = (line for line in near if not grid[line][max(start - 1, 0) : end + 1].strip())
        line = next(free, None) if len(word) <= width else None
        if line is None:
            omitted += 1
        else:
            grid[line] = grid[line][:start] + word + grid[line][end:]
    return [line.rstrip() for line in grid], omitted


# --- labels ---

_ANGLES = np.deg2rad([0, 180, 90, 270, 30, 330, 150, 210, 60, 120, 240, 300])
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_RINGS = 24


def place_labels(
    points: Floats, sizes: Floats | Sequence[tuple[float, float]], area: Floats | Sequence[float], room: float
) -> list[Floats | None]:
    """The lower left corner [2] of each label, or None where there is no room for it.

    `points` [n, 2] lie on an `area` of (width, height), each occupying `room` around it; `sizes` [n, 2] are the
    widths and heights of the labels, all in one unit.
    """
    # Boxes are rows of left, bottom, right, top. Labels must avoid points, other labels, and their leader lines.
    labels, obstacles = np.zeros((0, 4)), np.concatenate([points - room, points + room], axis=1)
    places: list[Floats | None] = []
    for point, size in zip(points, np.asarray(sizes, np.float64), strict=True):
        rings = 1.5 * room + np.arange(_RINGS)[:, None, None] * size[1] * 0.45
        centers = point + _DIRECTIONS * (rings + np.abs(_DIRECTIONS) * size / 2)
        corners = (centers - size / 2).reshape(-1, 2)
        boxes = np.concatenate([corners, corners + size], axis=1)
        inside = (boxes[:, :2] >= 0).all(axis=1) & (boxes[:, 2:] <= area).all(axis=1)
        free = inside & ~_overlap(boxes, obstacles).any(axis=1)
        for box in boxes[free]:
            leader = _leader_line(point, box, room)
            if not _overlap(leader, labels).any():
                places.append(box[:2])
                labels = np.concatenate([labels, box[None]])
                obstacles = np.concatenate([obstacles, box[None], leader])
                break
        else:
            places.append(None)
    return places


def _leader_line(point: Floats, box: Floats, room: float) -> Floats:
    """The line from a point to its label as a chain of small boxes, or no box where the two are close."""
    end = np.clip(point, box[:2], box[2:])  # where the label is nearest
    if np.hypot(*(end - point)) < 3 * room:
        return np.zeros((0, 4))
    samples = point + np.linspace(0, 0.98, 40)[:, None] * (end - point)
    return np.concatenate([samples - room / 20, samples + room / 20], axis=1)


def _overlap(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Which boxes of `a` overlap which of `b`: [len(a), len(b)]."""
    apart = (a[:, None, 2:] <= b[None, :, :2]) | (b[None, :, 2:] <= a[:, None, :2])
    return np.asarray(~apart.any(axis=2))
