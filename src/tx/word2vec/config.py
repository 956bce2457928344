"""The configuration of a run of word2vec."""

from dataclasses import dataclass, field
from typing import Literal

from tx.config.schema import DataConfig, RunConfig, option


@dataclass
class TrainConfig:
    """The learning rate, and the machine."""

    lr: float = option(0.025, "Initial learning rate; it decreases linearly to zero", flag=True, ge=0)
    device: str = option("auto", "auto, cpu, cuda or cuda:N", flag=True, metavar="DEVICE")
    threads: int = option(0, "CPU threads; 0: one per core", flag=True, ge=0)


@dataclass
class Word2VecConfig:
    """The vectors, the method, and the engine."""

    dim: int = option(100, "Dimension of the vectors", flag=True, ge=1)
    method: Literal["skipgram", "cbow"] = option(
        "skipgram",
        "skipgram: predict the context from a word; cbow: predict the word from its context",
        flag=True,
    )
    window: int = option(
        5, "Maximum window size; for each word the actual size is sampled from 1 to N", flag=True, ge=1
    )
    negative: int = option(5, "Negative samples per positive pair", flag=True, ge=1, le=100)
    min_count: int = option(5, "Ignore words that occur less often", flag=True, ge=1)
    subsample: float = option(
        1e-4, "Subsample words that make up more than this fraction of the text; 0: off", flag=True, ge=0
    )
    epochs: int = option(5, "Passes over the text", flag=True, ge=1)
    phrases: bool = option(False, "Join frequent phrases into one token: new_york", flag=True)
    phrase_threshold: float = option(100.0, "Minimum score for joining two words into a phrase", ge=0)
    engine: Literal["auto", "gensim", "fast", "torch"] = option(
        "auto",
        "fast: skip-gram with numba; torch: skip-gram on a GPU; gensim: skip-gram and CBOW",
        flag=True,
    )


@dataclass
class Config(RunConfig):
    """What configures a run of word2vec."""

    task = "vectors"
    hints = dict.fromkeys(
        ("train.max_steps", "train.max_epochs", "train.max_time"),
        "word2vec makes as many passes over the text as --epochs says",
    )

    arch: str = option("word2vec", "Architecture")
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    word2vec: Word2VecConfig = field(default_factory=Word2VecConfig)
