"""The items of a speech dataset (audio with its text), and the problems of those that cannot be used.

`tx.speech.datasets.read_set` reads datasets into items; `tx.speech.windows` cuts them into training windows.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tx.errors import TxError
from tx.speech.media import StoredAudio
from tx.speech.subtitles import Cue


@dataclass(frozen=True)
class Item:
    """Audio and its text: `media` from `start` to `end` in seconds, or to its end if that is None.

    The times of `cues`, if any, are those of the whole file, and `text` joins their texts. `language` is Whisper's
    code ("de") if the dataset names it. `origin` is "file:line" or a file, with `lines` those of the cues in it.
    """

    media: Path | StoredAudio
    text: str
    start: float = 0.0
    end: float | None = None
    cues: tuple[Cue, ...] = ()
    language: str | None = None
    origin: str = ""
    lines: tuple[int, ...] = ()

    def cue_origins(self) -> list[str]:
        """The "file:line" of each cue."""
        return [f"{self.origin}:{line}" for line in self.lines] or [self.origin] * len(self.cues)


@dataclass(frozen=True)
class Problem:
    """The reason why a part of a dataset cannot be used. `kind` groups problems ("empty text"), `what` describes
    this one, and `hint`, if any, says what to do."""

    origin: str
    kind: str
    what: str
    hint: str | None = None

    def __str__(self) -> str:
        has_origin = self.what.startswith((f"{self.origin} ", f"cannot read {self.origin}: "))
        return self.what if has_origin else f"{self.origin}: {self.what}"


@dataclass
class SpeechSet:
    """The items of one or more datasets, and the problems found while reading them."""

    items: list[Item] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class NoSpeechError(TxError):
    """A path that is not a speech dataset: a problem if other paths are, otherwise an error."""


def report_problems(problems: Iterable[Problem], shown: int = 3) -> list[str]:
    """A report in lines: the number of problems of each kind, the most frequent first, with `shown` examples and the
    first hint."""
    by_kind: dict[str, list[Problem]] = {}
    for problem in problems:
        by_kind.setdefault(problem.kind, []).append(problem)
    lines: list[str] = []
    for kind, found in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        lines.append(f"{len(found):,} skipped: {kind}")
        lines += [f"  {problem}" for problem in found[:shown]]
        if len(found) > shown:
            lines.append(f"  and {len(found) - shown:,} more")
        lines += [f"  hint: {problem.hint}" for problem in found if problem.hint][:1]
    return lines


def raise_for_problems(problems: Sequence[Problem]) -> None:
    """Raise TxError if there are problems, with their number by kind and the first of them: for `--strict`."""
    if problems:
        counts = Counter(problem.kind for problem in problems)
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in counts.most_common())
        items = f"{len(problems):,} items" if len(problems) > 1 else "1 item"
        raise TxError(
            f"{items} cannot be used ({kinds}); the first: {problems[0]}",
            "`tx data check` lists all of them; omit --strict to skip them",
        )
