"""Word vectors as numbers for pictures: components of words and of sums of words, and maps in two dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError, UsageError
from tx.vectors.expression import Term
from tx.vectors.search import Matrix
from tx.vectors.word_vectors import WordVectors

_FREQUENT = 10_000  # words from which the scale of the components is computed

# --- components ---


@dataclass(frozen=True)
class Strip:
    """The components [dim] of a word or of a sum, divided by the scale."""

    label: str
    values: Matrix
    is_sum: bool = False


def component_scale(vectors: WordVectors) -> float:
    """The root mean square of the components of the most frequent words.

    Vectors of different tools differ in size; divided by this scale, a typical component is +1 or -1.
    """
    norms = np.asarray(vectors.norms[:_FREQUENT], np.float64)
    return float(np.sqrt((norms @ norms) / (len(norms) * vectors.dim))) or 1.0


def component_strips(vectors: WordVectors, sums: Sequence[Sequence[Term]], scale: float) -> list[list[Strip]]:
    """Groups of strips: consecutive single words are one group; a sum is a group with its terms.

    The last strip of a sum is the word nearest to it, as `tx analogy` finds it. Raises TxError for an unknown word.
    """
    groups: list[list[Strip]] = []
    words: list[Strip] = []  # the group of consecutive single words
    for terms in sums:
        query = vectors.query(terms)
        rows = vectors.matrix[list(query.rows)] / np.float32(scale)
        if len(terms) == 1 and terms[0].weight == 1:
            if not words:
                groups.append(words)
            words.append(Strip(terms[0].word, rows[0]))
            continue
        words = []
        signs = ["+" if term.weight > 0 else "\u2212" for term in terms]
        signs[0] = "" if terms[0].weight > 0 else signs[0]
        labels = [f"{sign} {term}".strip() for sign, term in zip(signs, terms, strict=True)]
        ((nearest, *_),) = vectors.search([query], 1)
        label = "".join(map("{}{}".format, signs, terms))
        total = Strip(label, np.array(query.weights, np.float32) @ rows, is_sum=True)
        found = Strip(f"\u2248 {vectors.words[nearest.row]}", vectors.matrix[nearest.row] / np.float32(scale))
        groups.append([*map(Strip, labels, rows), total, found])
    return groups


# --- maps ---


@dataclass(frozen=True)
class WordMap:
    """Words and their points [n, 2]; `note` says how these were computed."""

    words: list[str]
    points: NDArray[np.float64]
    note: str


def frequent_rows(vectors: WordVectors, n: int) -> list[int]:
    """The rows of the first `n` words with a letter or a digit."""
    rows = (row for row, word in enumerate(vectors.words) if any(map(str.isalnum, word)))
    return list(islice(rows, n))


def map_words(
    vectors: WordVectors, rows: Sequence[int], method: Literal["pca", "tsne"] = "pca", seed: int = 1
) -> WordMap:
    """Project the words in `rows` to two dimensions.

    PCA finds the two directions of most variance (Pearson 1901); t-SNE preserves which words are near each other
    (van der Maaten and Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html), but not large distances. Both
    use unit vectors, so that angles count and frequency does not. Raises TxError for fewer than three words, or
    without scikit-learn.
    """
    n = len(rows)
    if n < 3:
        raise UsageError(f"a map needs three words or more, got {n}", "give more words, or use --top N")
    unit, words = vectors.unit(rows), [vectors.words[row] for row in rows]
    if method == "pca":
        points, share = pca(unit)
        return WordMap(words, points, f"PCA of {n:,} unit vectors, {share:.0%} of their variance")
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise TxError("t-SNE needs scikit-learn, which is not installed", "pip install 'tx[tsne]'") from None
    start = "pca" if min(unit.shape) > 2 else "random"
    tsne = TSNE(2, perplexity=min(30.0, (n - 1) / 3), init=start, random_state=seed)
    points = np.asarray(tsne.fit_transform(np.asarray(unit, np.float32)), np.float64)
    return WordMap(words, points, f"t-SNE of {n:,} unit vectors, seed {seed}")


def pca(x: Matrix) -> tuple[NDArray[np.float64], float]:
    """The rows of `x` [n, dim] on their first two principal axes [n, 2], and the share of variance that these have.

    The sign of an axis is arbitrary: here its largest coordinate is positive.
    """
    centered = np.asarray(x, np.float64) - x.mean(axis=0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centered, full_matrices=False)
    points = np.zeros((len(x), 2))
    points[:, : min(2, len(s))] = (u * s)[:, :2]
    extreme = points[np.abs(points).argmax(axis=0), (0, 1)]
    total = float((s**2).sum())
    return points * np.where(extreme < 0, -1.0, 1.0), float((s[:2] ** 2).sum()) / total if total else 0.0
