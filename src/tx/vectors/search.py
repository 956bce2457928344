"""The words nearest to a sum of words, in one pass over the matrix for many questions at once.

Two ways to combine terms. `add`: the word whose vector has the largest cosine with the weighted sum of the
terms' unit vectors (3CosAdd; Mikolov, Yih and Zweig 2013, https://aclanthology.org/N13-1090). `mul`: the one
with the largest product of its cosines with the positive terms over that with the negative ones, each cosine
moved to 0..1 (3CosMul; Levy and Goldberg 2014, https://aclanthology.org/W14-1618), where no single term can
outweigh the others; a weight is an exponent there.

Shape letters: Q questions, T terms of all of them, R rows of a block, K answers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tx.package.arrays import release
from tx.vectors.store import Matrix, WordVectors

Method = Literal["add", "mul"]
METHODS: tuple[Method, ...] = ("add", "mul")

_CELLS = 1 << 23  # scores computed at a time: 32 MB
_BYTES = 1 << 26  # of the matrix, read at a time
_EPSILON = 1e-6  # of 3CosMul: keeps a division by zero away


@dataclass(frozen=True)
class Question:
    """Rows of the matrix with their weights; a row whose weight is negative is subtracted.

    The rows asked with are never among the answers, nor are those in `exclude`.
    """

    rows: tuple[int, ...]
    weights: tuple[float, ...]
    exclude: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    row: int
    score: float  # a cosine, or for `mul` a ratio of products


def search(
    vectors: WordVectors,
    questions: Sequence[Question],
    top: int = 10,
    method: Method = "add",
    restrict: int | None = None,
) -> list[list[Answer]]:
    """The `top` best answers to each question, best first, among the first `restrict` words."""
    if not questions:
        return []
    n_rows = min(len(vectors.words), restrict or len(vectors.words))
    top = min(top, n_rows)
    taken = [(i, row) for i, question in enumerate(questions) for row in (*question.rows, *question.exclude)]
    taken_by, taken_rows = np.array(taken, np.int64).reshape(-1, 2).T
    best_rows = np.zeros((len(questions), 0), np.int64)
    best_scores = np.zeros((len(questions), 0), np.float32)
    for start, scores in _blocks(vectors, questions, method, n_rows):
        inside = (taken_rows >= start) & (taken_rows < start + scores.shape[1])
        scores[taken_by[inside], taken_rows[inside] - start] = -np.inf
        columns = _largest(scores, top)  # [Q, K]
        best_rows = np.concatenate([best_rows, columns + start], axis=1)
        best_scores = np.concatenate([best_scores, np.take_along_axis(scores, columns, 1)], axis=1)
        kept = np.argsort(-best_scores, axis=1, kind="stable")[:, :top]
        best_rows = np.take_along_axis(best_rows, kept, 1)
        best_scores = np.take_along_axis(best_scores, kept, 1)
    return [
        [Answer(row, score) for row, score in zip(rows, scores, strict=True) if score > -np.inf]
        for rows, scores in zip(best_rows.tolist(), best_scores.tolist(), strict=True)
    ]


def _largest(scores: Matrix, top: int) -> NDArray[np.int64]:
    """The columns of the `top` largest scores of each row, in the order of the columns: [Q, K]."""
    if top == 1:
        return np.asarray(scores.argmax(axis=1))[:, None]
    if top >= scores.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.sort(np.argpartition(scores, -top, axis=1)[:, -top:], axis=1)


def _blocks(
    vectors: WordVectors, questions: Sequence[Question], method: Method, n_rows: int
) -> Iterator[tuple[int, Matrix]]:
    """The scores [Q, R] of block after block of the vocabulary, with the first row of each."""
    units = [vectors.unit(question.rows) for question in questions]
    weights = [np.array(question.weights, np.float32) for question in questions]
    if method == "add":
        sums = np.stack([weight @ unit for weight, unit in zip(weights, units, strict=True)])  # [Q, D]
        terms = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.float32(1e-30))
    else:
        terms = np.concatenate(units)  # [T, D]
    size = max(1024, min(_CELLS // len(terms), _BYTES // (4 * vectors.dim)))
    for start in range(0, n_rows, size):
        end = min(start + size, n_rows)
        lengths = np.array(vectors.norms[start:end])
        lengths[lengths == 0] = 1
        block = vectors.matrix[start:end]
        if len(terms) > vectors.dim:  # whichever has fewer numbers is divided
            cosines = terms @ (block / lengths[:, None]).T
        else:
            cosines = terms @ block.T
            cosines /= lengths
        yield start, cosines if method == "add" else _ratios(cosines, weights)
        release(vectors.matrix)  # a matrix may be larger than the memory


def _ratios(cosines: Matrix, weights: Sequence[Matrix]) -> Matrix:
    """3CosMul of each question, from the cosines [T, R] of all its terms in a row."""
    shifted = (1 + cosines) / 2
    scores, at = np.empty((len(weights), cosines.shape[1]), np.float32), 0
    for i, weight in enumerate(weights):
        powers = np.maximum(shifted[at : at + len(weight)], 0) ** np.abs(weight)[:, None]
        scores[i] = powers[weight > 0].prod(axis=0) / (powers[weight < 0].prod(axis=0) + np.float32(_EPSILON))
        at += len(weight)
    return scores
