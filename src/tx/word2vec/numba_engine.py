"""The engine `fast`: skip-gram with negative sampling on the CPU, compiled by numba.

One set of negative samples serves all context words of a centre word, which makes the computation small matrix
products (Ji et al. 2016, https://arxiv.org/abs/1604.04661) without loss of accuracy. The negative samples of the next
word are drawn, and their rows prefetched, while those of this word are processed: otherwise the processor would wait
for memory half of the time. Threads update the same matrices without locks (Niu et al. 2011,
https://arxiv.org/abs/1106.5730).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import uint32, uint64
from numpy.typing import NDArray

from tx.word2vec.config import Word2VecConfig
from tx.word2vec.jit import cached_jit, jit
from tx.word2vec.llvm_kernels import LANES, WIDTH, dots, prefetch, update
from tx.word2vec.sampling import (
    MAX_SENTENCE,
    Matrix,
    alias_table,
    initial_vectors,
    keep_probability,
    noise_distribution,
    to_uint32,
)

LOSS_EVERY = 32  # centre words; the loss is computed for one of so many

Kernel = Callable[..., tuple[float, int]]


@jit
def _next_state(state: Any) -> Any:
    """The next state of the random number generator xorshift64* (Marsaglia 2003, Vigna 2016)."""
    state ^= state >> uint64(12)
    state ^= state << uint64(25)
    return state ^ (state >> uint64(27))


@jit
def _bits(state: Any) -> Any:
    """64 random bits, of which the upper ones have the best quality."""
    return state * uint64(0x2545F4914F6CDD1D)


@jit
def _below(bits: Any, n: int) -> Any:
    """A uniform integer below `n`, from the upper 32 bits."""
    return ((bits >> uint64(32)) * uint64(n)) >> uint64(32)


@jit
def _sentence(ids: Any, at: int, keep: Any, words: Any, state: Any) -> tuple[int, int, Any]:
    """Write the words of the line at `at` that subsampling keeps into `words`.

    Returns their number, the position of the next line, and the state of the random number generator.
    """
    n = 0
    while at < len(ids) and n < len(words):
        word = ids[at]
        at += 1
        if word < 0:
            break
        state = _next_state(state)
        if uint32(_bits(state) >> uint64(32)) <= keep[word]:
            words[n] = word
            n += 1
    return n, at, state


@jit
def _draw_negatives(outs: Any, Y: Any, threshold: Any, alias: Any, state: Any) -> Any:
    """Fill `outs` from its second place with negative samples, and prefetch their rows of Y."""
    for k in range(1, len(outs)):
        state = _next_state(state)
        bits = _bits(state)
        row = np.int64(_below(bits, len(threshold)))
        outs[k] = row if uint32(bits) < threshold[row] else alias[row]
        prefetch(Y, outs[k])
    return state


@jit
def _to_gradients(g: Any, n: int, rate: Any) -> None:
    """Replace `n` scores f by -sigmoid(f) * rate.

    The sigmoid is (1 + tanh(f / 2)) / 2 with tanh as a continued fraction (Lambert 1768), clipped where that
    reaches 1: the error is 3e-5 at most, and the compiler can vectorize it.
    """
    for i in range(n):
        z = min(max(g[i] * np.float32(0.5), np.float32(-4.97)), np.float32(4.97))
        s = z * z
        over = z * (np.float32(135135) + s * (np.float32(17325) + s * (np.float32(378) + s)))
        under = np.float32(135135) + s * (np.float32(62370) + s * (np.float32(3150) + s * np.float32(28)))
        g[i] = np.float32(-0.5) * rate * (np.float32(1) + over / under)


@jit
def _loss(G: Any, outs: Any, m: int) -> float:
    """The summed loss of `m` pairs: the negative log-likelihood of label 1 for column 0, of label 0 for others."""
    total = 0.0
    for q in range(m):
        total += np.log1p(np.exp(-np.float64(G[q, 0])))
        for k in range(1, G.shape[1]):
            if outs[k] != outs[0]:
                total += np.log1p(np.exp(np.float64(G[q, k])))
    return total


@cache
def _kernel(negative: int, dim: int, window: int) -> Kernel:
    """The training loop with these sizes as constants; compiled at its first call, or loaded from the cache."""
    K, C = negative + 1, -(-dim // WIDTH)

    def train(
        ids: Any, X: Any, Y: Any, keep: Any, threshold: Any, alias: Any, rate: float, last: float, state: Any
    ) -> tuple[float, int]:
        words = np.empty(MAX_SENTENCE, np.int32)
        rows = np.empty(2 * window, np.int64)
        outs, following = np.zeros(K, np.int64), np.zeros(K, np.int64)
        G = np.zeros((2 * window, K), np.float32)
        g = G.reshape(-1)
        slope = (last - rate) / max(1, len(ids))
        at, loss, n_sampled, n_centres = 0, 0.0, 0, 0
        state = _draw_negatives(following, Y, threshold, alias, state)
        while at < len(ids):
            now = np.float32(rate + slope * at)
            n, at, state = _sentence(ids, at, keep, words, state)
            for i in range(n):
                state = _next_state(state)
                reach: Any = window - np.int64(_below(_bits(state), window))
                m = 0
                for j in range(max(0, i - reach), min(n, i + reach + 1)):
                    rows[m] = words[j]
                    m += j != i
                if m == 0:
                    continue
                outs, following = following, outs
                outs[0] = words[i]
                state = _draw_negatives(following, Y, threshold, alias, state)
                prefetch(Y, np.int64(words[min(i + 1, n - 1)]))
                prefetch(X, np.int64(words[min(i + window + 1, n - 1)]))
                dots(X, rows, m, Y, outs, G, K, C)
                if n_centres % LOSS_EVERY == 0:
                    loss += _loss(G, outs, m)
                    n_sampled += m
                n_centres += 1
                _to_gradients(g, m * K, now)
                for q in range(m):
                    G[q, 0] += now
                for k in range(1, K):
                    if outs[k] == outs[0]:  # the true word is not a negative sample
                        G[:m, k] = 0
                update(X, rows, m, Y, outs, G, K, C)
        return loss, n_sampled

    return cached_jit(train)


def aligned_zeros(n_words: int, dim: int) -> Matrix:
    """A matrix of zeros for the kernel: `[n_words, dim]` and padding, each row at a multiple of 64 bytes."""
    stride = -(-dim // LANES) * LANES
    raw = np.zeros(n_words * stride + LANES, np.float32)
    start = -raw.ctypes.data % 64 // 4
    return raw[start : start + n_words * stride].reshape(n_words, stride)


class FastEngine:
    """Skip-gram vectors in training; see `tx.word2vec.engine.Engine`."""

    block = 1 << 16
    parallel = True

    def __init__(self, config: Word2VecConfig, counts: NDArray[np.int64], seed: int) -> None:
        self.config = config
        shape = (len(counts), config.dim)
        self._vectors, self._context = aligned_zeros(*shape), aligned_zeros(*shape)
        self._vectors[:, : config.dim] = initial_vectors(*shape, seed)
        self._keep = to_uint32(keep_probability(counts, config.subsample))
        self._noise = alias_table(noise_distribution(counts))
        self._train = _kernel(config.negative, config.dim, config.window)
        self.train(np.empty(0, np.int32), (0.0, 0.0), 1)  # compile now, before the speed is measured

    def matrices(self) -> dict[str, Matrix]:
        dim = self.config.dim
        return {"vectors": self._vectors[:, :dim], "context": self._context[:, :dim]}

    def load(self, matrices: dict[str, Matrix]) -> None:
        for name, matrix in self.matrices().items():
            matrix[:] = matrices[name]

    def train(self, ids: NDArray[np.int32], rates: tuple[float, float], seed: int) -> tuple[float, int]:
        state = np.uint64(seed or 1)  # the random number generator cannot leave the state 0
        return self._train(ids, self._vectors, self._context, self._keep, *self._noise, *rates, state)
