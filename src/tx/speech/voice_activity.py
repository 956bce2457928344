"""Where somebody speaks: stretches of sound that stand out from the background, packed into windows.

A level in decibels for each 20 ms, low hum taken away by differences of neighbouring samples. What lies clearly
above the background (the quiet tenth of the minute around it) begins a stretch, and half a second below it ends
one: a threshold that follows the recording, with hysteresis, as in Rabiner and Sambur's detector of 1975. It is meant
to let all speech pass and to keep out silence, hum and hiss: music and noise that vary are taken for speech, and
Whisper has to say what they are. faster-whisper ships Silero's network, which tells speech from other sounds;
`silero` uses that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.speech.features import WINDOW, Audio
from tx.speech.media import RATE

FRAME = RATE // 50  # samples: 20 ms
SILENCE = -90.0  # dB below full scale, low tones taken away: nothing, whatever stands beside it
NOTHING = 1e-4  # of full scale: digital silence, or three steps of 16 bits
MARGIN = 0.2  # of the way from the background to the loud parts: where speech begins ...
LEAST_RANGE = 8.0  # dB between both; less is one sound all through
STEADY = 4.0  # dB from the softest to the loudest frame; less, for a second or more, is a hum or a hiss
LEAVE = 3.0  # dB below that: where it ends
AROUND, CLOSE = 30 * 50, 5 * 50  # frames on each side that make up the background
SHORTEST, LONGEST_PAUSE, PADDING = 4, 25, 10  # frames: 80 ms, 0.5 s, 0.2 s
PACK = WINDOW - RATE  # samples: a second of silence at the end of a window tells the model that all is said
FARTHEST = 4 * RATE  # samples of silence inside a window


@dataclass(frozen=True)
class Interval:
    """A part of the audio, in samples, the end not included."""

    start: int
    end: int


def detect_speech(audio: Audio) -> list[Interval]:
    """The stretches of mono audio at 16 kHz in which there may be speech; none in silence."""
    if is_silent(audio):
        return []
    levels = _levels(audio)
    enter = _thresholds(levels)
    enter[_is_steady(audio, levels)] = np.inf
    frames = list(_joined(_runs(levels, enter, enter - LEAVE)))
    return [
        Interval(max(0, start - PADDING) * FRAME, min(len(audio), (end + PADDING) * FRAME))
        for start, end in frames
    ]


def is_silent(audio: Audio) -> bool:
    """Whether there is nothing in mono audio at 16 kHz, digital silence or nearly so."""
    return len(audio) < FRAME or float(np.abs(audio).max()) < NOTHING


def _levels(audio: Audio, without_hum: bool = True) -> NDArray[np.float32]:
    """The level of each frame in dB; full scale at 0."""
    n = len(audio) // FRAME
    kept = audio[: n * FRAME]
    frames = (np.diff(kept, prepend=np.float32(0)) if without_hum else kept).reshape(n, FRAME)
    power: NDArray[np.float32] = np.einsum("ij,ij->i", frames, frames) / FRAME
    levels: NDArray[np.float32] = (10 * np.log10(power + 1e-12)).astype(np.float32)
    return levels


def _around(frame: int, reach: int) -> slice:
    return slice(max(0, frame - reach), frame + reach)


def _is_steady(audio: Audio, levels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """For each frame, whether it and all around it are a hum or a hiss.

    Both with the low tones, of which voices mostly are, and without, nothing may be louder or softer than the rest.
    """
    found, step = np.zeros(len(levels), bool), AROUND // 3
    whole = _levels(audio, without_hum=False)
    for at in range(0, len(levels), step):
        near = _around(at + step // 2, AROUND)
        ranges = (float(np.ptp(each[near])) for each in (levels, whole))
        found[at : at + step] = len(levels[near]) >= 50 and max(ranges) < STEADY
    return found


def _thresholds(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The level at which speech begins, for each frame: by the quiet and the loud part of its surroundings.

    Those of 10 s count where they ask for less: what follows a loud noise may be softer than that.
    """
    wanted, step = np.empty_like(levels), CLOSE
    for at in range(0, len(levels), step):
        far, close = (levels[_around(at + step // 2, reach)] for reach in (AROUND, CLOSE))
        threshold = _threshold(far)
        wanted[at : at + step] = (
            SILENCE if threshold is None else min(threshold, _threshold(close) or threshold)
        )
    return wanted


def _threshold(near: NDArray[np.float32]) -> float | None:
    """Between the quiet and the loud frames of a part, None where all are about as loud."""
    near = near[near >= SILENCE]
    quiet, loud = np.percentile(near, (10, 95)).tolist() if near.size else (0.0, 0.0)
    return quiet + MARGIN * (loud - quiet) if loud - quiet >= LEAST_RANGE else None


def _runs(
    levels: NDArray[np.float32], enter: NDArray[np.float32], leave: NDArray[np.float32]
) -> Iterator[tuple[int, int]]:
    """The runs of frames above `leave` in which at least one is above `enter`."""
    above = np.concatenate(([False], levels >= np.maximum(leave, SILENCE), [False]))
    edges = np.flatnonzero(above[1:] != above[:-1])
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if bool((levels[start:end] >= enter[start:end]).any()):
            yield start, end


def _joined(runs: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Runs with a short pause between them as one; what is short even so is a click, and left away."""
    last: tuple[int, int] | None = None
    for start, end in runs:
        if last is not None and start - last[1] <= LONGEST_PAUSE:
            last = last[0], end
            continue
        if last is not None and last[1] - last[0] >= SHORTEST:
            yield last
        last = start, end
    if last is not None and last[1] - last[0] >= SHORTEST:
        yield last


def pack(audio: Audio, speech: Sequence[Interval]) -> list[list[Interval]]:
    """The stretches in groups, each at most `PACK` (29 s) from its start to its end.

    A longer stretch is cut where it is quietest; a long silence between two is left out of the windows.
    """
    groups: list[list[Interval]] = []
    for whole in speech:
        for part in _cut(audio, whole):
            group = groups[-1] if groups else []
            near = group and part.start - group[-1].end <= FARTHEST and part.end - group[0].start <= PACK
            if near:
                group.append(part)
            else:
                groups.append([part])
    return groups


def _cut(audio: Audio, stretch: Interval) -> Iterator[Interval]:
    """The stretch in parts of at most `PACK`, cut in the quietest fifth of a second of the second half."""
    start = stretch.start
    while stretch.end - start > PACK:
        begin = start + PACK // 2
        levels = _levels(audio[begin : start + PACK])
        smooth = np.convolve(10 ** (levels / 10), np.ones(10), mode="valid")
        cut = begin + (int(smooth.argmin()) + 5) * FRAME
        yield Interval(start, cut)
        start = cut
    yield Interval(start, stretch.end)


def detect_speech_silero(audio: Audio) -> list[Interval]:
    """The same by Silero's network, as faster-whisper ships it. Raises TxError where that is missing."""
    try:
        from faster_whisper.vad import VadOptions, get_speech_timestamps
    except ImportError:
        raise TxError(
            "Silero's voice activity comes with faster-whisper", "pip install 'tx[ctranslate2]'"
        ) from None
    options = VadOptions(min_silence_duration_ms=500, speech_pad_ms=200)
    return [Interval(found["start"], found["end"]) for found in get_speech_timestamps(audio, options)]
