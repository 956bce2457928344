"""Nearest neighbours of sums of word vectors, in one pass over the matrix for many queries at once.

Two ways to combine words. `add`: the word whose vector has the largest cosine with the weighted sum of the
unit vectors (3CosAdd; Mikolov, Yih and Zweig 2013, https://aclanthology.org/N13-1090). `mul`: the word with the
largest product of its cosines with the positive words over that with the negative ones, each cosine moved to
0..1 (3CosMul; Levy and Goldberg 2014, https://aclanthology.org/W14-1618), so that no single word can outweigh
the others; a weight is an exponent there.

Shapes: Q queries, T words of all of them, R rows of a block, K neighbours, D dimensions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tx.errors import UsageError
from tx.package.arrays import release

Matrix = NDArray[np.float32]
Method = Literal["add", "mul"]

_CELLS = 1 << 23  # scores computed at a time: 32 MB
_BYTES = 1 << 26  # of the matrix, read at a time
_EPSILON = 1e-6  # avoids division by zero in 3CosMul


@dataclass(frozen=True)
class Query:
    """Rows of the matrix with their weights, negative ones for words that are subtracted.

    Neither these rows nor those in `exclude` are returned as neighbours.
    """

    rows: tuple[int, ...]
    weights: tuple[float, ...]
    exclude: tuple[int, ...] = ()


@dataclass(frozen=True)
class Neighbor:
    """A row of the matrix and its score: a cosine, or for `mul` a ratio of products of cosines."""

    row: int
    score: float


def row_norms(matrix: Matrix) -> Matrix:
    """The Euclidean norm of each row; squared in float64, where nothing overflows or underflows."""
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    return np.sqrt(squares, dtype=np.float64).astype(np.float32)


def unit_rows(matrix: Matrix, norms: Matrix, rows: Sequence[int] | NDArray[np.int64]) -> Matrix:
    """The chosen rows divided by their norms; a row of zeros stays as it is."""
    chosen = np.asarray(rows, dtype=np.int64)
    return matrix[chosen] / _divisors(norms[chosen])[:, None]


def _divisors(norms: Matrix) -> Matrix:
    """The norms, with 1 instead of 0."""
    return np.where(norms == 0, np.float32(1), norms)


def nearest_neighbors(
    matrix: Matrix,
    norms: Matrix,
    queries: Sequence[Query],
    topn: int = 10,
    method: Method = "add",
    restrict_vocab: int | None = None,
) -> list[list[Neighbor]]:
    """The `topn` nearest neighbours for each query, nearest first, among the first `restrict_vocab` rows.

    `matrix` [n_words, D] has the Euclidean `norms` [n_words]. Raises UsageError for an unknown method.
    """
    if method not in get_args(Method):
        raise UsageError(f"'{method}' is not a method of search", f"choose {' or '.join(get_args(Method))}")
    if not queries:
        return []
    n_rows = min(len(matrix), restrict_vocab or len(matrix))
    topn = min(topn, n_rows)
    excluded = [(i, row) for i, query in enumerate(queries) for row in (*query.rows, *query.exclude)]
    excluded_from, excluded_rows = np.array(excluded, np.int64).reshape(-1, 2).T
    best_rows = np.zeros((len(queries), 0), np.int64)
    best_scores = np.zeros((len(queries), 0), np.float32)
    for start, scores in _score_blocks(matrix, norms, queries, method, n_rows):
        inside = (excluded_rows >= start) & (excluded_rows < start + scores.shape[1])
        scores[excluded_from[inside], excluded_rows[inside] - start] = -np.inf
        if topn == 1:
            columns = scores.argmax(axis=1)[:, None]
        elif topn >= scores.shape[1]:
            columns = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
        else:  # sorted, so that of equal scores the first rows win
            columns = np.sort(np.argpartition(scores, -topn, axis=1)[:, -topn:], axis=1)  # [Q, K]
        best_rows = np.concatenate([best_rows, columns + start], axis=1)
        best_scores = np.concatenate([best_scores, np.take_along_axis(scores, columns, 1)], axis=1)
        order = np.argsort(-best_scores, axis=1, kind="stable")[:, :topn]
        best_rows = np.take_along_axis(best_rows, order, 1)
        best_scores = np.take_along_axis(best_scores, order, 1)
    return [
        [Neighbor(row, score) for row, score in zip(rows, scores, strict=True) if score > -np.inf]
        for rows, scores in zip(best_rows.tolist(), best_scores.tolist(), strict=True)
    ]


def _score_blocks(
    matrix: Matrix, norms: Matrix, queries: Sequence[Query], method: Method, n_rows: int
) -> Iterator[tuple[int, Matrix]]:
    """The scores [Q, R] of one block of the vocabulary after another, with the first row of each."""
    dim = matrix.shape[1]
    units = [unit_rows(matrix, norms, query.rows) for query in queries]
    weights = [np.array(query.weights, np.float32) for query in queries]
    if method == "add":
        sums = np.stack([weight @ unit for weight, unit in zip(weights, units, strict=True)])  # [Q, D]
        words = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.float32(1e-30))
    else:
        words = np.concatenate(units)  # [T, D]
    size = max(1024, min(_CELLS // len(words), _BYTES // (4 * dim)))
    for start in range(0, n_rows, size):
        end = min(start + size, n_rows)
        lengths, block = _divisors(norms[start:end]), matrix[start:end]
        if len(words) > dim:  # the smaller of the two arrays is divided
            cosines = words @ (block / lengths[:, None]).T
        else:
            cosines = words @ block.T
            cosines /= lengths
        yield start, cosines if method == "add" else _three_cos_mul(cosines, weights)
        release(matrix)  # a matrix may be larger than the memory


def _three_cos_mul(cosines: Matrix, weights: Sequence[Matrix]) -> Matrix:
    """The score [Q, R] of each query from the cosines [T, R] of all words of the queries, one after another."""
    shifted = (1 + cosines) / 2
    scores, at = np.empty((len(weights), cosines.shape[1]), np.float32), 0
    for i, weight in enumerate(weights):
        powers = np.maximum(shifted[at : at + len(weight)], 0) ** np.abs(weight)[:, None]
        scores[i] = powers[weight > 0].prod(axis=0) / (powers[weight < 0].prod(axis=0) + np.float32(_EPSILON))
        at += len(weight)
    return scores
