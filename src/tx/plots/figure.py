"""Matplotlib figures without a display or global state: their style, and how they are saved."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tx.errors import TxError, UsageError
from tx.files import atomic_file, check_output
from tx.plots.color import rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
INK, MUTED, FAINT = "#1f2328", "#57606a", "#8b949e"  # text; small text; lines
_DPI = 200
_CHINESE = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei")
_FONTS = ("DejaVu Sans", *_CHINESE, "Noto Sans Arabic", "Noto Sans")


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches. Raises TxError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TxError("plots need matplotlib, which is not installed", "pip install 'tx[plot]'") from None
    with _style():
        return Figure(figsize=(width, height), dpi=_DPI, facecolor="white")


def add_axes(figure: "Figure", left: float, bottom: float, width: float, height: float) -> "Axes":
    """Axes at a place of the figure that is given in inches."""
    figure_width, figure_height = figure.get_size_inches()
    place = left / figure_width, bottom / figure_height, width / figure_width, height / figure_height
    return figure.add_axes(place)


def draw_cells(
    axes: "Axes",
    values: Any,
    extent: tuple[float, float, float, float],
    color: Callable[[float], tuple[int, int, int]] = rgb,
) -> None:
    """Draw numbers `[rows, columns]` as coloured cells that fill `extent`: left, right, bottom, top."""
    colors = np.array([[color(float(value)) for value in row] for row in values], np.uint8)
    axes.imshow(colors, extent=extent, aspect="auto", interpolation="nearest")


def style_frame(axes: "Axes") -> None:
    """Style axes around coloured cells: thin faint spines and ticks."""
    axes.tick_params(labelsize=7, length=2, width=0.5, color=FAINT, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, color=FAINT)


def style_axes(axes: "Axes", grid: Literal["both", "x", "y"] = "both") -> None:
    """Style a plain plot: a faint grid behind the lines, spines on the left and at the bottom, small ticks."""
    axes.grid(axis=grid, color="#e6e8eb", linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=FAINT, linewidth=0.7)
    axes.tick_params(labelsize=8, color=FAINT, labelcolor=MUTED, length=3)


def label_lines(axes: "Axes", labels: Iterable[tuple[float, str, str, str]], gap: float) -> None:
    """Label lines on the right of the axes: the last value, name, note and colour of each.

    Labels are moved apart where they would be closer than `gap`, a share of the height of the axes.
    """
    low, high = axes.get_ylim()
    ordered = sorted(labels)
    places: list[float] = []
    for value, *_ in ordered:
        place = (min(max(value, low), high) - low) / (high - low)
        places.append(max(place, places[-1] + gap) if places else place)
    excess = max([0.0, *(place - 1 for place in places[-1:])])
    common: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center"}
    for (_, name, note, color), place in zip(ordered, places, strict=True):
        at, up = (1, place - excess), 5 if note else 0
        axes.annotate(name, at, (10, up), color=color, fontsize=9, fontweight="bold", **common)
        if note:
            axes.annotate(note, at, (10, -6), color=MUTED, fontsize=8, **common)


def check_path(path: Path, *others: str) -> None:
    """Raise UsageError unless `path` ends in .png, .svg or one of `others`, TxError if its folder does not exist."""
    known = (*FORMATS, *others)
    if path.suffix.lower() not in known:
        hint = f"use a name that ends in {', '.join(known[:-1])} or {known[-1]}"
        raise UsageError(f"unsupported figure format: {path}", hint)
    check_output(path)


def save(figure: "Figure", path: Path) -> str:
    """Write a figure as PNG or SVG, by its suffix; the same figure gives the same bytes.

    Returns the characters that no installed font has. Raises TxError if the disk is full.
    """
    check_path(path)
    kind = path.suffix.lower()[1:]
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    with _style(), warnings.catch_warnings(record=True) as caught, atomic_file(path) as file:
        warnings.simplefilter("always")
        figure.savefig(file, format=kind, metadata=metadata, dpi=_DPI)
    missing = (re.match(r"Glyph (\d+) ", str(warning.message)) for warning in caught)
    return "".join(sorted({chr(int(found[1])) for found in missing if found}))


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    fonts = [font for font in _FONTS if font in installed]
    with matplotlib.rc_context({"font.family": fonts, "svg.hashsalt": "tx", "axes.unicode_minus": True}):
        yield
