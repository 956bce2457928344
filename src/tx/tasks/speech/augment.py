"""Augmentation of speech: speed perturbation, noise and SpecAugment."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

N_MASKS = 2  # of time, and of frequency
MAX_TIME_MASK = 100  # frames: 1 s
MAX_TIME_SHARE = 0.2  # of the clip, in each mask
MAX_FREQUENCY_SHARE = 0.25  # of the mel bins, in each mask


def change_speed(audio: Array, factor: float) -> Array:
    """The sound played `factor` times as fast, which changes its pitch too (Ko et al. 2015).

    The whole clip is resampled in the frequency domain, so there is no aliasing.
    """
    n = max(1, round(len(audio) / factor))
    resampled = np.fft.irfft(np.fft.rfft(audio)[: n // 2 + 1], n)
    return np.asarray(resampled * (n / len(audio)), dtype=np.float32)


def add_noise(audio: Array, snr: float, rng: np.random.Generator) -> Array:
    """The sound with pink noise at a signal-to-noise ratio of `snr` dB."""
    spectrum = np.fft.rfft(rng.standard_normal(len(audio)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(audio))
    gain = np.sqrt(np.mean(audio**2) / max(float(np.mean(noise**2)), 1e-12)) * 10 ** (-snr / 20)
    return np.asarray(audio + gain * noise, dtype=np.float32)


def spec_augment(mel: Array, n_frames: int, rng: np.random.Generator) -> Array:
    """SpecAugment (Park et al. 2019) on features `[M, T]`, of which `n_frames` are sound: bands set to the mean.

    Time masks lie within the sound, and leave most of it.
    """
    mean = mel[:, :n_frames].mean(dtype=np.float32)
    mel = mel.copy()
    for _ in range(N_MASKS):
        width = int(rng.integers(0, int(min(MAX_TIME_MASK, MAX_TIME_SHARE * n_frames)) + 1))
        start = int(rng.integers(0, n_frames - width + 1))
        mel[:, start : start + width] = mean
        height = int(rng.integers(0, int(MAX_FREQUENCY_SHARE * len(mel)) + 1))
        bottom = int(rng.integers(0, len(mel) - height + 1))
        mel[bottom : bottom + height] = mean
    return mel
