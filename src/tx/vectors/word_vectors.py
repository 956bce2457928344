"""Word vectors in use: look a word up, compare two, find the nearest neighbours. The names are those of gensim."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.vectors.search import Matrix, Method, Neighbor, Query, nearest_neighbors, row_norms, unit_rows
from tx.vectors.vocabulary import Vocabulary

Counts = NDArray[np.int64]
Words = str | Sequence[str | tuple[str, float]]  # words, each with a weight or without


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words, and a row of the matrix for each of them; `vectors["king"]` is the vector of a word."""

    name: str
    words: Vocabulary  # most frequent first, where the counts are known
    matrix: Matrix  # [n_words, dim], memory-mapped and read-only if it comes from a package
    norms: Matrix  # [n_words], Euclidean
    counts: Counts | None = None

    @classmethod
    def from_matrix(
        cls, words: Iterable[str], matrix: Matrix, counts: Counts | None = None, name: str = ""
    ) -> Self:
        """Vectors that are in memory already."""
        text = "".join(f"{word}\n" for word in words).encode()
        return cls(name, Vocabulary(text), matrix, row_norms(matrix), counts)

    @property
    def dim(self) -> int:
        return int(self.matrix.shape[1])

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self.find(word) is not None

    def __getitem__(self, word: str) -> Matrix:
        """The vector [dim] of a word. Raises UnknownWordError, which is a KeyError."""
        vector: Matrix = self.matrix[self.row(word)]
        return vector

    def find(self, word: str) -> int | None:
        """The row of `word`, or of the subword piece that begins a word and is spelled so, or None."""
        row = self.words.find(word)
        return row if row is not None else self.words.find("\u2581" + word)

    def row(self, word: str) -> int:
        """The row of `word`. Raises UnknownWordError, with words of similar spelling in its hint."""
        row = self.find(word)
        if row is None:
            raise self.words.unknown_word(word, self.name)
        return row

    def unit(self, rows: Sequence[int] | NDArray[np.int64]) -> Matrix:
        """The unit vectors of `rows` [n, dim]; a vector of zeros stays as it is."""
        return unit_rows(self.matrix, self.norms, rows)

    def similarity(self, a: str, b: str) -> float:
        """The cosine similarity of two words. Raises UnknownWordError."""
        x, y = self.unit([self.row(a), self.row(b)])
        return float(x @ y)

    def most_similar(
        self,
        positive: Words | None = None,
        negative: Words | None = None,
        topn: int = 10,
        restrict_vocab: int | None = None,
        method: Method = "add",
    ) -> list[tuple[str, float]]:
        """The `topn` words nearest to the sum of the positive words minus the negative ones, with their cosines.

        A word may be a pair (word, weight). `restrict_vocab` searches the first words only. With the method
        "mul", the scores are those of 3CosMul. Raises UnknownWordError for a word without a vector, and TxError
        if the words cancel each other out.
        """
        terms = [
            (word, sign) if isinstance(word, str) else (word[0], sign * word[1])
            for sign, words in ((1.0, positive), (-1.0, negative))
            for word in ([words] if isinstance(words, str) else words or ())
        ]
        return self.named(self.search([self.query(terms)], topn, method, restrict_vocab)[0])

    def query(self, terms: Iterable[tuple[str, float]]) -> Query:
        """The query for words with their weights. Raises TxError as `most_similar` does."""
        rows, weights = [], []
        sums: dict[int, float] = defaultdict(float)
        for word, weight in terms:
            rows.append(self.row(word))
            weights.append(weight)
            sums[rows[-1]] += weight
        if not any(sums.values()):
            raise TxError("the words cancel each other out", "a sum needs a word that remains")
        return Query(tuple(rows), tuple(weights))

    def search(
        self,
        queries: Sequence[Query],
        topn: int = 10,
        method: Method = "add",
        restrict_vocab: int | None = None,
    ) -> list[list[Neighbor]]:
        """The nearest neighbours for each of many queries, in one pass over the matrix."""
        return nearest_neighbors(self.matrix, self.norms, queries, topn, method, restrict_vocab)

    def named(self, neighbors: Iterable[Neighbor]) -> list[tuple[str, float]]:
        """Neighbours as words and scores."""
        return [(self.words[neighbor.row], neighbor.score) for neighbor in neighbors]
