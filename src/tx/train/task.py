"""What a task brings to a training run; the loop, the folder and the package are the same for all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tx.config.schema import RunConfig
from tx.data.sampler import Position
from tx.package import Package
from tx.package.write import SavesItself


@dataclass
class Evaluation:
    """What a validation found; a higher `score` is better."""

    score: float
    values: dict[str, float]  # loss, ppl, bleu, ...
    samples: list[dict[str, str]] = field(default_factory=list)


class Source(Protocol):
    """An endless supply of training batches: see `tx.data.sampler` and `tx.data.stream`."""

    position: Position

    def next(self) -> Any:
        """The batch at `position`, which then moves on."""

    def peek(self, i: int) -> Any:
        """A batch near `position`, which stays."""

    def epochs(self) -> float:
        """The position as a number of epochs."""

    def batches_per_epoch(self) -> int: ...

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs beside the position."""

    def load_state(self, state: dict[str, Tensor]) -> None: ...


@dataclass
class Material:
    """A model, its data, and what the package is told of them."""

    tokenizers: Mapping[str, SavesItself]  # as the package names them
    model: nn.Module
    source: Source
    evaluate: Callable[[], Evaluation]
    report: dict[str, Any]  # of the training data
    shown: Mapping[
        str, str
    ]  # values of an evaluation that the package keeps, best first: {"valid_loss": "loss"}
    how: str  # they were measured: "validation, greedy"
    evaluation_cost: float = 0.0  # in updates; 0 if that is not known beforehand


def gather(
    config: RunConfig, kept: Package | None, device: torch.device, say: Callable[[str], None]
) -> Material:
    """Everything that the task of `config` needs; `kept` holds the tokenizers of a run that is resumed.

    Raises TxError for faults in the data or the configuration.
    """
    module = import_module(_MODULES[config.task])
    return module.gather(config, kept, device, say)  # type: ignore[no-any-return]


_MODULES = {
    "translation": "tx.tasks.translation",
    "language-model": "tx.tasks.language_model",
    "tagging": "tx.tasks.tagging",
}
