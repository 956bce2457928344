"""Voice activity detection on audio with speech at known times."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tx.speech.features import WINDOW
from tx.speech.media import RATE
from tx.speech.voice_activity import (
    MAX_PACK,
    MAX_SILENCE,
    Interval,
    detect_speech,
    detect_speech_silero,
    pack,
)

DATA = os.environ.get("TX_TEST_DATA")
HISS = np.tile(np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32), 100)
SLACK = 0.35  # seconds: 0.2 of padding and what a frame rounds off


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Syllables of noise, four a second, as speech goes up and down."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.1, len(time))
    return (noise * (0.3 + np.abs(np.sin(2 * np.pi * 2 * time)))).astype(np.float32)


def recording(seconds: float, at: dict[float, float], background: float = 0.0) -> np.ndarray:
    """Noise of the level `background` with babble of some length at some times."""
    sound = np.random.default_rng(1).normal(0, 1, round(seconds * RATE)).astype(np.float32) * background
    for start, length in at.items():
        sound[round(start * RATE) : round((start + length) * RATE)] += babble(length)
    return sound


@pytest.mark.parametrize("level", [0.0, 1e-5, 1e-4])
def test_silence_holds_no_speech(level: float) -> None:
    assert detect_speech(recording(10, {}, level)) == []
    assert detect_speech(np.zeros(0, np.float32)) == detect_speech(np.zeros(100, np.float32)) == []


@pytest.mark.parametrize("background", [0.0, 1e-4, 1e-3, 1e-2])
def test_speech_is_found_where_it_is(background: float) -> None:
    found = detect_speech(recording(40, {3: 4, 10: 1, 20: 12}, background))
    times = [(part.start / RATE, part.end / RATE) for part in found]
    assert len(times) == 3
    for (start, end), (begin, length) in zip(times, {3: 4, 10: 1, 20: 12}.items(), strict=True):
        assert begin - SLACK <= start <= begin and begin + length <= end <= begin + length + SLACK


def test_hum_clicks_and_an_offset_are_not_speech() -> None:
    sound = recording(10, {}, 1e-4)
    time = np.arange(len(sound)) / RATE
    sound += (0.05 * np.sin(2 * np.pi * 50 * time) + 0.1).astype(np.float32)
    sound[3 * RATE] += 0.5
    speech = detect_speech(sound + recording(10, {6: 2}))
    assert [(round(s.start / RATE), round(s.end / RATE)) for s in speech] == [(6, 8)]


def test_continuous_loud_sound_is_passed_to_the_model() -> None:
    """Such as music, whose level varies by about 5 dB."""
    swell = 0.75 + 0.25 * np.sin(np.arange(10 * RATE) / RATE)
    assert detect_speech((recording(10, {}, 0.1) * swell).astype(np.float32)) == [Interval(0, 10 * RATE)]


@pytest.mark.parametrize("seconds", [2, 10, 100])
@pytest.mark.parametrize("level", [0.001, 0.3])
def test_steady_sound_is_not_speech(seconds: float, level: float) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)
    assert detect_speech(recording(seconds, {}, level)) == []
    assert detect_speech(level * tone) == []
    assert detect_speech(level * tone + recording(seconds, {1: 0.8})) != []


def test_a_quiet_speaker_after_a_loud_one_is_detected() -> None:
    sound = recording(130, {5: 5, 100: 5}, 1e-5)
    sound[90 * RATE :] *= 0.01
    assert [round(part.start / RATE) for part in detect_speech(sound)] == [5, 100]


@settings(max_examples=50, deadline=None)
@given(gaps=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 70)), min_size=1, max_size=12))
def test_packs_fit_a_window_and_cover_all_speech(gaps: list[tuple[int, int]]) -> None:
    speech, at = list[Interval](), 0
    for gap, length in gaps:
        start = at + gap * RATE + (RATE // 2 if speech else 0)
        at = start + length * RATE
        speech.append(Interval(start, at))
    groups = pack(HISS, speech)
    parts = [part for group in groups for part in group]
    assert all(group[-1].end - group[0].start <= MAX_PACK < WINDOW for group in groups)
    assert all(b.start - a.end <= MAX_SILENCE for group in groups for a, b in pairwise(group))
    joined: list[Interval] = []
    for part in parts:  # cuts are inside an interval, so joining adjacent parts gives the intervals again
        if joined and joined[-1].end == part.start:
            joined[-1] = Interval(joined[-1].start, part.end)
        else:
            joined.append(part)
    assert joined == speech


def test_long_speech_is_cut_in_a_pause() -> None:
    sound = babble(50)
    sound[round(22.0 * RATE) : round(22.4 * RATE)] = 0  # too short to end an interval
    (first, *_), *_ = groups = pack(sound, detect_speech(sound))
    assert len(groups) == 2 and 22.0 <= first.end / RATE <= 22.4


@pytest.mark.skipif(not DATA, reason="needs TX_TEST_DATA")
def test_real_speech_that_silero_detects_is_detected() -> None:
    pytest.importorskip("faster_whisper")
    from tx.speech.media import decode

    files = sorted((Path(str(DATA)) / "speech-de" / "audio").glob("*.flac"))
    pause = np.zeros(2 * RATE, np.float32)
    sound = np.concatenate([part for file in files for part in (decode(file), pause)])
    ours, theirs = np.zeros(len(sound), bool), np.zeros(len(sound), bool)
    for mask, find in ((ours, detect_speech), (theirs, detect_speech_silero)):
        for part in find(sound):
            mask[part.start : part.end] = True
    assert (ours & theirs).sum() / theirs.sum() > 0.98
    assert ours.mean() < theirs.mean() + 0.15  # and the pauses are excluded


@pytest.mark.skipif(not DATA, reason="needs TX_TEST_DATA")
@pytest.mark.parametrize("place", ["in white noise of 5 dB", "after a minute of hiss", "very quiet"])
def test_real_speech_is_detected(place: str) -> None:
    """The loud frames (25 dB below the loudest) of every sentence are in an interval."""
    from tx.speech.media import decode

    chance = np.random.default_rng(0)
    for file in sorted((Path(str(DATA)) / "speech-de" / "audio").glob("*.flac")):
        sound = decode(file)
        level = float(np.sqrt((sound**2).mean()))
        frames = sound[: len(sound) // 320 * 320].reshape(-1, 320)
        power = 10 * np.log10((frames**2).mean(axis=1) + 1e-12)
        wanted, before = power > power.max() - 25, np.zeros(0, np.float32)
        if place == "in white noise of 5 dB":
            sound = sound + chance.normal(0, level / 10**0.25, len(sound)).astype(np.float32)
        elif place == "after a minute of hiss":
            before = chance.normal(0, 2 * level, 60 * RATE).astype(np.float32)
        else:
            sound = sound / np.abs(sound).max() * np.float32(0.005)
        found = np.zeros(len(before) + len(sound) + RATE, bool)
        for part in detect_speech(np.concatenate([before, sound])):
            found[part.start : part.end] = True
        inside = found[len(before) : len(before) + len(frames) * 320].reshape(-1, 320).all(axis=1)
        assert (wanted & inside).sum() / wanted.sum() > 0.9, file.name
