"""What all engines share: subsampling, negative sampling, initial vectors, learning rate (Mikolov et al. 2013).

The paper is https://arxiv.org/abs/1310.4546. Where its program word2vec.c differs from it (in the formula of
subsampling), the engines do what the program does, which is the reference for all other tools.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tx.word2vec.config import Word2VecConfig

MAX_SENTENCE = 1000  # words; longer lines are cut, as in word2vec.c
LOSS_WORDS = 128  # words of a block whose loss is computed, before subsampling
MIN_RATE = 1e-4  # the final learning rate, as a share of the peak

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]


def keep_probability(counts: NDArray[np.int64], subsample: float) -> Floats:
    """The probability that subsampling keeps an occurrence of each word, `[n_words]`; 1 if `subsample` is 0.

    With the threshold t = `subsample`, a word of relative frequency f is kept with probability sqrt(t / f) + t / f,
    at most 1.
    """
    if not subsample:
        return np.ones(len(counts))
    ratio = subsample * counts.sum() / counts
    return np.asarray(np.minimum(1.0, np.sqrt(ratio) + ratio))


def noise_distribution(counts: NDArray[np.int64]) -> Floats:
    """The probability of each word as a negative sample, proportional to its count to the power 0.75: `[n_words]`."""
    weights = counts.astype(np.float64) ** 0.75
    return np.asarray(weights / weights.sum())


def alias_table(probability: Floats) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """The tables (threshold, alias) of the alias method, for draws in constant time (Walker 1977, Vose 1991).

    To draw, take a uniform row and a uniform 32-bit number: the result is the row if the number is below
    `threshold[row]`, else `alias[row]`.
    """
    n = len(probability)
    share = probability * n
    threshold, alias = np.ones(n), np.arange(n, dtype=np.int32)
    small, large = np.flatnonzero(share < 1).tolist(), np.flatnonzero(share >= 1).tolist()
    while small and large:
        poor, rich = small.pop(), large[-1]
        threshold[poor], alias[poor] = share[poor], rich
        share[rich] -= 1 - share[poor]
        if share[rich] < 1:
            small.append(large.pop())
    return to_uint32(threshold), alias


def to_uint32(probability: Floats) -> NDArray[np.uint32]:
    """Probabilities as thresholds for a uniform 32-bit number."""
    return np.minimum(probability * 2.0**32, 2.0**32 - 1).astype(np.uint32)


def initial_vectors(n_words: int, dim: int, seed: int) -> Matrix:
    """Uniform random numbers between -1 / dim and 1 / dim, `[n_words, dim]`.

    This is gensim's range; word2vec.c's is half of it, and learns a little less from a small text.
    """
    numbers = np.random.default_rng(seed).random((n_words, dim), np.float32)
    numbers -= np.float32(0.5)
    numbers /= np.float32(dim / 2)
    return numbers


def learning_rate(peak: float, share: float) -> float:
    """The learning rate after `share` of the run: it decreases linearly, but not to zero."""
    return peak * max(MIN_RATE, 1 - share)


def negative_sampling_loss(
    matrices: Mapping[str, Matrix],
    ids: NDArray[np.int32],
    keep: Floats,
    noise: Floats,
    config: Word2VecConfig,
    generator: np.random.Generator,
) -> tuple[float, int]:
    """The sum of the negative-sampling losses in a short piece of a block, and the number of its pairs.

    `noise` is the cumulative noise distribution. A pair is a word and a word of its context (skip-gram), or a word
    and the mean of its context (CBOW).
    """
    vectors, context = matrices["vectors"], matrices["context"]
    start = int(generator.integers(max(1, len(ids) - LOSS_WORDS)))
    piece = ids[start : start + LOSS_WORDS]
    piece = piece[(piece < 0) | (generator.random(len(piece)) < keep[piece])]
    total, n_pairs = 0.0, 0
    for at, centre in enumerate(piece.tolist()):
        reach = int(generator.integers(1, config.window + 1))
        line = np.concatenate(([-1], piece[max(0, at - reach) : at], piece[at + 1 : at + 1 + reach], [-1]))
        middle = min(at, reach) + 1  # where the words after the centre begin
        ends = np.flatnonzero(line < 0)
        near = line[ends[ends < middle][-1] + 1 : ends[ends >= middle][0]]
        if centre < 0 or not len(near):
            continue
        negatives = np.searchsorted(noise, generator.random(config.negative)).clip(max=len(noise) - 1)
        outs = context[np.concatenate(([centre], negatives[negatives != centre]))]
        inputs = vectors[near] if config.method == "skipgram" else vectors[near].mean(0, keepdims=True)
        scores = (inputs @ outs.T).astype(np.float64)
        scores[:, 0] *= -1
        total += float(np.logaddexp(0, scores).sum())
        n_pairs += len(inputs)
    return total, n_pairs
