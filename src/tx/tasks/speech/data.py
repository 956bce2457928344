"""The training and validation sets of a run, and their items whose media prove unreadable.

Headers do not show that media are truncated; only decoding does, during the run, and such items are left out. With
`strict`, all media are decoded before.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from tx.config.duration import format_duration
from tx.errors import TxError
from tx.files import atomic_file
from tx.speech.datasets import has_split, read_sets, split_path
from tx.speech.duplicates import DuplicateIndex, describe_duplicate, media_key
from tx.speech.items import Problem, SpeechSet, raise_for_problems, report_problems
from tx.speech.windows import Labels, Window, cut_windows
from tx.tasks.speech.config import Config

MAX_HELD_OUT = 6  # at most one sixth of the items is held out


@dataclass
class SpeechData:
    """The training set and the validation sets, of which the first selects the best model."""

    train: list[Window]
    valid: dict[str, list[Window]]
    held_out: bool  # whether the first set of `valid` was split off the training set

    @property
    def seconds(self) -> float:
        return sum(window.end - window.start for window in self.train)

    def digest(self) -> str:
        """A digest of all items."""
        windows = [*self.train, *(window for windows in self.valid.values() for window in windows)]
        lines = (f"{w.media} {w.start:.3f} {w.end:.3f} {w.text}" for w in windows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_data(
    config: Config, labels: Labels, language: str | None, report: Callable[[str], None]
) -> SpeechData:
    """The sets of the configuration as windows.

    Raises TxError if a set cannot be read or has no usable items, and with `strict` for any item that is not usable.
    """

    def windows(paths: list[str], split: str) -> list[Window]:
        parts = [str(split_path(path, split)) for path in paths]
        return _windows(read_sets(parts, language), parts, labels, config.finetune.strict, report)

    train = windows(config.data.train, "train")
    own = [path for path in config.data.train if _split(path) == "valid"]
    sets: dict[str, list[Window]] = {"valid": []}
    for path in config.data.valid or own:
        sets["valid"] += windows([path], _split(path))
    for path in config.finetune.also_valid:
        name = Path(path).name
        sets[f"{name}-{len(sets)}" if name in sets else name] = windows([path], _split(path))
    train, problems = remove_overlap(train, list(chain(*sets.values())))
    _report(problems, config.finetune.strict, report)
    if problems:
        report(f"{len(train):,} items are left for training")
    if held_out := not (config.data.valid or own):
        n, (train, sets["valid"]) = len(train), hold_out(train, config.data.n_valid, config.seed)
        held = f"{len(sets['valid']):,} of {n:,} items"
        report(f"held out for validation: {held}; --valid DATA names another set")
    return SpeechData(train, sets, held_out)


def remove_overlap(train: list[Window], valid: list[Window]) -> tuple[list[Window], list[Problem]]:
    """The windows of `train` that are not in `valid`, and a problem for each that is.

    Two windows are the same if they share more than half their time in a file, or have the same content and text.
    Raises TxError if none is left.
    """
    index, in_valid = DuplicateIndex[Window](), {id(window) for window in valid}
    by_file: dict[object, list[Window]] = {}
    for window in valid:
        index.find_duplicate(window)
        by_file.setdefault(media_key(window.media), []).append(window)
    remaining, problems = [], []
    for window in train:
        same_file = by_file.get(media_key(window.media), [])
        overlapping = next((other for other in same_file if _overlap(window, other)), None)
        duplicate = overlapping or index.find_duplicate(window)
        if duplicate is None or id(duplicate) not in in_valid:
            remaining.append(window)
        else:
            same = describe_duplicate(window, duplicate)
            problems.append(Problem(window.origin, "in a validation set, too", same))
    if not remaining:
        raise TxError(
            f"every training item is in a validation set, too; the first: {problems[0]}",
            "name other sets with --valid and --also-valid; without --valid, a part of the items is held out",
        )
    return remaining, problems


def _overlap(one: Window, other: Window) -> bool:
    shared = min(one.end, other.end) - max(one.start, other.start)
    return shared > min(one.end - one.start, other.end - other.start) / 2


def _report(problems: list[Problem], strict: bool, report: Callable[[str], None]) -> None:
    if strict:
        raise_for_problems(problems)
    for line in report_problems(problems):
        report(line)


def _split(path: str) -> str:
    """The split of a set that is used for validation."""
    return "valid" if has_split(path, "valid") else "test"


def _windows(
    found: SpeechSet, paths: list[str], labels: Labels, strict: bool, report: Callable[[str], None]
) -> list[Window]:
    windows, problems = cut_windows(found.items, labels)
    _report([*found.problems, *problems], strict, report)
    names = " ".join(paths)
    if not windows:
        raise TxError(f"there are no usable items in {names}", f"`tx data check {names}` shows every problem")
    seconds = sum(window.end - window.start for window in windows)
    report(f"{names}: {len(windows):,} items, {format_duration(seconds)} of sound")
    return windows


def write_table(windows: list[Window], path: Path) -> None:
    """Write a table that `tx evaluate` reads: files, times and texts. Sound stored inside a data set is omitted."""
    with atomic_file(path, "w") as file:
        for window in windows:
            if isinstance(window.media, Path):
                place = {"path": str(window.media.resolve()), "start": window.start, "end": window.end}
                row = place | {"language": window.language, "text": window.text}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def hold_out(windows: list[Window], n: int, seed: int) -> tuple[list[Window], list[Window]]:
    """Split windows into a training and a validation set of `n`, chosen by the seed, but of at most one sixth.

    If there are enough files, the windows of a file stay together, so that no speaker is in both sets.
    """
    n = max(1, min(n, len(windows) // MAX_HELD_OUT))
    if len(windows) < 2:
        raise TxError(
            "one item is not enough for training and validation", "add items, or name a set with --valid"
        )
    groups: dict[str, list[int]] = {}
    for i, window in enumerate(windows):
        groups.setdefault(str(window.media), []).append(i)
    units = list(groups.values()) if len(groups) > MAX_HELD_OUT else [[i] for i in range(len(windows))]
    held: set[int] = set()
    for unit in np.random.default_rng(seed).permutation(len(units)):
        if len(held) + len(units[unit]) <= n or not held:
            held.update(units[unit])
    train = [window for i, window in enumerate(windows) if i not in held]
    return train, [windows[i] for i in sorted(held)]


class UnreadableItems:
    """The items of a set that could not be read, with the reasons; `warn` is called once for each file."""

    def __init__(self, windows: Sequence[Window], warn: Callable[[str], None]) -> None:
        self.windows, self.warn = windows, warn
        self.reasons: dict[int, str] = {}
        self._warned: set[str] = set()

    def add(self, found: Mapping[int, str]) -> None:
        """Add items by index. Raises TxError once they are more than half of the set."""
        self.reasons |= found
        for i in sorted(found):
            window = self.windows[i]
            if str(window.media) not in self._warned:
                self._warned.add(str(window.media))
                self.warn(f"{window.origin}: {found[i]}; it is left out")
        if mostly_unreadable(len(self.reasons), self.windows):
            raise TxError(
                f"{len(self.reasons):,} of {len(self.windows):,} items cannot be read",
                "`tx data check` lists them; --resume continues from the last checkpoint",
            )


def mostly_unreadable(n: int, windows: Sequence[Window]) -> bool:
    """Whether `n` unreadable items are too many of the set for a useful run."""
    return 2 * n > len(windows)


def check_readable(windows: Iterable[Window]) -> None:
    """Decode every window once. Raises TxError at the first that cannot be read."""
    for window in windows:
        try:
            window.sound(timestamps=True)
        except TxError as error:
            hint = "without --strict, unreadable items are left out"
            raise TxError(f"{window.origin}: {error.message}", hint) from error
