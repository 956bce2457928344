"""Training examples of Whisper: windows of up to 30 seconds, and the token ids of their text (Radford et al., 2022).

Cues are packed into windows as in the paper: as many whole cues as fit, with timestamps in steps of 0.02 s from the
start of the window; a cue that crosses the end of a window starts the next one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tx.errors import TxError
from tx.speech.items import Item, Problem
from tx.speech.media import RATE, StoredAudio, decode, duration, pyav
from tx.speech.subtitles import Cue
from tx.speech.whisper_tokenizer import STEP, WhisperTokenizer

SECONDS = 30.0
MAX_LABELS = 448  # the positions of the decoder
MIN_SECONDS = 0.1  # s of audio
_MAX_PREVIOUS = 223  # tokens of earlier text: half of the positions, less its start token
_PREVIOUS_CHARACTERS = 1000  # of earlier text that are stored
_TRAILING = 1.0  # s of audio after the last cue; more of it may be speech that was not transcribed
_NO_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "km", "yue"})  # languages without spaces between words


@dataclass(frozen=True)
class Window:
    """Up to 30 s of audio and its text. Times are in seconds of the file.

    `crossing` is the start of a cue that starts within the 30 s and ends after them. With timestamps, the audio then
    has the full 30 s, and that start is the last token, so that the model learns where the next window starts;
    without timestamps, the audio ends before it. `previous` is the text before the window in the same file.
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
        """The audio as float32 `[samples]` at 16 kHz, at most 30 s. Raises TxError as `tx.speech.media.decode`
        does."""
        is_full = timestamps and self.crossing is not None
        end = self.start + SECONDS if is_full else min(self.end, self.start + SECONDS)
        return decode(self.media, self.start, end)[: round(SECONDS * RATE)]


class Labels:
    """Encodes windows as token ids; without `language`, each window has its own.

    Raises UsageError for a language that the tokenizer does not know.
    """

    def __init__(
        self, tokenizer: WhisperTokenizer, language: str | None = None, task: str = "transcribe"
    ) -> None:
        self.tokenizer, self.task = tokenizer, task
        self.language = None if language is None else tokenizer.language(language)

    def ids(self, window: Window, timestamps: bool = False, previous: bool = False) -> tuple[list[int], int]:
        """The whole token sequence, and the index of <|startoftranscript|> in it.

            [<|startofprev|> previous] <|startoftranscript|> <|de|> <|transcribe|> <|notimestamps|> text <|endoftext|>

        ids[:-1] is the input of the decoder and ids[1:] its labels; the labels before that index are excluded from
        the loss. It is 0 without previous text. With timestamps, a window without cues is one cue. Raises TxError if
        the language of the window is unknown.
        """
        language, at = self.language or window.language, self.tokenizer.timestamp
        if language is None and self.tokenizer.languages:
            raise TxError(
                f"{window.origin} does not name its language", "add --language, such as --language de"
            )
        ids = self.tokenizer.prompt(language or "en", self.task, timestamps)
        if not timestamps:
            ids += self._text(window.text, language)
        else:
            for cue in window.cues or (Cue(window.start, window.end, window.text),):
                text = self._text(cue.text, language)
                ids += [at(cue.start - window.start), *text, at(cue.end - window.start)]
            if window.crossing is not None:
                ids.append(at(window.crossing - window.start))
        ids.append(self.tokenizer.eot)
        room = min(_MAX_PREVIOUS, MAX_LABELS - len(ids))
        if previous and window.previous and room > 0:
            before = self._text(window.previous, language)[-room:]
            return [self.tokenizer.sot_prev, *before, *ids], len(before) + 1
        return ids, 0

    def knows(self, language: str | None) -> bool:
        """Whether windows in `language` can be encoded; None, an unknown language, is an error later."""
        known, code = self.tokenizer.languages, self.language or language
        return not known or code is None or code in known

    def count(self, cues: Iterable[str], language: str | None = None) -> int:
        """The number of labels of a window of cues with these texts, with timestamps."""
        n_special = (
            3 if self.tokenizer.languages else 1
        )  # language and task before the text, the end after it
        return n_special + sum(len(self._text(text, self.language or language)) + 2 for text in cues)

    def count_of(self, window: Window) -> int:
        """The number of labels of a window with timestamps, which is its largest."""
        texts = [cue.text for cue in window.cues] or [window.text]
        return self.count(texts, window.language) + (window.crossing is not None)

    def _text(self, text: str, language: str | None) -> list[int]:
        """The ids of a text with a space before its first word, as Whisper writes it."""
        return self.tokenizer.encode(("" if language in _NO_SPACES else " ") + text.strip())


def cut_windows(
    items: Iterable[Item],
    labels: Labels | None = None,
    seconds: Callable[[Path | StoredAudio], float] = duration,
) -> tuple[list[Window], list[Problem]]:
    """The windows of `items`, and the problems: audio over 30 s without times, more than 448 labels, media that
    cannot be read, cues after the end of the audio.

    Without `labels`, tokens are not counted. `seconds` gives the duration of a file; `tx.speech.media.measure` reads
    it to its end and so finds truncated files. Raises TxError if PyAV is missing.
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
        for found in _packed(item, length, labels) if item.cues else [_clip(item, length)]:
            if isinstance(found, Problem):
                problems.append(found)
            elif labels is not None and (n := labels.count_of(found)) > MAX_LABELS:
                what = f"has {n:,} tokens, and Whisper has {MAX_LABELS} positions"
                problems.append(Problem(found.origin, "label too long", what))
            else:
                windows.append(found)
    return windows, problems


def _clip(item: Item, seconds: float) -> Window | Problem:
    """The window of an item without cues."""
    end = seconds if item.end is None else min(item.end, seconds)
    length, problem = end - item.start, None
    if item.end is not None and item.end > seconds + 0.5:
        what = f"ends at {item.end:.1f} s, but {item.media} has {seconds:.1f} s of audio"
        problem = Problem(item.origin, "times beyond the audio", what)
    elif length < MIN_SECONDS:
        problem = Problem(item.origin, "too short", f"{item.media} has {max(length, 0):.2f} s of audio")
    elif length > SECONDS + STEP:
        what = f"{item.media} has {length:.1f} s of audio and no times for its text; add subtitles"
        problem = Problem(item.origin, "over 30 s without times", what)
    window = Window(item.media, item.start, end, item.text, language=item.language, origin=item.origin)
    return problem or window


def _packed(item: Item, seconds: float, labels: Labels | None) -> Iterator[Window | Problem]:
    """The windows of an item with cues, each with as many as fit by time and by tokens."""
    usable: list[tuple[str, Cue]] = []
    for origin, cue in zip(item.cue_origins(), item.cues, strict=True):
        if cue.start > seconds or cue.end > seconds + 5:
            what = f"ends at {cue.end:.1f} s, but {item.media} has {seconds:.1f} s of audio"
            yield Problem(origin, "times beyond the audio", what)
        elif cue.end - cue.start > SECONDS:
            yield Problem(origin, "cue over 30 s", f"the cue lasts {cue.end - cue.start:.1f} s")
        else:
            usable.append((origin, replace(cue, end=min(cue.end, seconds))))
    usable = list(_without_overlaps(usable))
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
        previous = f"{previous} {text}".strip()[-_PREVIOUS_CHARACTERS:]
        first = after


def _without_overlaps(cues: Iterable[tuple[str, Cue]]) -> Iterator[tuple[str, Cue]]:
    """The cues without overlaps, since timestamps never decrease: each ends at the latest where the next one starts,
    and cues that start together become one."""
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
