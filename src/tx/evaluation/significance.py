"""Bootstrap resampling of scores that are computed from counts: confidence intervals and significance tests.

The items of a test set are drawn with replacement, as many as there are (Efron and Tibshirani 1993); two systems are
compared on the same samples (Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation").
"""

import numpy as np
from numpy.typing import NDArray

from tx.evaluation.metrics import SEED

Samples = NDArray[np.float64]  # [n_samples]: the score of each sample


def bootstrap(counts: NDArray[np.int64], n_samples: int = 1000, seed: int = SEED) -> NDArray[np.int64]:
    """The sums `[n_samples, K]` of counts `[n_items, K]` over bootstrap samples of the items.

    Equal seeds and numbers of items give the same samples.
    """
    rng, n = np.random.default_rng(seed), len(counts)
    return np.stack([counts[rng.integers(n, size=n)].sum(axis=0) for _ in range(n_samples)])


def confidence_interval(samples: Samples) -> float:
    """The half width of the 95% confidence interval."""
    low, high = np.quantile(samples, (0.025, 0.975))
    return float(high - low) / 2


def p_value(observed: float, differences: Samples) -> float:
    """The two-sided p-value of an observed difference, from the differences on the samples.

    As in sacreBLEU: the share of samples whose difference is at least as far from the mean of all as the observed
    one is from 0.
    """
    extreme = np.abs(differences - differences.mean()) >= abs(observed) - 1e-12
    return float(extreme.sum() + 1) / (len(extreme) + 1)
