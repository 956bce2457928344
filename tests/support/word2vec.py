"""A text whose words belong to topics, and small runs on it, for the tests of word2vec."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tx.word2vec.config import Config

N_TOPICS, N_WORDS = 6, 12  # words of each topic
SMALL = {"dim": 16, "window": 3, "min_count": 2, "subsample": 0.0, "epochs": 3}


@cache
def home() -> Path:
    """A TX_HOME for all tests, so that numba compiles only once."""
    return Path(mkdtemp(prefix="tx-word2vec-"))


@contextmanager
def at_home() -> Iterator[None]:
    before = os.environ.get("TX_HOME")
    os.environ["TX_HOME"] = str(home())
    try:
        yield
    finally:
        os.environ.pop("TX_HOME")
        if before is not None:
            os.environ["TX_HOME"] = before


def topic_lines(n_lines: int = 1500, seed: int = 1) -> list[str]:
    """Lines of eight words of one topic: `t2w5` is word 5 of topic 2; and the words `the` and `of`, anywhere."""
    generator = np.random.default_rng(seed)
    lines = []
    for topic in generator.integers(N_TOPICS, size=n_lines):
        words = [f"t{topic}w{word}" for word in generator.integers(N_WORDS, size=8)]
        words.insert(int(generator.integers(9)), "the")
        words.insert(int(generator.integers(10)), "of")
        lines.append(" ".join(words))
    return lines


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def small_config(
    *texts: Path | str, lr: float = 0.05, threads: int = 1, seed: int = 1, **options: Any
) -> Config:
    """The configuration of a run that takes a second."""
    config = Config()
    config.arch, config.seed = "word2vec", seed
    config.data.train = [str(text) for text in texts]
    config.train.lr, config.train.threads, config.train.device = lr, threads, "cpu"
    for name, value in (SMALL | options).items():
        assert hasattr(config.word2vec, name)
        setattr(config.word2vec, name, value)
    return config


def same_topic_share(words: list[str], matrix: NDArray[Any]) -> float:
    """The share of the topic words whose five nearest neighbours all belong to the same topic."""
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -2)
    own = [i for i, word in enumerate(words) if word.startswith("t") and word[1].isdigit()]
    hits = [all(words[j][:2] == words[i][:2] for j in scores[i].argsort()[-5:]) for i in own]
    return float(np.mean(hits))


class RecordingListener:
    """Records what a run reports."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.records: list[dict[str, Any]] = []

    def info(self, message: str) -> None:
        self.messages.append(message)

    def warn(self, message: str) -> None:
        raise AssertionError(message)

    def train(self, record: dict[str, Any]) -> None:
        self.records.append(record)

    def validated(self, record: dict[str, Any], samples: list[dict[str, str]], best: bool) -> None:
        raise AssertionError("word vectors have no validation")
