"""Long audio to segments: tracks of speech, each decoded window by window, several tracks at a time.

A track is a group of speech intervals that voice activity detection packed into one window or, without detection,
the whole audio. Within a track the next window starts where the last complete segment ended, as in the Whisper
paper (section 3.8). Tracks are independent, so a batch holds the next window of several of them. Segments are
yielded in order, as soon as those before them are complete.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tx.speech.features import WINDOW, Audio
from tx.speech.media import RATE
from tx.speech.transcribe.decoding import (
    Batch,
    DecodingResult,
    Engine,
    Options,
    Segment,
    is_silence,
    needs_fallback,
)
from tx.speech.voice_activity import Interval, detect_speech, detect_speech_silero, is_silent, pack
from tx.speech.whisper_tokenizer import WhisperTokenizer

MIN_SPEECH = RATE // 10  # samples; a shorter remainder is not decoded
MIN_STEP = 10.0  # seconds to move on after a window that failed all thresholds, whatever timestamps it holds
MAX_UNTRANSCRIBED = 4 * RATE  # samples of speech after the last timestamp; more of it is decoded again
MAX_PROMPT = 223  # tokens of previous text that fit in the prompt: half of the decoder's positions


@dataclass
class Track:
    """Intervals of speech that are decoded one after another, and their segments so far."""

    speech: list[Interval]
    is_detected: bool  # by voice activity detection, so that a pause follows the track
    position: int = 0  # the sample at which the next window starts
    segments: list[Segment] = field(default_factory=list)
    is_done: bool = False

    @property
    def end(self) -> int:
        return self.speech[-1].end

    def speech_after(self, sample: int) -> int:
        """The number of samples of detected speech after `sample`."""
        if not self.is_detected:
            return 0
        return sum(max(0, part.end - max(sample, part.start)) for part in self.speech)

    def move_to(self, sample: int) -> None:
        """Continue at `sample`, or at the first speech after it; without any the track is done."""
        left = [part for part in self.speech if part.end - max(sample, part.start) >= MIN_SPEECH]
        self.is_done = not left
        if left:
            self.position = max(sample, left[0].start)

    def skip_silence(self, audio: Audio) -> None:
        """Skip windows of digital silence, in which a model hallucinates text."""
        while not self.is_done and is_silent(self.window(audio)):
            self.move_to(self.position + WINDOW)

    def window(self, audio: Audio) -> Audio:
        """The next window to decode."""
        return audio[self.position : min(self.position + WINDOW, self.end)]


def find_tracks(audio: Audio, options: Options) -> list[Track]:
    """The tracks of speech in mono audio at 16 kHz, in order."""
    if options.activity == "none":
        groups = [[Interval(0, len(audio))]] if len(audio) else []
    else:
        detect = detect_speech_silero if options.activity == "silero" else detect_speech
        groups = pack(audio, detect(audio))
    tracks = [Track(group, options.activity != "none") for group in groups]
    for track in tracks:
        track.move_to(track.speech[0].start)
    return [track for track in tracks if not track.is_done]


def transcribe_tracks(
    audio: Audio,
    tracks: list[Track],
    engine: Engine,
    tokenizer: WhisperTokenizer,
    language: str,
    options: Options,
) -> Iterator[Segment]:
    """Yield the segments of `tracks`, in order; `tracks` is emptied."""
    start_tokens = tokenizer.prompt(language, options.task or tokenizer.default_task)
    initial_prompt = tokenizer.encode(" " + options.prompt.strip())[-MAX_PROMPT:] if options.prompt else []
    previous: list[int] = []  # the tokens so far, if they are to be the prompt
    # The first batches are small, so that the first lines come soon.
    batch_size, number, max_batch = 1, 0, 1 if options.condition_on_previous else options.batch_size
    while tracks:
        for track in tracks:
            if not track.is_detected:
                track.skip_silence(audio)
        batch = [track for track in tracks if not track.is_done][:batch_size]
        windows = [track.window(audio) for track in batch]
        before = (initial_prompt + previous)[-MAX_PROMPT:]
        prompt = [tokenizer.sot_prev, *before, *start_tokens] if before else start_tokens
        request = Batch(windows, [prompt] * len(batch), range(number, number + len(batch)))
        results = engine.decode(request, options) if batch else []
        number += len(batch)
        for track, window, result in zip(batch, windows, results, strict=True):
            segments = _advance(track, len(window), result, tokenizer, language, options)
            if options.condition_on_previous:  # text sampled at a high temperature would mislead the model
                previous = [] if result.temperature > 0.5 else previous + (result.tokens if segments else [])
            track.segments += segments
        while tracks and (tracks[0].segments or tracks[0].is_done):
            yield from tracks[0].segments
            tracks[0].segments = []
            if not tracks[0].is_done:
                break
            tracks.pop(0)
        batch_size = min(max_batch, 2 * batch_size)


def _advance(
    track: Track,
    n_samples: int,
    result: DecodingResult,
    tokenizer: WhisperTokenizer,
    language: str,
    options: Options,
) -> list[Segment]:
    """The segments in the result of the track's next window of `n_samples`; the track moves on."""
    start, length = track.position, n_samples / RATE
    if is_silence(result, options):
        track.move_to(start + n_samples)
        return []
    is_last = track.is_detected and start + n_samples >= track.end
    pieces, next_start = split_segments(result.tokens, length, tokenizer, is_last)
    if pieces and track.speech_after(start + int(pieces[-1][1] * RATE)) > MAX_UNTRANSCRIBED:
        next_start = min(next_start, pieces[-1][1])
    if needs_fallback(result, options):
        next_start = max(next_start, min(MIN_STEP, length))
    track.move_to(start + (int(next_start * RATE) if next_start > 0 else n_samples))
    offset = start / RATE
    values = (language, result.logprob, result.no_speech, result.compression, result.temperature)
    segments = []
    for begin, end, ids in pieces:
        text, begin, end = tokenizer.decode(ids).strip(), min(begin, length), min(end, length)
        has_words = any(unicodedata.category(c)[0] not in "PZ" for c in text)  # noise is transcribed as "..."
        if has_words and end > begin:
            segments.append(Segment(round(offset + begin, 3), round(offset + end, 3), text, *values))
    return segments


def split_segments(
    tokens: Sequence[int], length: float, tokenizer: WhisperTokenizer, is_last: bool = False
) -> tuple[list[tuple[float, float, list[int]]], float]:
    """The segments (start, end, ids) in the tokens of a window of `length` seconds, and where the next one starts.

    Two timestamps in a row are the end of a segment and the start of the next. Text after the last such pair was
    cut off by the end of the window and is decoded again in the next one, unless this window `is_last`: then the
    text ends with the window.
    """
    found: list[tuple[float, float, list[int]]] = []
    start, ids, has_ended = 0.0, list[int](), False  # has_ended: the last token ended a segment
    next_start = length
    for token in tokens:
        if token < tokenizer.timestamp_begin:
            ids.append(token)
            has_ended = False
            continue
        time = tokenizer.seconds(token)
        if ids:
            found.append((start, time, ids))
            ids, has_ended = [], True
        else:
            next_start = time if has_ended else next_start  # another segment starts here
            has_ended = False
        start = time
    if ids and (is_last or not found):
        found.append((start, length, ids))
        next_start = length
    elif ids:  # incomplete
        next_start = start
    elif has_ended:  # a single timestamp at the end: there is no speech after it
        next_start = length
    return found, next_start
