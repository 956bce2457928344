"""Labels for points such that none covers another label or a point: greedily, nearest free position first.

Labels are placed in their order, each at the first free position on rings around its point: a simple form of map
lettering (Imhof 1975), sufficient for some hundreds of words. A label without a free position is omitted, which
iterative methods such as adjustText do not do: they leave overlaps where there is no room.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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
