"""The colours of numbers: blue below zero, white at zero, red above; of shares, white at 0 to dark blue at 1."""

from collections.abc import Sequence

LIMIT = 2.0  # where a colour is full; larger numbers look the same
_STOPS = ((33, 102, 172), (146, 197, 222), (255, 255, 255), (244, 165, 130), (178, 24, 43))  # at -2 -1 0 1 2
_SHADES = (
    (255, 255, 255),
    (198, 219, 239),
    (107, 174, 214),
    (33, 113, 181),
    (8, 48, 107),
)  # at 0 1/4 1/2 3/4 1
_BLOCKS = " ░▒▓█"
_MARKS = ("=", "-", " ", "+", "#")  # without colour: at most -1.5, at most -0.5, between, ...


def rgb(value: float) -> tuple[int, int, int]:
    """The colour of a number, red, green and blue from 0 to 255."""
    return _between(_STOPS, (min(max(value / LIMIT, -1.0), 1.0) + 1) / 2)


def shade(share: float) -> tuple[int, int, int]:
    """The colour of a share of 1, red, green and blue from 0 to 255."""
    return _between(_SHADES, min(max(share, 0.0), 1.0))


def _between(stops: Sequence[tuple[int, int, int]], share: float) -> tuple[int, int, int]:
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
