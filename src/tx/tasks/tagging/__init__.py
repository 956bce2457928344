"""Tagging: a label for every word of a sentence, such as the named entity that it belongs to."""

from dataclasses import dataclass, field

from tx.config.schema import LoopConfig, LoopTrainConfig, TokenizedData, option
from tx.tasks.task import Task


@dataclass
class DataConfig(TokenizedData):
    """Tagged sentences in columns."""

    train: list[str] = option([], "Training text: a word and its tag on each line")  # noqa: RUF009
    vocab_size: int = option(2000, "Vocabulary size of the tokenizer to train", flag=True, ge=8)
    embeddings: str = option(
        "", "Package of word vectors to initialise the word embeddings with", flag=True, metavar="NAME"
    )
    valid_fraction: float = option(
        0.1, "Fraction of the sentences to hold out if no validation text is given", ge=0, le=0.9
    )


@dataclass
class TrainConfig(LoopTrainConfig):
    """Batches of sentences."""

    batch_size: int = option(32, "Sentences per batch", flag=True, ge=1)
    label_smoothing: float = option(0.0, "Not for the loss of a CRF", derived=True)


@dataclass
class Config(LoopConfig):
    """What configures the training of a tagger."""

    task = "tagging"

    arch: str = option("tagger", "Architecture")
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


TASK = Task(
    name="tagging",
    config=Config,
    training="tx.tasks.tagging.training",
    metrics={"f1": "F1 {:.2f}", "loss": "loss {:.4f}"},
    example="tx tag -m {out} --from columns {text} | head",
)
