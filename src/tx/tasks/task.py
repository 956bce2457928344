"""The description of a task: what the command line and the model card show of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tx.config.schema import RunConfig


@dataclass(frozen=True)
class Task:
    """What a model can be trained for. Reading it imports nothing heavy."""

    name: str
    training: (
        str  # the module with `prepare(config, out, resume, listener)`, which returns a `tx.train.run.Run`
    )
    metrics: Mapping[str, str]  # how to format the metrics of a validation, by name; the most important first
    example: str  # the command to try after training, with {out} and {text}
    log_line: str = (
        "epoch {epochs:.2f}  loss {loss:.3f}  {tokens_per_s:,.0f} tokens/s"  # of a training record
    )
    log_seconds: float = 0.0  # the least time between two of these lines in a plain log
    distributed: bool = False  # torchrun may start it in several processes

    def prepare(self, config: RunConfig, out: Path, resume: bool, listener: Any) -> Any:
        """A run in the package `out` that is ready to train. Raises TxError for faults in data or configuration."""
        return import_module(self.training).prepare(config, out, resume, listener)

    def is_secondary(self) -> bool:
        """Whether this is a process of a distributed run that leaves files and messages to the first one."""
        return self.distributed and os.environ.get("RANK", "0") != "0"

    def format_metrics(self, values: Mapping[str, Any], prefix: str = "valid") -> list[str]:
        """The metrics among `values`, whose names have a prefix: "BLEU 27.31", "loss 2.0931"."""
        shown = ((text, values.get(f"{prefix}_{name}")) for name, text in self.metrics.items())
        return [text.format(value) for text, value in shown if value is not None]
