"""The bootstrap of scores that are made of counts: how far chance alone would move them.

Items are drawn anew, with replacement, as many as there are (Efron and Tibshirani 1993), and their counts added up;
two systems are compared on the same draws (Koehn 2004, "Statistical Significance Tests for Machine Translation
Evaluation").
"""

import numpy as np
from numpy.typing import NDArray

from tx.evaluate.metrics import SEED

Samples = NDArray[np.float64]  # [n_samples]: a score of each sample


def resampled_sums(counts: NDArray[np.int64], n_samples: int = 1000, seed: int = SEED) -> NDArray[np.int64]:
    """The sums `[n_samples, K]` of counts `[n_items, K]` over items drawn at random; the same for the same seed."""
    chance, n = np.random.default_rng(seed), len(counts)
    return np.stack([counts[chance.integers(n, size=n)].sum(axis=0) for _ in range(n_samples)])


def half_width(samples: Samples) -> float:
    """Half the width of the interval that holds 95 % of the samples."""
    low, high = np.quantile(samples, (0.025, 0.975))
    return float(high - low) / 2


def p_value(observed: float, differences: Samples) -> float:
    """Two-sided: how often chance moves a difference at least as far from its mean as the observed one is from 0."""
    extreme = np.abs(differences - differences.mean()) >= abs(observed) - 1e-12
    return float(extreme.sum() + 1) / (len(extreme) + 1)
