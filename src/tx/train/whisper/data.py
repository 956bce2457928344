"""The sets of speech of a run: what is trained on, and what is scored."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tx.config import RunConfig
from tx.errors import TxError
from tx.files import atomic_file
from tx.speech.items import SpeechSet, stop_at, summarized
from tx.speech.read import has_split, read_sets
from tx.speech.windows import Labels, Window, cut
from tx.train.text import duration

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
        return _windows(read_sets(paths, language, split), paths, labels, config.finetune.strict, say)

    train = windows(config.data.train, "train")
    own = [path for path in config.data.train if _split(path) == "valid"]
    held_out = not (config.data.valid or own)
    if not held_out:
        valid = [window for path in config.data.valid or own for window in windows([path], _split(path))]
    else:
        train, valid = hold_out(train, config.data.n_valid, config.seed)
        say(f"{len(valid):,} of the items held out for validation; --valid DATA gives others")
    sets = {"valid": valid}
    for path in config.finetune.also_valid:
        name = Path(path).name
        sets[f"{name}-{len(sets)}" if name in sets else name] = windows([path], _split(path))
    return Data(train, sets, held_out)


def _split(path: str) -> str:
    """The part of a set that a model is validated on, where it has parts."""
    return "valid" if has_split(path, "valid") else "test"


def _windows(
    found: SpeechSet, paths: list[str], labels: Labels, strict: bool, say: Callable[[str], None]
) -> list[Window]:
    windows, problems = cut(found.items, labels)
    problems = [*found.problems, *problems]
    if strict:
        stop_at(problems)
    for line in summarized(problems):
        say(line)
    names = " ".join(paths)
    if not windows:
        raise TxError(f"there is nothing usable in {names}", f"`tx data check {names}` shows every problem")
    seconds = sum(window.end - window.start for window in windows)
    say(f"{names}: {len(windows):,} items, {duration(seconds)} of sound")
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
