"""Language models: the probability of the next token of running text."""

from dataclasses import dataclass, field
from typing import Literal

from tx.config.schema import LoopConfig, LoopTrainConfig, TokenizedData, option
from tx.tasks.task import Task


@dataclass
class DataConfig(TokenizedData):
    """Running text, by default as characters."""

    tokenizer_kind: Literal["unigram", "bpe", "char", "word", "wordpiece", "alphabet"] = option(
        "alphabet", "Kind of the tokenizer to train"
    )
    valid_fraction: float = option(
        0.1, "Fraction of the text, at its end, to hold out if no validation text is given", ge=0, le=0.9
    )


@dataclass
class TrainConfig(LoopTrainConfig):
    """Batches of equally long sequences."""

    batch_size: int = option(32, "Sequences per batch", flag=True, ge=1)
    seq_len: int = option(
        128,
        "Tokens per sequence: the context length of a Transformer, or the truncated-BPTT length of an RNN",
        flag=True,
        ge=1,
    )
    eval_tokens: int = option(200_000, "Validation tokens to compute the loss on; 0: all", ge=0)


@dataclass
class Config(LoopConfig):
    """What configures the training of a language model."""

    task = "language-model"

    arch: str = option("rnn_lm", "Architecture")
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


TASK = Task(
    name="language-model",
    config=Config,
    training="tx.tasks.language_model.training",
    metrics={"loss": "loss {:.4f}", "bpc": "{:.3f} bits/char", "ppl": "ppl {:.2f}"},
    example="tx generate -m {out}",
)
