"""What every engine draws from: kept words, noise words, first vectors, learning rates (Mikolov et al. 2013).

The paper is https://arxiv.org/abs/1310.4546; where it and its program word2vec.c differ (the formula of
subsampling), the program counts, as everybody measures against it.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tx.config.schema import Word2VecConfig

LOSS_PIECE = 128  # words of a block whose loss is measured, before subsampling
MIN_RATE = 1e-4  # the share of the learning rate that is left at the end

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]


def keep_probability(counts: NDArray[np.int64], subsample: float) -> Floats:
    """How likely an occurrence of each word is to be used, `[n_words]`: all of them where `subsample` is 0.

    A word that makes up the share f of the text is kept with probability sqrt(t / f) + t / f, at most 1.
    """
    if not subsample:
        return np.ones(len(counts))
    ratio = subsample * counts.sum() / counts
    return np.asarray(np.minimum(1.0, np.sqrt(ratio) + ratio))


def noise_distribution(counts: NDArray[np.int64]) -> Floats:
    """How likely each word is to be drawn as a negative sample: counts to the power 0.75, `[n_words]`."""
    weights = counts.astype(np.float64) ** 0.75
    return np.asarray(weights / weights.sum())


def alias_table(probability: Floats) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Tables to draw from a distribution in constant time (Walker 1977, Vose 1991).

    Draw a row evenly and a 32-bit number: the row itself if the number is below `threshold[row]`, else
    `alias[row]`.
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
    """Probabilities as numbers that an even 32-bit number lies below as often."""
    return np.minimum(probability * 2.0**32, 2.0**32 - 1).astype(np.uint32)


def initial_vectors(n_words: int, dim: int, seed: int) -> Matrix:
    """Even random numbers between -1 / dim and 1 / dim, `[n_words, dim]`.

    That is gensim's range; word2vec.c's is half of it, and learns a little less from a small text.
    """
    numbers = np.random.default_rng(seed).random((n_words, dim), np.float32)
    numbers -= np.float32(0.5)
    numbers /= np.float32(dim / 2)
    return numbers


def learning_rate(peak: float, share: float) -> float:
    """The learning rate when `share` of the run is over: it falls evenly, though never quite to zero."""
    return peak * max(MIN_RATE, 1 - share)


def negative_sampling_loss(
    matrices: Mapping[str, Matrix],
    ids: NDArray[np.int32],
    keep: Floats,
    noise: Floats,
    config: Word2VecConfig,
    generator: np.random.Generator,
) -> tuple[float, int]:
    """The summed negative-sampling loss of a short piece of a block, and the number of its pairs.

    `noise` is the cumulated noise distribution. For skip-gram a pair is a word and one near it, for CBOW a
    word and the mean of those near it.
    """
    vectors, context = matrices["vectors"], matrices["context"]
    start = int(generator.integers(max(1, len(ids) - LOSS_PIECE)))
    piece = ids[start : start + LOSS_PIECE]
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
