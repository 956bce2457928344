"""Drawing a token at random: temperature, top-k (Fan et al. 2018) and top-p, the nucleus (Holtzman et al. 2020).

In numpy, so that a model that is read without torch draws the same tokens. Tokens run a race: each takes a time
from the exponential distribution with its probability as the rate, and the first to arrive is drawn (Gumbel 1954).
Unlike a point on the cumulated probabilities, this hardly ever turns a rounding error into another token.

Shape letters: N rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Sampling:
    """How to draw a token: from the `top_k` likeliest, of them the smallest set of mass `top_p`; 0 and 1: all.

    A `temperature` of 0 always takes the likeliest.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1

    def generator(self, *numbers: int) -> np.random.Generator:
        """The random numbers of one text, which depend on the seed and the text's own numbers alone."""
        return np.random.default_rng(list("/".join(map(str, (self.seed, *numbers))).encode()))


def draw(
    logits: NDArray[np.floating], sampling: Sampling, sources: Sequence[np.random.Generator]
) -> NDArray[np.int64]:
    """Draw one token per row of `logits` `[N, V]`, each from its own source of random numbers: `[N]`."""
    scores = logits / np.float64(sampling.temperature or 1.0)
    if 0 < sampling.top_k < scores.shape[1]:
        least = np.partition(scores, -sampling.top_k, axis=1)[:, -sampling.top_k, None]
        scores[scores < least] = -np.inf
    if sampling.top_p < 1:
        _keep_nucleus(scores, sampling.top_p)
    if sampling.temperature:
        scores -= np.log([source.standard_exponential(scores.shape[1]) for source in sources])
    drawn: NDArray[np.int64] = scores.argmax(axis=1)
    return drawn


def _keep_nucleus(scores: NDArray[np.float64], top_p: float) -> None:
    """Set to -inf all but the likeliest of each row, as many as it takes to reach a mass of `top_p`."""
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    weights = np.exp(ranked - ranked[:, :1])
    before = weights.cumsum(axis=1) - weights
    ranked[before >= max(top_p, 1e-9) * weights.sum(axis=1, keepdims=True)] = -np.inf
    np.put_along_axis(scores, order, ranked, axis=1)
