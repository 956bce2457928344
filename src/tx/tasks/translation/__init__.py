"""Translation: a model that writes the target sentence for a source sentence."""

from dataclasses import dataclass, field
from typing import Literal

from tx.config.schema import LoopConfig, LoopTrainConfig, TokenizedData, option
from tx.decode.config import DecodeConfig
from tx.tasks.task import Task


@dataclass
class DataConfig(TokenizedData):
    """Sentence pairs: a source file and a target file."""

    train: list[str] = option([], "Training text: source file, then target file")  # noqa: RUF009
    shared_vocab: bool = option(True, "Use one vocabulary for both sides")
    sampling: float = option(
        0.0, "Subword regularization in training (BPE-dropout or unigram alpha); 0: off", ge=0, le=1
    )
    max_len: int = option(128, "Drop pairs in which either side has more than this number of pieces", ge=1)
    max_ratio: float = option(
        4.0,
        "Drop pairs in which one side has more than max_ratio * (pieces of the other side) + 5 pieces",
        ge=1,
    )
    deduplicate: bool = option(True, "Drop duplicate pairs")
    n_valid: int = option(1000, "Pairs to hold out if no validation text is given", ge=1)


@dataclass
class TrainConfig(LoopTrainConfig):
    """Batches of about as many tokens, and validation by translating."""

    batch_tokens: int = option(4096, "Target tokens per batch, padding included", flag=True, ge=1)
    label_smoothing: float = option(
        0.1, "Label smoothing (probability mass spread over the vocabulary)", ge=0, le=1
    )
    metric: Literal["bleu", "loss"] = option("bleu", "Metric for choosing the best model")
    eval_lines: int = option(500, "Validation lines to translate for BLEU", ge=1)


@dataclass
class Config(LoopConfig):
    """What configures the training of a translator."""

    task = "translation"

    arch: str = option("transformer", "Architecture")
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)


TASK = Task(
    name="translation",
    config=Config,
    training="tx.tasks.translation.training",
    metrics={"bleu": "BLEU {:.2f}", "loss": "loss {:.4f}", "ppl": "ppl {:.2f}"},
    example="tx translate -m {out} {text} | head",
    data="SRC TGT",
)
