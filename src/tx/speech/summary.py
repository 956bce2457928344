"""A set of speech in numbers, to be looked at before hours are spent on training with it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tx.speech.items import Problem, SpeechSet
from tx.speech.windows import SECONDS, Labels, Window

BINS = 6  # of five seconds each
UNKNOWN = "?"  # the language of an item that names none


@dataclass(frozen=True)
class Spread:
    """The smallest, the middle and the largest of some numbers; zeros where there are none."""

    shortest: float
    median: float
    longest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(min(values), float(np.median(values)), max(values)) if values else cls(0, 0, 0)


@dataclass(frozen=True)
class Summary:
    """What can be trained on in a set: windows, their sound in seconds, their labels in `unit`s, and what cannot."""

    name: str
    items: int
    windows: int
    seconds: float
    durations: Spread
    histogram: tuple[int, ...]  # of the windows' durations, in bins of five seconds
    unit: str  # tokens, or characters where no tokenizer is known
    labels: Spread
    languages: dict[str, int]  # windows of each, the most frequent first
    problems: tuple[Problem, ...]


def summarize(
    name: str, found: SpeechSet, windows: Sequence[Window], problems: Sequence[Problem], labels: Labels | None
) -> Summary:
    """The numbers of a set from what `read_splits` found of it and what `cut` made of that."""
    durations = [window.end - window.start for window in windows]
    lengths = [len(window.text) if labels is None else labels.count_of(window) for window in windows]
    counts, _ = np.histogram(durations, bins=BINS, range=(0, SECONDS))
    return Summary(
        name,
        len(found.items),
        len(windows),
        sum(durations),
        Spread.of(durations),
        tuple(int(n) for n in counts),
        "characters" if labels is None else "tokens",
        Spread.of(lengths),
        dict(Counter(window.language or UNKNOWN for window in windows).most_common()),
        (*found.problems, *problems),
    )
