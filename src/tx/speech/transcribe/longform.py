"""Audio of any length to segments: tracks of speech, each heard window by window, several tracks at a time.

A track is what voice activity has packed into one window, or, without it, the whole audio. Inside a track the next
window begins where the last complete segment of this one ended, as in the Whisper paper (section 3.8); tracks do not
depend on each other, so a batch holds the next window of several of them. Segments come out in order, as soon as
those before them are out.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tx.speech.activity import Stretch, find_speech, find_speech_silero, is_silent, pack
from tx.speech.features import WINDOW, Audio
from tx.speech.media import RATE
from tx.speech.transcribe.fallback import Heard, is_doubtful, is_silence
from tx.speech.transcribe.options import Options, Segment
from tx.speech.whisper_tokenizer import Vocabulary

LEAST = RATE // 10  # samples; a shorter rest is not listened to
CREEP = 10.0  # seconds; at least so far goes on what was heard in vain, whatever times it names
UNHEARD = 4 * RATE  # samples; where the text ends before so much speech, that is heard again
WORDS_BACK = 223  # tokens of previous text that fit before the prompt: half of what the decoder can hold


class Listen(Protocol):
    """Hears windows of audio after their prompts; the numbers tell the windows apart."""

    def __call__(
        self, windows: list[Audio], prompts: list[list[int]], numbers: list[int]
    ) -> Sequence[Heard]: ...


@dataclass
class Track:
    """Stretches of speech that are heard one after another, and what has been understood of them."""

    speech: list[Stretch]
    is_packed: bool  # whether it ends in a pause, as voice activity found it
    at: int = 0  # the sample where the next window begins
    segments: list[Segment] = field(default_factory=list)
    is_done: bool = False

    @property
    def end(self) -> int:
        return self.speech[-1].end

    def speech_after(self, sample: int) -> int:
        """The samples of speech after `sample`, as far as voice activity knows."""
        if not self.is_packed:
            return 0
        return sum(max(0, part.end - max(sample, part.start)) for part in self.speech)

    def move_to(self, sample: int) -> None:
        """Go on at `sample`, or where speech begins after it; done where there is none."""
        left = [part for part in self.speech if part.end - max(sample, part.start) >= LEAST]
        self.is_done = not left
        if left:
            self.at = max(sample, left[0].start)

    def skip_silence(self, audio: Audio) -> None:
        """Leave out windows in which there is nothing at all: a model makes words up there."""
        while not self.is_done and is_silent(self.window(audio)):
            self.move_to(self.at + WINDOW)

    def window(self, audio: Audio) -> Audio:
        """What is heard next."""
        return audio[self.at : min(self.at + WINDOW, self.end)]


def tracks(audio: Audio, options: Options) -> list[Track]:
    """What there is to hear, in order."""
    if options.activity == "none":
        groups = [[Stretch(0, len(audio))]] if len(audio) else []
    else:
        find = find_speech_silero if options.activity == "silero" else find_speech
        groups = pack(audio, find(audio))
    found = [Track(group, options.activity != "none") for group in groups]
    for track in found:
        track.move_to(track.speech[0].start)
    return [track for track in found if not track.is_done]


def transcribe(
    audio: Audio, todo: list[Track], listen: Listen, vocabulary: Vocabulary, language: str, options: Options
) -> Iterator[Segment]:
    """The segments of what is said in `todo`, in order."""
    task = options.task or vocabulary.default_task
    asked = vocabulary.prompt(language, task)
    named = vocabulary.encode(" " + options.prompt.strip())[-WORDS_BACK:] if options.prompt else []
    said: list[int] = []  # what was understood so far, where that is to be the prompt
    size, number, most = 1, 0, 1 if options.condition_on_previous else options.batch_size
    while todo:
        for track in todo:
            if not track.is_packed:
                track.skip_silence(audio)
        batch = [track for track in todo if not track.is_done][:size]
        windows = [track.window(audio) for track in batch]
        before = (named + said)[-WORDS_BACK:]
        prompt = [vocabulary.previous, *before, *asked] if before else asked
        numbers = list(range(number, number + len(batch)))
        heard = listen(windows, [prompt] * len(batch), numbers) if batch else []
        number += len(batch)
        for track, window, one in zip(batch, windows, heard, strict=True):
            found = _understand(track, len(window), one, vocabulary, language, options)
            if options.condition_on_previous:  # what was half guessed leads the rest astray
                said = [] if one.temperature > 0.5 else said + (one.tokens if found else [])
            track.segments += found
        while todo and (todo[0].segments or todo[0].is_done):
            yield from todo[0].segments
            todo[0].segments = []
            if not todo[0].is_done:
                break
            todo.pop(0)
        size = min(most, 2 * size)  # the first lines come soon


def _understand(
    track: Track, n_samples: int, heard: Heard, vocabulary: Vocabulary, language: str, options: Options
) -> list[Segment]:
    """The segments in what was heard in the track's next window of `n_samples`; the track moves on."""
    begin, length = track.at, n_samples / RATE
    if is_silence(heard, options):
        track.move_to(begin + n_samples)
        return []
    is_last = track.is_packed and begin + n_samples >= track.end
    pieces, heard_until = segments_of(heard.tokens, length, vocabulary, is_last)
    if pieces and track.speech_after(begin + int(pieces[-1][1] * RATE)) > UNHEARD:
        heard_until = min(heard_until, pieces[-1][1])
    if is_doubtful(heard, options):
        heard_until = max(heard_until, min(CREEP, length))
    track.move_to(begin + (int(heard_until * RATE) if heard_until > 0 else n_samples))
    found = []
    for start, end, ids in pieces:
        text = vocabulary.decode(ids).strip()
        start, end = min(start, length), min(end, length)
        said = any(unicodedata.category(c)[0] not in "PZ" for c in text)  # noise is heard as "..."
        if said and end > start:
            found.append(
                Segment(
                    round(begin / RATE + start, 3),
                    round(begin / RATE + end, 3),
                    text,
                    language,
                    heard.logprob,
                    heard.no_speech,
                    heard.compression,
                    heard.temperature,
                )
            )
    return found


def segments_of(
    tokens: Sequence[int], length: float, vocabulary: Vocabulary, is_last: bool = False
) -> tuple[list[tuple[float, float, list[int]]], float]:
    """The segments (start, end, ids) in the tokens of a window of `length` seconds, and where the next begins.

    Two times in a row are the end of a segment and the start of the next. What follows the last two in a row is cut
    off by the end of the window, and is heard again in the next, unless this one `is_last`: then it ends with it.
    """
    found: list[tuple[float, float, list[int]]] = []
    start, ids, ended = 0.0, list[int](), False  # ended: the last thing was the end of a segment
    until = length
    for token in tokens:
        if token < vocabulary.first_time:
            ids.append(token)
            ended = False
            continue
        time = vocabulary.seconds(token)
        if ids:
            found.append((start, time, ids))
            ids, ended = [], True
        else:
            until = time if ended else until  # another segment was about to begin here
            ended = False
        start = time
    if ids and (is_last or not found):
        found.append((start, length, ids))
        until = length
    elif ids:  # said, but not to its end
        until = start
    elif ended:  # a single time at the end: nothing is said after it
        until = length
    return found, until
