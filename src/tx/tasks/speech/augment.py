"""Sound that differs a little each time it is heard: speed, noise, and hidden bands (SpecAugment)."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

MASKS = 2  # of time, and of pitch
WIDEST_TIME = 100  # frames: 1 s
SHARE_OF_TIME = 0.2  # of the clip, at most, in each mask
SHARE_OF_PITCH = 0.25  # of the mel bins, at most, in each mask


def change_speed(audio: Array, factor: float) -> Array:
    """The sound `factor` times as fast, and as high, as a record player would do it (Ko et al. 2015).

    The whole clip is resampled by its spectrum, so nothing above the new limit folds back.
    """
    n = max(1, round(len(audio) / factor))
    played = np.fft.irfft(np.fft.rfft(audio)[: n // 2 + 1], n)
    return np.asarray(played * (n / len(audio)), dtype=np.float32)


def add_noise(audio: Array, decibels: float, rng: np.random.Generator) -> Array:
    """The sound with pink noise, whose energy falls with pitch as a room's does, `decibels` below it."""
    spectrum = np.fft.rfft(rng.standard_normal(len(audio)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(audio))
    power = np.sqrt(np.mean(audio**2) / max(float(np.mean(noise**2)), 1e-12)) * 10 ** (-decibels / 20)
    return np.asarray(audio + power * noise, dtype=np.float32)


def hide_bands(mel: Array, n_frames: int, rng: np.random.Generator) -> Array:
    """SpecAugment (Park et al. 2019) on features `[M, T]`, of which `n_frames` are sound: bands at the mean.

    Time is hidden within the sound alone, and never so much that nothing is left to read.
    """
    mel, heard = mel.copy(), mel[:, :n_frames]
    mean = heard.mean(dtype=np.float32)
    for _ in range(MASKS):
        width = int(rng.integers(0, int(min(WIDEST_TIME, SHARE_OF_TIME * n_frames)) + 1))
        start = int(rng.integers(0, n_frames - width + 1))
        mel[:, start : start + width] = mean
        height = int(rng.integers(0, int(SHARE_OF_PITCH * len(mel)) + 1))
        bottom = int(rng.integers(0, len(mel) - height + 1))
        mel[bottom : bottom + height] = mean
    return mel
