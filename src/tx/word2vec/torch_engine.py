"""The engine `torch`: skip-gram with negative sampling for a GPU, thousands of words in one update.

As in the engine `fast`, one set of negative samples serves all context words of a word. The gradients are computed
explicitly instead of by autograd, with one batched product for the scores and one for each side.

Shapes: N words of an update, C = 2 window positions around each, K = 1 + negative samples, D dim.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from tx.nn.device import choose_device
from tx.word2vec.config import Word2VecConfig
from tx.word2vec.sampling import Matrix, alias_table, initial_vectors, keep_probability, noise_distribution

UPDATE_WORDS = 1024  # words of one update
MAX_SUMMED = 32.0  # the number of pairs from which the gradients of a row are averaged instead of summed


class TorchEngine:
    """Vectors in training; see `tx.word2vec.engine.Engine`. Sums on a GPU have no fixed order."""

    block = 1 << 17
    parallel = False

    def __init__(self, config: Word2VecConfig, counts: NDArray[np.int64], seed: int, device: str) -> None:
        self.config, self.device = config, choose_device(device)
        shape = (len(counts), config.dim)
        self._vectors = torch.from_numpy(initial_vectors(*shape, seed)).to(self.device)
        self._context = torch.zeros(shape, device=self.device)
        self._keep = torch.from_numpy(keep_probability(counts, config.subsample)).float().to(self.device)
        threshold, alias = alias_table(noise_distribution(counts))
        self._threshold = torch.from_numpy(threshold.astype(np.float32) / 2.0**32).to(self.device)
        self._alias = torch.from_numpy(alias).long().to(self.device)
        reach = config.window
        self._offsets = torch.tensor([*range(-reach, 0), *range(1, reach + 1)], device=self.device)

    def matrices(self) -> dict[str, Matrix]:
        return {"vectors": self._vectors.cpu().numpy(), "context": self._context.cpu().numpy()}

    def load(self, matrices: dict[str, Matrix]) -> None:
        self._vectors.copy_(torch.from_numpy(matrices["vectors"]))
        self._context.copy_(torch.from_numpy(matrices["context"]))

    @torch.inference_mode()
    def train(self, ids: NDArray[np.int32], rates: tuple[float, float], seed: int) -> tuple[float, int]:
        generator = torch.Generator(self.device).manual_seed(seed % 2**63)
        all_words = torch.from_numpy(ids).to(self.device).long()
        line = (all_words < 0).cumsum(0)  # the number of the line that each word is on
        chance = torch.rand(all_words.shape, generator=generator, device=self.device)
        kept = (all_words >= 0) & (chance < self._keep[all_words.clamp(min=0)])
        words, line = all_words[kept], line[kept]
        loss, n_pairs = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        slope = (rates[1] - rates[0]) / max(1, len(words))
        for start in range(0, len(words), UPDATE_WORDS):
            rate = rates[0] + slope * start
            centres = torch.arange(start, min(start + UPDATE_WORDS, len(words)), device=self.device)
            summed, n = self._update(words, line, centres, rate, generator)
            loss, n_pairs = loss + summed, n_pairs + n
        return float(loss), int(n_pairs)

    def _add(self, matrix: Tensor, rows: Tensor, gradients: Tensor, n: Tensor) -> None:
        """Add `gradients`, each the sum over `n` pairs, to `rows` of a matrix.

        All are computed from the old matrix. So many as a frequent word has would overshoot; the sum for a row is
        therefore limited to MAX_SUMMED times their mean.
        """
        rows = rows.flatten()
        n_pairs = torch.zeros(len(matrix), device=self.device).index_add_(0, rows, n.flatten())
        scale = MAX_SUMMED / n_pairs[rows].clamp(min=MAX_SUMMED)
        matrix.index_add_(0, rows, gradients.flatten(0, 1) * scale[:, None])

    def _update(
        self, words: Tensor, line: Tensor, centres: Tensor, rate: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Train on the words at `centres`; return the summed loss and the number of pairs."""
        n = len(centres)
        reach = torch.randint(1, self.config.window + 1, (n, 1), generator=generator, device=self.device)
        places = centres[:, None] + self._offsets  # [N, C]
        inside = (places >= 0) & (places < len(words)) & (self._offsets.abs() <= reach)
        places = places.clamp(0, len(words) - 1)
        pairs = (inside & (line[places] == line[centres, None])).float()  # [N, C]
        near = words[places]
        true, shape = words[centres, None], (n, self.config.negative)
        rows = torch.randint(len(self._alias), shape, generator=generator, device=self.device)
        chance = torch.rand(shape, generator=generator, device=self.device)
        negatives = torch.where(chance < self._threshold[rows], rows, self._alias[rows])
        outs = torch.cat((true, negatives), 1)  # [N, K]
        counted = torch.cat((torch.ones_like(true), negatives != true), 1).float()[:, None]  # [N, 1, K]
        X, Y = self._vectors[near], self._context[outs]  # [N, C, D] [N, K, D]
        scores = X @ Y.transpose(1, 2)  # [N, C, K]
        weight = pairs[:, :, None] * counted
        label = torch.zeros_like(scores)
        label[:, :, 0] = 1
        G = (label - scores.sigmoid()) * weight * rate
        loss = -(logsigmoid(torch.where(label > 0, scores, -scores)) * weight).sum()
        self._add(self._vectors, near, G @ Y, pairs)
        self._add(self._context, outs, G.transpose(1, 2) @ X, weight.sum(1))
        return loss, pairs.sum()
