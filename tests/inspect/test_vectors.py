"""Word vectors as numbers for pictures: components of words and sums, and projections to two dimensions."""

import builtins
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tx.errors import TxError, UsageError
from tx.inspect.vectors import component_scale, component_strips, frequent_rows, map_words, pca
from tx.vectors import WordVectors
from tx.vectors.expression import Term, parse
from wordvectors import family, random_vectors

# --- components ---


def test_a_sum_is_between_its_terms_and_the_nearest_word() -> None:
    vectors = family()
    sums = [parse(text, vectors) for text in ("mail", "king", "2*king-man+woman", "ice")]
    groups = component_strips(vectors, sums, scale=2.0)
    assert [[strip.label for strip in group] for group in groups] == [
        ["mail", "king"],
        ["2*king", "\u2212 man", "+ woman", "2*king\u2212man+woman", "\u2248 queen"],
        ["ice"],
    ]
    king, man, woman, total, queen = groups[1]
    assert np.allclose(total.values, 2 * king.values - man.values + woman.values)
    assert np.allclose(queen.values, vectors.matrix[vectors.words.find("queen")] / 2)
    assert [strip.is_sum for strip in groups[1]] == [False, False, False, True, False]
    with pytest.raises(TxError, match="no vector for 'quen'"):
        component_strips(vectors, [[Term("quen")]], 1.0)


def test_the_scale_is_the_size_of_a_typical_component() -> None:
    vectors = random_vectors(2000, 30)
    assert component_scale(vectors) == pytest.approx(float(np.sqrt((vectors.matrix**2).mean())), rel=1e-5)
    assert component_scale(WordVectors.from_matrix(["a"], np.zeros((1, 3), np.float32))) == 1.0


# --- maps ---


@given(st.integers(3, 20), st.integers(1, 8), st.integers(0, 99))
def test_pca_finds_the_directions_of_most_variance(n: int, dim: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(n, dim))
    points, share = pca(x.astype(np.float32))
    variances = np.sort(np.linalg.eigvalsh(np.atleast_2d(np.cov(x.T.astype(np.float32)))))[::-1]
    found = points.var(axis=0, ddof=1)
    assert np.allclose(found[: min(dim, 2)], variances[:2], rtol=1e-3, atol=1e-5)
    assert share == pytest.approx(variances[:2].sum() / variances.sum(), rel=1e-3)


def test_a_map_places_similar_words_near_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    centers = np.repeat(rng.normal(size=(3, 10)), 5, axis=0)
    vectors = WordVectors.from_matrix(
        [f"{kind}{i}" for kind in "abc" for i in range(5)],
        ((centers + rng.normal(scale=0.05, size=(15, 10))) * rng.uniform(1, 9, (15, 1))).astype(np.float32),
    )
    pytest.importorskip("sklearn")
    for method in ("pca", "tsne"):
        points = map_words(vectors, range(15), method).points  # type: ignore[arg-type]
        distances = np.linalg.norm(points[:, None] - points[None], axis=2)
        near = np.argsort(distances, axis=1)[:, 1:5] // 5
        assert (near == np.arange(15)[:, None] // 5).all(), method
    again = map_words(vectors, range(15), "tsne").points
    assert np.array_equal(again, map_words(vectors, range(15), "tsne").points)
    with pytest.raises(UsageError, match="three words or more, got 2"):
        map_words(vectors, [1, 2])
    plain = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(TxError) as caught:
        map_words(vectors, range(15), "tsne")
    assert caught.value.hint == "pip install 'tx[tsne]'"


def test_the_first_words_with_a_letter_or_digit_are_mapped() -> None:
    vectors = WordVectors.from_matrix([",", "a", "''", "7", "'s", "b"], np.eye(6, dtype=np.float32))
    assert frequent_rows(vectors, 3) == [1, 3, 4] and frequent_rows(vectors, 100) == [1, 3, 4, 5]
