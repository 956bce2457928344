"""The colours of numbers: blue below zero, white at zero, red above."""

LIMIT = 2.0  # where a colour is full; larger numbers look the same
_STOPS = ((33, 102, 172), (146, 197, 222), (255, 255, 255), (244, 165, 130), (178, 24, 43))  # at -2 -1 0 1 2
_MARKS = ("=", "-", " ", "+", "#")  # without colour: at most -1.5, at most -0.5, between, ...


def rgb(value: float) -> tuple[int, int, int]:
    """The colour of a number, red, green and blue from 0 to 255."""
    place = (min(max(value / LIMIT, -1.0), 1.0) + 1) * (len(_STOPS) - 1) / 2
    low = min(int(place), len(_STOPS) - 2)
    share = place - low
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(_STOPS[low], _STOPS[low + 1], strict=True))
    return red, green, blue


def mark(value: float) -> str:
    """The character for a number where there are no colours: `=` `-` for negative ones, `+` `#` for positive."""
    return _MARKS[round((min(max(value / LIMIT, -1.0), 1.0) + 1) * 2)]
