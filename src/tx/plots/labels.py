"""Where to write names beside points so that none covers another or a point: greedily, near places first.

The names are placed in their order, each at the first free place of a spiral around its point. This is the
simple end of map lettering (Imhof 1975), and enough for some hundreds of words.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]  # [n, 4]: left, bottom, right, top

_ANGLES = np.deg2rad([0, 180, 90, 270, 30, 330, 150, 210, 60, 120, 240, 300])
_RINGS = 24


def place_labels(
    points: NDArray[np.float64],
    sizes: Sequence[tuple[float, float]],
    width: float,
    height: float,
    room: float,
) -> list[tuple[float, float] | None]:
    """The lower left corner of each label, or None where there is no room for it.

    `points` [n, 2] lie on a sheet of `width` by `height`, each taking `room` around it; `sizes` are the labels'
    widths and heights, all in one unit.
    """
    dots = np.concatenate([points - room, points + room], axis=1)  # [n, 4]
    labels, leads = (
        np.zeros((0, 4)),
        np.zeros((0, 4)),
    )  # what has been placed: boxes, and lines as chains of dots
    places: list[tuple[float, float] | None] = []
    for point, size in zip(points, np.asarray(sizes, np.float64), strict=True):
        corners = _candidates(point, size, room)  # [places, 2]
        boxes = np.concatenate([corners, corners + size], axis=1)
        inside = (boxes[:, :2] >= 0).all(axis=1) & (boxes[:, 2:] <= (width, height)).all(axis=1)
        free = inside & ~_overlap(boxes, np.concatenate([dots, labels, leads])).any(axis=1)
        for chosen in np.flatnonzero(free):
            lead = _lead(point, boxes[chosen], room)
            if not _overlap(lead, labels).any():
                places.append((float(corners[chosen, 0]), float(corners[chosen, 1])))
                labels, leads = np.concatenate([labels, boxes[[chosen]]]), np.concatenate([leads, lead])
                break
        else:
            places.append(None)
    return places


def _lead(point: NDArray[np.float64], box: NDArray[np.float64], room: float) -> Boxes:
    """The line from a point to its label, as a chain of small boxes; none where they touch."""
    end = np.clip(point, box[:2], box[2:])  # where the label is nearest
    if np.hypot(*(end - point)) < 3 * room:
        return np.zeros((0, 4))
    samples = point + np.linspace(0, 0.98, 40)[:, None] * (end - point)
    return np.concatenate([samples - room / 20, samples + room / 20], axis=1)


def _candidates(point: NDArray[np.float64], size: NDArray[np.float64], room: float) -> NDArray[np.float64]:
    """Corners of a label on rings around its point: beside it first, then ever further out."""
    directions = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    rings = 1.5 * room + np.arange(_RINGS)[:, None, None] * size[1] * 0.45
    centers = point + directions * (rings + np.abs(directions) * size / 2)
    corners: NDArray[np.float64] = (centers - size / 2).reshape(-1, 2)
    return corners


def _overlap(a: Boxes, b: Boxes) -> NDArray[np.bool_]:
    """Which boxes of `a` touch which of `b`: [len(a), len(b)]."""
    apart = (a[:, None, 2:] <= b[None, :, :2]) | (b[None, :, 2:] <= a[:, None, :2])
    return np.asarray(~apart.any(axis=2))
