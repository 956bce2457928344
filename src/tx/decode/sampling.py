"""Sampling a token: temperature, top-k (Fan et al. 2018) and top-p or nucleus sampling (Holtzman et al. 2020).

It uses numpy, so that models without torch sample the same tokens. The Gumbel-max trick (Gumbel 1954) in its
exponential form draws a time for each token with its probability as the rate, and takes the first. Unlike inverting
the cumulative distribution, this hardly ever turns a rounding error into another token.

Shape letters: N rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tx.errors import UsageError


@dataclass
class Sampling:
    """Sample from the `top_k` most probable tokens (0: all), and of these from the smallest set of mass `top_p`.

    A `temperature` of 0 is greedy.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise UsageError(
                f"the temperature is {self.temperature}, but must be 0 or more", "1 leaves it as it is"
            )
        if self.top_k < 0 or not 0 <= self.top_p <= 1:
            raise UsageError(
                f"top_k is {self.top_k} and top_p {self.top_p}", "top_k is 0 or more, and top_p from 0 to 1"
            )

    def generator(self, *numbers: int) -> np.random.Generator:
        """The random number generator of one text; it depends only on the seed and the `numbers` of the text."""
        return np.random.default_rng(list("/".join(map(str, (self.seed, *numbers))).encode()))


def draw(
    logits: NDArray[np.floating], sampling: Sampling, generators: Sequence[np.random.Generator]
) -> NDArray[np.int64]:
    """Sample one token per row of `logits` `[N, V]`, each with its own generator: `[N]`."""
    scores = logits / np.float64(sampling.temperature or 1.0)
    if 0 < sampling.top_k < scores.shape[1]:
        least = np.partition(scores, -sampling.top_k, axis=1)[:, -sampling.top_k, None]
        scores[scores < least] = -np.inf
    if sampling.top_p < 1:
        _keep_nucleus(scores, sampling.top_p)
    if sampling.temperature:
        scores -= np.log([each.standard_exponential(scores.shape[1]) for each in generators])
    drawn: NDArray[np.int64] = scores.argmax(axis=1)
    return drawn


def _keep_nucleus(scores: NDArray[np.float64], top_p: float) -> None:
    """Set all but the most probable tokens of each row, whose mass reaches `top_p`, to -inf."""
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    weights = np.exp(ranked - ranked[:, :1])
    before = weights.cumsum(axis=1) - weights
    ranked[before >= max(top_p, 1e-9) * weights.sum(axis=1, keepdims=True)] = -np.inf
    np.put_along_axis(scores, order, ranked, axis=1)
