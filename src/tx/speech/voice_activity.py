"""Voice activity detection: intervals of speech, packed into windows.

The energy detector computes the level of each frame of 20 ms in decibels, after removing low hum by differences of
neighbouring samples. An interval starts where the level is clearly above the background (the quiet tenth of the
minute around it), and ends half a second after it has fallen below: an adaptive threshold with hysteresis, as in
Rabiner and Sambur (1975, "An Algorithm for Determining the Endpoints of Isolated Utterances"). It is meant to pass
all speech and to reject silence, hum and hiss; music and varying noise pass as well. Silero's network, which
faster-whisper includes, distinguishes speech from other sounds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.speech.features import WINDOW, Audio
from tx.speech.media import RATE

FRAME = RATE // 50  # samples: 20 ms
SILENCE = -90.0  # dB relative to full scale, without low tones; a softer frame is silence
SILENT_AMPLITUDE = 1e-4  # of full scale: digital silence, or three steps of 16 bits
MARGIN = 0.2  # from the background (0) to the loud parts (1): the threshold at which speech starts
MIN_RANGE = 8.0  # dB between both; with less, the sound is the same throughout
STEADY_RANGE = 4.0  # dB from the softest to the loudest frame; less, for a second or more, is hum or hiss
HYSTERESIS = 3.0  # dB below the threshold: where speech ends
FAR, NEAR = 30 * 50, 5 * 50  # frames on each side that make up the background
MIN_SPEECH, MAX_PAUSE, PADDING = 4, 25, 10  # frames: 80 ms, 0.5 s, 0.2 s
MAX_PACK = WINDOW - RATE  # samples: the model expects silence after the last word of a window
MAX_SILENCE = 4 * RATE  # samples between two intervals in a window


@dataclass(frozen=True)
class Interval:
    """A part of the audio, in samples; `end` is exclusive."""

    start: int
    end: int


def detect_speech(audio: Audio) -> list[Interval]:
    """The intervals of mono audio at 16 kHz that may hold speech, by their energy; none in silence."""
    if is_silent(audio):
        return []
    levels = _levels(audio)
    thresholds = _thresholds(levels)
    thresholds[_is_steady(audio, levels)] = np.inf
    frames = list(_joined(_runs(levels, thresholds)))
    return [
        Interval(max(0, start - PADDING) * FRAME, min(len(audio), (end + PADDING) * FRAME))
        for start, end in frames
    ]


def is_silent(audio: Audio) -> bool:
    """Whether mono audio at 16 kHz is (nearly) digital silence."""
    return len(audio) < FRAME or float(np.abs(audio).max()) < SILENT_AMPLITUDE


def _levels(audio: Audio, without_hum: bool = True) -> NDArray[np.float32]:
    """The level of each frame in dB relative to full scale."""
    n = len(audio) // FRAME
    audio = audio[: n * FRAME]
    frames = (np.diff(audio, prepend=np.float32(0)) if without_hum else audio).reshape(n, FRAME)
    power: NDArray[np.float32] = np.einsum("ij,ij->i", frames, frames) / FRAME
    levels: NDArray[np.float32] = (10 * np.log10(power + 1e-12)).astype(np.float32)
    return levels


def _around(frame: int, reach: int) -> slice:
    return slice(max(0, frame - reach), frame + reach)


def _is_steady(audio: Audio, levels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """For each frame, whether it is part of steady hum or hiss: with and without low tones, all frames are as
    loud."""
    found, step = np.zeros(len(levels), bool), FAR // 3
    whole = _levels(audio, without_hum=False)
    for at in range(0, len(levels), step):
        part = _around(at + step // 2, FAR)
        ranges = (float(np.ptp(each[part])) for each in (levels, whole))
        found[at : at + step] = len(levels[part]) >= 50 and max(ranges) < STEADY_RANGE
    return found


def _thresholds(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The level at which speech starts, for each frame: by the quiet and the loud frames of the minute around it.

    The 10 s around it count if they give a lower threshold, since speech after a loud noise may be softer.
    """
    found, step = np.empty_like(levels), NEAR
    for at in range(0, len(levels), step):
        far, near = (_threshold(levels[_around(at + step // 2, reach)]) for reach in (FAR, NEAR))
        found[at : at + step] = SILENCE if far is None else min(far, near or far)
    return found


def _threshold(levels: NDArray[np.float32]) -> float | None:
    """A level between the quiet and the loud frames, or None if all are about as loud."""
    levels = levels[levels >= SILENCE]
    quiet, loud = np.percentile(levels, (10, 95)).tolist() if levels.size else (0.0, 0.0)
    return quiet + MARGIN * (loud - quiet) if loud - quiet >= MIN_RANGE else None


def _runs(levels: NDArray[np.float32], thresholds: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """The runs of frames above the lower threshold in which at least one frame is above the upper one."""
    lower = np.maximum(thresholds - HYSTERESIS, SILENCE)
    above = np.concatenate(([False], levels >= lower, [False]))
    edges = np.flatnonzero(above[1:] != above[:-1])
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if bool((levels[start:end] >= thresholds[start:end]).any()):
            yield start, end


def _joined(runs: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Runs with a short pause between them as one; a run that is short even so is a click and omitted."""
    last: tuple[int, int] | None = None
    for start, end in runs:
        if last is not None and start - last[1] <= MAX_PAUSE:
            last = last[0], end
            continue
        if last is not None and last[1] - last[0] >= MIN_SPEECH:
            yield last
        last = start, end
    if last is not None and last[1] - last[0] >= MIN_SPEECH:
        yield last


def pack(audio: Audio, speech: Sequence[Interval]) -> list[list[Interval]]:
    """The intervals in groups of at most `MAX_PACK` (29 s) from the first start to the last end.

    A longer interval is cut where it is quietest; a long silence between two intervals starts a new group.
    """
    groups: list[list[Interval]] = []
    for interval in speech:
        for part in _cut(audio, interval):
            group = groups[-1] if groups else []
            is_near = group and part.start - group[-1].end <= MAX_SILENCE
            if is_near and part.end - group[0].start <= MAX_PACK:
                group.append(part)
            else:
                groups.append([part])
    return groups


def _cut(audio: Audio, interval: Interval) -> Iterator[Interval]:
    """The interval in parts of at most `MAX_PACK`, cut in the quietest 0.2 s of the second half of each."""
    start = interval.start
    while interval.end - start > MAX_PACK:
        begin = start + MAX_PACK // 2
        levels = _levels(audio[begin : start + MAX_PACK])
        smooth = np.convolve(10 ** (levels / 10), np.ones(10), mode="valid")
        cut = begin + (int(smooth.argmin()) + 5) * FRAME
        yield Interval(start, cut)
        start = cut
    yield Interval(start, interval.end)


def detect_speech_silero(audio: Audio) -> list[Interval]:
    """The same by Silero's network. Raises TxError if faster-whisper, which includes it, is not installed."""
    try:
        from faster_whisper.vad import VadOptions, get_speech_timestamps
    except ImportError:
        raise TxError(
            "the voice activity detector silero needs faster-whisper", "pip install 'tx[ctranslate2]'"
        ) from None
    options = VadOptions(min_silence_duration_ms=500, speech_pad_ms=200)
    return [Interval(found["start"], found["end"]) for found in get_speech_timestamps(audio, options)]
