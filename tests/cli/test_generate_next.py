"""The most probable next words, against an enumeration of all spellings."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from languages import random_model, tokenizer_of
from tx.decode import next_word
from tx.decode.generate import LanguageModel, TorchLM
from tx.decode.next_word import next_words
from tx.text.alphabet import AlphabetTokenizer
from tx.text.incremental import encode_text

TINY = AlphabetTokenizer(" 'ab,")
WORDLIKE = "'ab"


def chances(model: Any, ids: list[int]) -> list[float]:
    with torch.inference_mode():
        logits, _ = model.feed(torch.tensor([[0, *ids]]), model.start(1))
    return logits[0].double().softmax(-1).tolist()  # type: ignore[no-any-return]


def enumerated(model: Any, prompt: str, longest: int) -> dict[str, float]:
    """The probability of every word of at most `longest` letters, by the definition."""
    prompt = prompt.rstrip(" ")
    ids = encode_text(prompt if prompt == "" or prompt.endswith("\n") else prompt + " ", TINY)
    found: dict[str, float] = defaultdict(float)

    def go(word: str, ids: list[int], probability: float) -> None:
        after = chances(model, ids)
        for id, chance in enumerate(after):
            letter = TINY.decode([id])
            if letter and letter in WORDLIKE:
                if len(word) < longest:
                    go(word + letter, [*ids, id], probability * chance)
            elif word.strip("'"):
                found[word] += probability * chance

    go("", ids, 1.0)
    return found


@given(st.integers(0, 10**6), st.sampled_from(["", "ab", "ab ", "b, a\n", "a'b  ", "x"]), st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_the_next_words_are_the_most_probable_of_all(seed: int, prompt: str, k: int) -> None:
    model = random_model("gru", len(TINY), seed)
    found = next_words(LanguageModel(TorchLM(model), TINY), prompt, k)
    assert found.certain
    probabilities = [p for _, p in found.words]
    assert len(probabilities) == k and probabilities == sorted(probabilities, reverse=True)
    longest = min(5, max(3, *(len(word) for word, _ in found.words)))
    expected = enumerated(model, prompt, longest)
    for word, probability in found.words:
        if len(word) <= longest:
            assert probability == pytest.approx(expected[word], rel=1e-4)
    assert probabilities[-1] >= sorted(expected.values())[-k] * (1 - 1e-4)


@pytest.mark.parametrize("kind", ["bpe", "word", "wordpiece", "unigram", "char"])
@pytest.mark.parametrize("prompt", ["They will", "", "They will eat a cake.\n"])
def test_pieces_of_words_join_to_words(kind: str, prompt: str) -> None:
    """A reader that knows one sentence and what comes after it."""
    tokenizer = tokenizer_of(kind)
    endings = {" eat a": 0.5, " eats a": 0.2, " eat, a": 0.1, " größer a": 0.2}
    begin = prompt == "" or prompt.endswith("\n")
    ways = [
        (encode_text(prompt + (text.strip() if begin else text), tokenizer), p) for text, p in endings.items()
    ]

    class Reader:
        def __init__(self) -> None:
            self.ids: list[int] = []
            self.activations: list[Any] = []

        def feed(self, ids: Any) -> Any:
            self.ids = [*self.ids, *ids]
            mass = np.full(len(tokenizer) - 1, 1e-9)
            at = len(self.ids) - 1
            for way, p in ways:
                if way[:at] == self.ids[1:] and len(way) > at:
                    mass[way[at]] += p
            return np.log(mass / mass.sum()).astype(np.float32)

        def copy(self) -> Any:
            twin = Reader()
            twin.ids = self.ids
            return twin

    found = next_words(LanguageModel(Reader(), tokenizer), prompt, 3)
    assert found.certain
    assert dict(found.words) == pytest.approx({"eat": 0.6, "eats": 0.2, "größer": 0.2}, abs=1e-3)


def test_words_without_an_end_are_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_word, "MAX_READ", 50)

    class Endless:
        activations: Any = ()

        def feed(self, ids: Any) -> Any:
            logits = np.full(len(TINY) - 1, -200.0, np.float32)
            logits[TINY.encode("a")] = 0
            return logits

        def copy(self) -> Any:
            return self

    found = next_words(LanguageModel(Endless(), TINY), "", 1)
    assert not found.certain
    assert all(probability < math.exp(-100) for _, probability in found.words)
