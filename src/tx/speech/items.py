"""What a set of speech consists of: sound with its text, and what is wrong with the rest.

`tx.speech.datasets.read_set` makes items of whatever people have; `tx.speech.windows` cuts them into what Whisper is
trained on.
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
    """Sound and its text. `start` and `end` (seconds) name an excerpt of `media`; None is its end.

    The times of `cues`, where there are any, are those of the file, not of the excerpt; `text` is then their texts in
    one line. `language` is Whisper's code ("de") where the set names one. `origin` is "file:line" or a file, with
    `lines` those of the cues in it.
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
    """Something in a set that cannot be used. `kind` groups them ("empty text"); `what` says it in full, and `hint`
    what can be done about it, where that is known."""

    origin: str
    kind: str
    what: str
    hint: str | None = None

    def __str__(self) -> str:
        told = self.what.startswith((f"{self.origin} ", f"cannot read {self.origin}: "))
        return self.what if told else f"{self.origin}: {self.what}"


@dataclass
class SpeechSet:
    """The items of one or more sets, and the problems met on reading them."""

    items: list[Item] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class NoSpeechError(TxError):
    """A path that could be a set of speech, but holds none: a problem where there are others, else an error."""


def report_problems(problems: Iterable[Problem], shown: int = 3) -> list[str]:
    """A report in lines: the number of problems of each kind, the most frequent first, and examples below it, with
    the hint of the first that has one."""
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
    """Raise TxError that counts the problems by kind and names the first, if there is one: for `--strict`."""
    if problems:
        counts = Counter(problem.kind for problem in problems)
        told = ", ".join(f"{n:,} {kind}" for kind, n in counts.most_common())
        items = f"{len(problems):,} items" if len(problems) > 1 else "1 item"
        raise TxError(
            f"{items} cannot be used ({told}); the first: {problems[0]}",
            "`tx data check` names them all; without --strict they are left out",
        )
