"""The sets of speech of a run: what is trained on, and what is scored."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from tx.config.duration import format_duration
from tx.config.schema import RunConfig
from tx.errors import TxError
from tx.files import atomic_file
from tx.speech.datasets import has_split, read_sets, split_path
from tx.speech.duplicates import DuplicateIndex, describe_duplicate, media_key
from tx.speech.items import Problem, SpeechSet, raise_for_problems, report_problems
from tx.speech.windows import Labels, Window, cut_windows

LARGEST_SHARE = 6  # at most a sixth of the items is held out


@dataclass
class Data:
    """What is trained on and what is scored; the first set of `valid` chooses the best."""

    train: list[Window]
    valid: dict[str, list[Window]]
    held_out: bool  # whether the first set of `valid` is a part of what was given to train on

    @property
    def seconds(self) -> float:
        return sum(window.end - window.start for window in self.train)

    def digest(self) -> str:
        """What changes when an item does."""
        windows = [*self.train, *(window for windows in self.valid.values() for window in windows)]
        lines = (f"{w.media} {w.start:.3f} {w.end:.3f} {w.text}" for w in windows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_data(config: RunConfig, labels: Labels, language: str | None, say: Callable[[str], None]) -> Data:
    """The sets of the configuration as windows. Raises TxError for what cannot be read, and with `strict` for all."""

    def windows(paths: list[str], split: str) -> list[Window]:
        parts = [str(split_path(path, split)) for path in paths]
        return _windows(read_sets(parts, language), parts, labels, config.finetune.strict, say)

    train = windows(config.data.train, "train")
    own = [path for path in config.data.train if _split(path) == "valid"]
    sets: dict[str, list[Window]] = {"valid": []}
    for path in config.data.valid or own:
        sets["valid"] += windows([path], _split(path))
    for path in config.finetune.also_valid:
        name = Path(path).name
        sets[f"{name}-{len(sets)}" if name in sets else name] = windows([path], _split(path))
    train, problems = apart(train, list(chain(*sets.values())))
    _tell(problems, config.finetune.strict, say)
    if problems:
        say(f"{len(train):,} items are left to train on")
    if held_out := not (config.data.valid or own):
        train, sets["valid"] = hold_out(train, config.data.n_valid, config.seed)
        say(f"{len(sets['valid']):,} of the items held out for validation; --valid DATA gives others")
    return Data(train, sets, held_out)


def apart(train: list[Window], valid: list[Window]) -> tuple[list[Window], list[Problem]]:
    """The windows that are trained on alone, and a problem for each that is to be validated on as well.

    That is one in the same file, at more than half the same time, or one of the same content with the same text.
    Raises TxError if none is left.
    """
    seen, validated = DuplicateIndex[Window](), {id(window) for window in valid}
    by_file: dict[object, list[Window]] = {}
    for window in valid:
        seen.find_duplicate(window)
        by_file.setdefault(media_key(window.media), []).append(window)
    kept, problems = [], []
    for window in train:
        beside = by_file.get(media_key(window.media), [])
        twin = next((other for other in beside if _overlap(window, other)), None) or seen.find_duplicate(
            window
        )
        if twin is None or id(twin) not in validated:
            kept.append(window)
        else:
            problems.append(
                Problem(window.origin, "in a validation set, too", describe_duplicate(window, twin))
            )
    if not kept:
        raise TxError(
            f"all that is to be trained on is to be validated on, too; the first: {problems[0]}",
            "give --valid and --also-valid other sets; without --valid a part is held out",
        )
    return kept, problems


def _overlap(one: Window, other: Window) -> bool:
    shared = min(one.end, other.end) - max(one.start, other.start)
    return shared > min(one.end - one.start, other.end - other.start) / 2


def _tell(problems: list[Problem], strict: bool, say: Callable[[str], None]) -> None:
    if strict:
        raise_for_problems(problems)
    for line in report_problems(problems):
        say(line)


def _split(path: str) -> str:
    """The part of a set that a model is validated on, where it has parts."""
    return "valid" if has_split(path, "valid") else "test"


def _windows(
    found: SpeechSet, paths: list[str], labels: Labels, strict: bool, say: Callable[[str], None]
) -> list[Window]:
    windows, problems = cut_windows(found.items, labels)
    _tell([*found.problems, *problems], strict, say)
    names = " ".join(paths)
    if not windows:
        raise TxError(f"there is nothing usable in {names}", f"`tx data check {names}` shows every problem")
    seconds = sum(window.end - window.start for window in windows)
    say(f"{names}: {len(windows):,} items, {format_duration(seconds)} of sound")
    return windows


def write_table(windows: list[Window], path: Path) -> None:
    """Name sound and text in a table as `tx evaluate` reads it, sound that is in no file of its own excepted."""
    with atomic_file(path, "w") as file:
        for window in windows:
            if isinstance(window.media, Path):
                place = {"path": str(window.media.resolve()), "start": window.start, "end": window.end}
                row = place | {"language": window.language, "text": window.text}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def hold_out(windows: list[Window], n: int, seed: int) -> tuple[list[Window], list[Window]]:
    """Training and validation windows: `n` of them, chosen by the seed, but at most a sixth; whole files if long.

    Windows of one file stay together where there are enough files, as a voice known from training is no test.
    """
    n = max(1, min(n, len(windows) // LARGEST_SHARE))
    if len(windows) < 2:
        raise TxError("one item is not enough to train on and to validate", "give more, or --valid DATA")
    groups: dict[str, list[int]] = {}
    for i, window in enumerate(windows):
        groups.setdefault(str(window.media), []).append(i)
    units = list(groups.values()) if len(groups) > LARGEST_SHARE else [[i] for i in range(len(windows))]
    held: set[int] = set()
    for unit in np.random.default_rng(seed).permutation(len(units)):
        if len(held) + len(units[unit]) <= n or not held:
            held.update(units[unit])
    return (
        [window for i, window in enumerate(windows) if i not in held],
        [window for i, window in enumerate(windows) if i in held],
    )
