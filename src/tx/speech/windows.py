"""What Whisper is trained on: windows of up to 30 seconds, and the token ids of their text (Radford et al., 2022).

Cues are packed into windows as in the paper: as many whole cues as fit, their times in steps of 0.02 s from the
start of the window; a cue that crosses its end opens the next one.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tx.errors import TxError, did_you_mean
from tx.speech.items import Item, Problem
from tx.speech.media import RATE, StoredAudio, decode, duration, pyav
from tx.speech.subtitles import Cue

SECONDS = 30.0
STEP = 0.02  # s, of a timestamp token
MAX_LABELS = 448  # what the decoder has positions for
SHORTEST = 0.1  # s of sound in which something can be said
_MAX_PREVIOUS = 223  # tokens of earlier text: half of the positions, less its start token
_KEPT_PREVIOUS = 1000  # characters of earlier text that are carried along
_TRAILING = 1.0  # s of sound kept behind the last cue: what follows may be speech that nobody wrote down
_NO_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "km", "yue"})  # languages whose words nothing parts


@dataclass(frozen=True)
class Window:
    """Up to 30 s of sound and what is said in them. Times in seconds of the file.

    `crossing` is the start of a cue that begins in the 30 s and ends beyond them. With timestamps the sound then
    goes on to the full 30 s, and that start is the last token, so that decoding learns where to go on; without
    them the sound ends before it. `previous` is the text before the window in the same file.
    """

    media: Path | StoredAudio
    start: float
    end: float
    text: str
    cues: tuple[Cue, ...] = ()
    previous: str = ""
    crossing: float | None = None
    language: str | None = None
    origin: str = ""

    def sound(self, timestamps: bool = False) -> np.ndarray:
        """float32 of shape (samples,) at 16 kHz, at most 30 s. Raises TxError as `tx.speech.media.decode` does."""
        to_the_full = timestamps and self.crossing is not None
        end = self.start + SECONDS if to_the_full else min(self.end, self.start + SECONDS)
        return decode(self.media, self.start, end)[: round(SECONDS * RATE)]


class Labels:
    """Token ids for Whisper. `tokenizer` is transformers' WhisperTokenizer, or a `tokenizers.Tokenizer`.

    `language` None takes each window's own; an English-only model (`multilingual` False) has no tokens for language
    and task. Raises TxError for a language that the tokenizer does not know.
    """

    def __init__(
        self, tokenizer: Any, language: str | None = None, task: str = "transcribe", multilingual: bool = True
    ) -> None:
        self._tokenizer = getattr(tokenizer, "backend_tokenizer", tokenizer)
        self._language, self._multilingual = language, multilingual
        self._task = [self._id(f"<|{task}|>")] if multilingual else []
        self._start, self._end = self._id("<|startoftranscript|>"), self._id("<|endoftext|>")
        self._no_times = self._id("<|notimestamps|>")  # the token of 0.00 s is the next
        if language is not None and multilingual:
            self._prefix(language)

    def ids(self, window: Window, timestamps: bool = False, previous: bool = False) -> tuple[list[int], int]:
        """The whole sequence that the decoder sees and predicts, and where its <|startoftranscript|> stands.

            [<|startofprev|> previous] <|startoftranscript|> <|de|> <|transcribe|> <|notimestamps|> text <|endoftext|>

        ids[:-1] is the decoder's input and ids[1:] its labels, of which those before index n stay out of the loss; n,
        the second value, is 0 without previous text. With timestamps, a window without cues is one cue.
        """
        prefix = self._prefix(self._language or window.language, window.origin)
        if timestamps:
            text = self._timed(window)
        else:
            text = [self._no_times, *self._text(window.text, window.language)]
        ids = [*prefix, *text, self._end]
        room = min(_MAX_PREVIOUS, MAX_LABELS - len(ids))
        if previous and window.previous and room > 0:
            before = self._text(window.previous, window.language)[-room:]
            return [self._id("<|startofprev|>"), *before, *ids], len(before) + 1
        return ids, 0

    def knows(self, language: str | None) -> bool:
        """Whether a window in `language` can be labelled; one of which nobody says it can, once it is named."""
        code = self._language or language
        return (
            not self._multilingual or code is None or self._tokenizer.token_to_id(f"<|{code}|>") is not None
        )

    def count(self, cues: Iterable[str], language: str | None = None) -> int:
        """How many labels a window of cues with these texts has, timestamps included."""
        around = 1 + 2 * len(self._task)  # language and task before the text, the end behind it
        return around + sum(len(self._text(text, language)) + 2 for text in cues)

    def count_of(self, window: Window) -> int:
        """How many labels a window has with timestamps, which is the most it can have."""
        texts = [cue.text for cue in window.cues] or [window.text]
        return self.count(texts, window.language) + (window.crossing is not None)

    def _timed(self, window: Window) -> list[int]:
        cues = window.cues or (Cue(window.start, window.end, window.text),)
        ids = []
        for cue in cues:
            text = self._text(cue.text, window.language)
            ids += [self._time(cue.start - window.start), *text, self._time(cue.end - window.start)]
        if window.crossing is not None:
            ids.append(self._time(window.crossing - window.start))
        return ids

    def _time(self, seconds: float) -> int:
        return self._no_times + 1 + round(min(max(seconds, 0.0), SECONDS) / STEP)

    def _text(self, text: str, language: str | None) -> list[int]:
        """Text as Whisper writes it, with a space before its first word."""
        space = "" if (self._language or language) in _NO_SPACES else " "
        ids: list[int] = self._tokenizer.encode(space + text.strip(), add_special_tokens=False).ids
        return ids

    def _prefix(self, language: str | None, origin: str = "") -> list[int]:
        if not self._multilingual:
            return [self._start]
        if language is None:
            raise TxError(f"{origin} does not say which language is spoken", "name it: --language de")
        return [self._start, self._language_id(language), *self._task]

    def _language_id(self, language: str) -> int:
        found = self._tokenizer.token_to_id(f"<|{language}|>")
        if found is None:
            tokens = self._tokenizer.get_vocab(with_added_tokens=True)
            known = sorted(token[2:-2] for token in tokens if re.fullmatch(r"<\|[a-z]{2,3}\|>", token))
            raise TxError(
                f"the model knows no language '{language}'",
                did_you_mean(language, known) or f"it knows {', '.join(known)}",
            )
        return int(found)

    def _id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise TxError(f"the tokenizer has no token {token}", "is it the tokenizer of a Whisper model?")
        return int(found)


def cut_windows(
    items: Iterable[Item],
    labels: Labels | None = None,
    seconds: Callable[[Path | StoredAudio], float] = duration,
) -> tuple[list[Window], list[Problem]]:
    """The windows of `items`, and what cannot be used: sound over 30 s without times, labels over 448 tokens, media
    that cannot be read, cues behind the end of their sound.

    Without `labels` nothing is counted. `seconds` tells how long a file is: `tx.speech.media.measure` reads it to its
    end and so finds truncated ones. Raises TxError where PyAV is missing, which is no fault of the items.
    """
    pyav()
    windows: list[Window] = []
    problems: list[Problem] = []
    known: dict[Path | StoredAudio, float] = {}
    for item in items:
        if labels is not None and not labels.knows(item.language):
            problems.append(Problem(item.origin, "unknown language", f"the model knows no '{item.language}'"))
            continue
        try:
            if item.media not in known:
                known[item.media] = seconds(item.media)
        except TxError as error:
            problems.append(Problem(item.origin, "media that cannot be read", error.message))
            continue
        length = known[item.media]
        for found in _packed(item, length, labels) if item.cues else _clip(item, length):
            if isinstance(found, Problem):
                problems.append(found)
            elif labels is not None and (n := labels.count_of(found)) > MAX_LABELS:
                what = f"{n:,} tokens of text, and Whisper takes {MAX_LABELS}"
                problems.append(Problem(found.origin, "label too long", what))
            else:
                windows.append(found)
    return windows, problems


def _clip(item: Item, seconds: float) -> Iterator[Window | Problem]:
    """An item without times, as one window."""
    end = seconds if item.end is None else min(item.end, seconds)
    if item.end is not None and item.end > seconds + 0.5:
        yield Problem(
            item.origin,
            "times beyond the sound",
            f"ends at {item.end:.1f} s, but {item.media} lasts {seconds:.1f} s",
        )
    elif end - item.start < SHORTEST:
        yield Problem(item.origin, "too short", f"{item.media}: {max(end - item.start, 0):.2f} s of sound")
    elif end - item.start > SECONDS + STEP:
        yield Problem(
            item.origin,
            "over 30 s without times",
            f"{item.media} has {end - item.start:.1f} s of sound and no times for its text: subtitles would do",
        )
    else:
        yield Window(item.media, item.start, end, item.text, language=item.language, origin=item.origin)


def _packed(item: Item, seconds: float, labels: Labels | None) -> Iterator[Window | Problem]:
    """An item with cues, in windows of as many as fit by time and by tokens."""
    usable: list[tuple[str, Cue]] = []
    for origin, cue in zip(item.cue_origins(), item.cues, strict=True):
        if cue.start > seconds or cue.end > seconds + 5:
            yield Problem(
                origin,
                "times beyond the sound",
                f"at {cue.end:.1f} s, but {item.media} lasts {seconds:.1f} s",
            )
        elif cue.end - cue.start > SECONDS:
            yield Problem(origin, "cue over 30 s", f"the cue lasts {cue.end - cue.start:.1f} s")
        else:
            usable.append((origin, replace(cue, end=min(cue.end, seconds))))
    usable = list(_apart(usable))
    costs = [0 if labels is None else labels.count([cue.text], item.language) for _, cue in usable]
    previous, first = "", 0
    while first < len(usable):
        origin, opening = usable[first]
        full, after = opening.start + SECONDS, first + 1
        while (
            after < len(usable)
            and usable[after][1].end <= full
            and sum(costs[first : after + 1]) < MAX_LABELS
        ):
            after += 1
        cues = tuple(cue for _, cue in usable[first:after])
        following = usable[after][1] if after < len(usable) else Cue(seconds, seconds, "")
        yield Window(
            item.media,
            opening.start,
            max(cues[-1].end, min(cues[-1].end + _TRAILING, following.start, full, seconds)),
            text := " ".join(cue.text for cue in cues),
            cues,
            previous,
            following.start if following.start < full < following.end else None,
            item.language,
            origin,
        )
        previous = f"{previous} {text}".strip()[-_KEPT_PREVIOUS:]
        first = after


def _apart(cues: Iterable[tuple[str, Cue]]) -> Iterator[tuple[str, Cue]]:
    """The cues without overlaps, since timestamps never go back: the earlier one ends where the next starts; cues
    that start together become one."""
    last: tuple[str, Cue] | None = None
    for origin, cue in cues:
        if last is None:
            last = (origin, cue)
        elif cue.start - last[1].start < STEP and cue.end - last[1].start <= SECONDS:
            together = Cue(last[1].start, max(last[1].end, cue.end), f"{last[1].text} {cue.text}")
            last = (last[0], together)
        else:
            yield last[0], replace(last[1], end=min(last[1].end, cue.start))
            last = (origin, cue)
    if last is not None:
        yield last
