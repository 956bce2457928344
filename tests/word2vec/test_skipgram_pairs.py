"""The training pairs of skip-gram: neighbours in the window, and negative samples by their frequency."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tx.errors import UsageError
from tx.word2vec.skipgram_pairs import skipgram_pairs

TEXT = ["thou", "shalt", "not", "make", "a", "machine", "in", "the", "likeness", "of", "a", "human", "mind"]


@given(
    st.lists(st.sampled_from(TEXT), min_size=2, max_size=20),
    st.integers(1, 6),
    st.integers(0, 4),
    st.booleans(),
)
def test_each_neighbour_is_followed_by_its_negatives(
    words: list[str], window: int, negative: int, dynamic: bool
) -> None:
    if len(set(words)) < 2:
        return
    examples = skipgram_pairs(words, window, negative, 1, dynamic=dynamic)
    true = [(e.input, e.output) for e in examples if e.label]
    n = len(words)
    pairs = [(words[i], words[j]) for i in range(n) for j in range(n) if 0 < abs(i - j) <= window]
    assert true == pairs if not dynamic else not Counter(true) - Counter(pairs)
    for start in range(0, len(examples), negative + 1):
        first, *drawn = examples[start : start + negative + 1]
        assert first.label == 1 and len(drawn) == negative
        assert all(e.label == 0 and e.input == first.input and e.output != first.output for e in drawn)


def test_negatives_are_drawn_by_frequency_to_three_quarters() -> None:
    counts = np.array([1000, 100, 10, 1])
    examples = skipgram_pairs(["x", "y"], 1, 20_000, 3, (list("abcd"), counts))
    drawn = Counter(e.output for e in examples if not e.label)
    expected = counts**0.75 / (counts**0.75).sum()
    assert [drawn[word] / 40_000 for word in "abcd"] == pytest.approx(expected, abs=0.01)


def test_a_dynamic_window_is_drawn_evenly() -> None:
    words = [f"w{i}" for i in range(3000)]
    examples = skipgram_pairs(words, 3, 0, 1, dynamic=True)
    distance = Counter(abs(int(e.input[1:]) - int(e.output[1:])) for e in examples)
    assert [distance[d] / 6000 for d in (1, 2, 3)] == pytest.approx([1, 2 / 3, 1 / 3], abs=0.03)


def test_a_text_without_neighbours_is_a_usage_error() -> None:
    for words in (["one"], ["one", "one"]):
        with pytest.raises(UsageError):
            skipgram_pairs(words, 2, 2, 1)
