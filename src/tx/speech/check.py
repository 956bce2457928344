"""Reads speech datasets as training would, and summarises what they hold and what cannot be used."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tx.errors import UsageError
from tx.package import find_package
from tx.package.hf_folder import open_hf_folder
from tx.speech.datasets import read_splits
from tx.speech.items import Item, Problem
from tx.speech.languages import language_code, suggest_language
from tx.speech.media import measure
from tx.speech.whisper_tokenizer import WhisperTokenizer
from tx.speech.windows import SECONDS, Labels, cut_windows

BINS = 6  # of five seconds each
UNKNOWN = "?"  # the language of an item that names none


@dataclass(frozen=True)
class Spread:
    """The minimum, median and maximum of some numbers; zeros without any."""

    shortest: float
    median: float
    longest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(min(values), float(np.median(values)), max(values)) if values else cls(0, 0, 0)


@dataclass(frozen=True)
class Summary:
    """A dataset in numbers: its items, its windows, their audio in seconds, their labels in `unit`s, its problems."""

    name: str
    items: int
    windows: int
    seconds: float
    durations: Spread
    histogram: tuple[int, ...]  # of the durations of the windows, in bins of five seconds
    unit: str  # tokens, or characters without a tokenizer
    labels: Spread
    languages: dict[str, int]  # windows of each, the most frequent first
    problems: tuple[Problem, ...]


def check_datasets(
    paths: Sequence[str],
    model: str | None = None,
    language: str | None = None,
    track: Callable[[Sequence[Item], str], Iterable[Item]] = lambda items, name: items,
) -> list[Summary]:
    """The summaries of datasets, with each split as a dataset of its own. Every media file is read to its end.

    The tokens of the Whisper model called `model` are counted. `track` shows the progress over the items of a
    dataset. Raises UsageError for an unknown language, and TxError as `read_sets` does and if PyAV is missing.
    """
    code = language_code(language) if language is not None else None
    if language is not None and code is None:
        raise UsageError(f"Whisper knows no language '{language}'", suggest_language(language))
    labels = None
    if model is not None:
        labels = Labels(WhisperTokenizer(open_hf_folder(find_package(model, ""))), code)
    summaries = []
    for name, found in read_splits(paths, code).items():
        windows, problems = cut_windows(track(found.items, name), labels, measure)
        durations = [window.end - window.start for window in windows]
        lengths = [len(window.text) if labels is None else labels.count_of(window) for window in windows]
        histogram, _ = np.histogram(durations, bins=BINS, range=(0, SECONDS))
        summary = Summary(
            name,
            len(found.items),
            len(windows),
            sum(durations),
            Spread.of(durations),
            tuple(int(n) for n in histogram),
            "characters" if labels is None else "tokens",
            Spread.of(lengths),
            dict(Counter(window.language or UNKNOWN for window in windows).most_common()),
            (*found.problems, *problems),
        )
        summaries.append(summary)
    return summaries
