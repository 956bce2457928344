"""Small word vectors, and the same ones in gensim, for tests."""

import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tx.cli.app import main
from tx.vectors import WordVectors

Run = Callable[..., tuple[str, str]]


def random_vectors(n_words: int = 500, dim: int = 20, seed: int = 1) -> WordVectors:
    """Words w0, w1, ... whose vectors lean to one side, as those of real words do."""
    matrix = np.random.default_rng(seed).normal(0.3, 1.0, (n_words, dim)).astype(np.float32)
    return WordVectors.from_matrix([f"w{i}" for i in range(n_words)], matrix, name="random")


def in_gensim(vectors: WordVectors) -> KeyedVectors:
    keyed = KeyedVectors(vectors.dim)
    keyed.add_vectors(list(vectors.words), np.array(vectors.matrix))
    return keyed


def family() -> WordVectors:
    """A vocabulary where sums of words come out exactly, with words that hold operators."""
    axes = {
        "king": (1, 1, 0, 0, 0),
        "queen": (1, -1, 0, 0, 0),
        "man": (0, 1, 0.1, 0, 0),
        "woman": (0, -1, 0.1, 0, 0),
        "ice-cream": (0, 0, 1, 1, 0),
        "ice": (0, 0, 1, 0, 0),
        "cream": (0, 0, 0, 1, 0),
        "mail": (0, 0, 0, 0, 1),
        "mother-in-law": (0.2, -1, 0.3, 0, 0.5),
        "mother": (0, -1, 0.3, 0, 0.5),
        "'s": (0.1, 0.1, 0.1, 0.1, -1),
        "c++": (0, 0, 0, 0.1, -1),
        "new york": (0.5, 0, -1, 0, 0.5),
    }
    return WordVectors.from_matrix(axes, np.array(list(axes.values()), np.float32), name="family")


def runner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs the whole command in this process; it gives stdout and stderr."""

    def run(*arguments: str, status: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["tx", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        assert (caught.value.code or 0) == status, out + err
        return out, err

    return run


def matches(found: Sequence[tuple[str, float]], expected: Sequence[tuple[str, float]]) -> bool:
    """Whether two lists of answers agree in words, and in scores to the rounding of float32."""
    return [word for word, _ in found] == [word for word, _ in expected] and bool(
        np.allclose([score for _, score in found], [score for _, score in expected], atol=1e-5)
    )
