"""The engine `gensim`: the reference, for skip-gram and CBOW (Řehůřek and Sojka 2010).

Only gensim's inner loop is called, on lists of words. The training function around it is not used: it hangs if its
input or one of its workers raises an error, takes strings for lists of characters, and cannot be resumed.
"""

import copy

import numpy as np
from gensim.models.word2vec import Word2Vec
from gensim.models.word2vec_inner import train_batch_cbow, train_batch_sg
from numpy.typing import NDArray

from tx.word2vec.config import Word2VecConfig
from tx.word2vec.sampling import (
    MAX_SENTENCE,
    Matrix,
    initial_vectors,
    keep_probability,
    negative_sampling_loss,
    noise_distribution,
)

MAX_WORDS = 10_000  # in one call; the inner loop ignores further words and has room for as many sentences


class GensimEngine:
    """Vectors in training; see `tx.word2vec.engine.Engine`."""

    block = 1 << 15
    parallel = True

    def __init__(
        self, config: Word2VecConfig, words: list[str], counts: NDArray[np.int64], seed: int
    ) -> None:
        self.config = config
        self._cbow = config.method == "cbow"
        self._words = np.array(words, dtype=object)
        self._noise = noise_distribution(counts).cumsum()
        self._keep = keep_probability(counts, config.subsample)
        self._model = Word2Vec(
            vector_size=config.dim,
            window=config.window,
            negative=config.negative,
            sample=config.subsample,
            sg=not self._cbow,
            min_count=1,
            sorted_vocab=0,  # the words are sorted, and equally frequent ones have to stay in their order
            seed=seed % 2**32,
        )
        self._model.build_vocab_from_freq(dict(zip(words, counts.tolist(), strict=True)))
        assert self._model.wv.index_to_key == words
        self._model.wv.vectors[:] = initial_vectors(len(words), config.dim, seed)

    def matrices(self) -> dict[str, Matrix]:
        return {"vectors": self._model.wv.vectors, "context": self._model.syn1neg}

    def load(self, matrices: dict[str, Matrix]) -> None:
        for name, matrix in self.matrices().items():
            matrix[:] = matrices[name]

    def train(self, ids: NDArray[np.int32], rates: tuple[float, float], seed: int) -> tuple[float, int]:
        generator = np.random.default_rng(seed)
        # A shallow copy has its own random numbers, and shares the matrices.
        model = copy.copy(self._model)
        model.random = np.random.RandomState(generator.integers(2**32))
        loss = negative_sampling_loss(self.matrices(), ids, self._keep, self._noise, self.config, generator)
        work, mean = np.zeros(self.config.dim, np.float32), np.zeros(self.config.dim, np.float32)
        slope, n_done = (rates[1] - rates[0]) / max(1, len(ids)), 0
        for batch in sentence_batches(ids):
            sentences = [self._words[sentence].tolist() for sentence in batch]
            rate = rates[0] + slope * n_done
            if self._cbow:
                train_batch_cbow(model, sentences, rate, work, mean, False)
            else:
                train_batch_sg(model, sentences, rate, work, False)
            n_done += sum(map(len, batch))
        return loss


def sentence_batches(ids: NDArray[np.int32]) -> list[list[NDArray[np.int32]]]:
    """The sentences of a block, at most MAX_SENTENCE words long, in batches of at most MAX_WORDS words."""
    batches: list[list[NDArray[np.int32]]] = [[]]
    room = MAX_WORDS
    for line in np.split(ids, np.flatnonzero(ids < 0) + 1):
        line = line[line >= 0]
        for start in range(0, len(line), MAX_SENTENCE):
            sentence = line[start : start + MAX_SENTENCE]
            if len(sentence) > room:
                batches.append([])
                room = MAX_WORDS
            batches[-1].append(sentence)
            room -= len(sentence)
    return batches
