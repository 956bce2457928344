"""What all pictures share: a figure without a display or global state, its look, and how it is saved."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tx.errors import TxError, UsageError
from tx.files import atomic_file, check_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
INK, MUTED, FAINT = "#1f2328", "#57606a", "#8b949e"  # text; small text; lines
_DPI = 200
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "Noto Sans Arabic",
    "Noto Sans",
)


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches. Raises TxError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TxError("pictures need matplotlib, which is not installed", "pip install 'tx[plot]'") from None
    with _look():
        return Figure(figsize=(width, height), dpi=_DPI, facecolor="white")


def style_axes(axes: "Axes", grid: Literal["both", "x", "y"] = "both") -> None:
    """The look of a plain plot: a faint grid behind the lines, axes at the left and below, small ticks."""
    axes.grid(axis=grid, color="#e6e8eb", linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=FAINT, linewidth=0.7)
    axes.tick_params(labelsize=8, color=FAINT, labelcolor=MUTED, length=3)


def check_path(path: Path, *pages: str) -> None:
    """Raise UsageError unless `path` names a picture that `save` can write, TxError if its folder is not there.

    `pages` are the other endings that the caller can write.
    """
    known = (*FORMATS, *pages)
    if path.suffix.lower() not in known:
        hint = f"end its name in {', '.join(known[:-1])} or {known[-1]}"
        raise UsageError(f"a picture cannot be written to {path}", hint)
    check_output(path)


def save(figure: "Figure", path: Path) -> str:
    """Write a figure as PNG or SVG, by the name; the same figure gives the same bytes.

    Returns the letters that no installed font has. Raises TxError if the disk is full.
    """
    check_path(path)
    kind = path.suffix.lower()[1:]
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    with _look(), warnings.catch_warnings(record=True) as told, atomic_file(path) as file:
        warnings.simplefilter("always")
        figure.savefig(file, format=kind, metadata=metadata, dpi=_DPI)
    missing = (re.match(r"Glyph (\d+) ", str(warning.message)) for warning in told)
    return "".join(sorted({chr(int(found[1])) for found in missing if found}))


@contextmanager
def _look() -> Iterator[None]:
    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    fonts = [font for font in _FONTS if font in installed]
    with matplotlib.rc_context({"font.family": fonts, "svg.hashsalt": "tx", "axes.unicode_minus": True}):
        yield
