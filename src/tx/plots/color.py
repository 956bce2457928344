"""Colours: a diverging map for numbers (blue, white, red), a sequential one for shares, and those of lines."""

from collections.abc import Sequence

LIMIT = 2.0  # where the diverging map saturates, on either side of 0
_DIVERGING = ((33, 102, 172), (146, 197, 222), (255, 255, 255), (244, 165, 130), (178, 24, 43))  # -2 -1 0 1 2
_SEQUENTIAL = ((255, 255, 255), (198, 219, 239), (107, 174, 214), (33, 113, 181), (8, 48, 107))  # 0 ... 1
LINE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b58900", "#56b4e9", "#882255", "#444444")
_BLOCKS = " ░▒▓█"
_MARKS = ("=", "-", " ", "+", "#")  # for -2 -1 0 1 2


def rgb(value: float) -> tuple[int, int, int]:
    """The colour of a number, red, green and blue from 0 to 255."""
    return _interpolate(_DIVERGING, (min(max(value / LIMIT, -1.0), 1.0) + 1) / 2)


def shade(share: float) -> tuple[int, int, int]:
    """The colour of a share of 1, red, green and blue from 0 to 255."""
    return _interpolate(_SEQUENTIAL, min(max(share, 0.0), 1.0))


def _interpolate(stops: Sequence[tuple[int, int, int]], share: float) -> tuple[int, int, int]:
    place = share * (len(stops) - 1)
    low = min(int(place), len(stops) - 2)
    red, green, blue = (
        round(a + (b - a) * (place - low)) for a, b in zip(stops[low], stops[low + 1], strict=True)
    )
    return red, green, blue


def block(share: float) -> str:
    """The character for a share of 1 where there are no colours, from a space to a full block."""
    return _BLOCKS[min(int(min(max(share, 0.0), 1.0) ** 0.5 * len(_BLOCKS)), len(_BLOCKS) - 1)]


def mark(value: float) -> str:
    """The character for a number where there are no colours: `=` `-` for negative ones, `+` `#` for positive."""
    return _MARKS[round((min(max(value / LIMIT, -1.0), 1.0) + 1) * 2)]
