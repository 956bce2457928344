"""The description of a task: its configuration, and what the command line shows of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tx.config.schema import RunConfig
from tx.errors import TxError, UsageError

if TYPE_CHECKING:
    from tx.training.run import Listener, Run


@dataclass(frozen=True)
class Task:
    """What a model can be trained for. Reading it imports nothing heavy."""

    name: str
    config: type[RunConfig]
    # The module with `prepare(config, out, resume, listener)`, which returns a `tx.training.run.Run`.
    training: str
    # The formats of the metrics of a validation, by name; the most important first.
    metrics: Mapping[str, str]
    example: str  # the command to try after training, with {out} and {text}
    data: str = "FILE..."  # the training data on the command line
    reads_stdin: bool = False
    reads_folders: bool = False
    distributed: bool = False  # torchrun may start it in several processes
    log_line: str = "epoch {epochs:.2f}  loss {loss:.3f}  {tokens_per_s:,.0f} tokens/s"  # a training record
    log_seconds: float = 0.0  # the least time between two of these lines in a plain log

    def check_files(self, config: RunConfig) -> None:
        """Raise UsageError unless the task can use the files of a configuration, TxError if one is missing."""
        train, valid = config.data.train, getattr(config.data, "valid", [])
        pairs = self.data == "SRC TGT"
        for kind, paths, allowed in (("training", train, (2,)), ("validation", valid, (0, 2))):
            if pairs and len(paths) not in allowed:
                raise UsageError(
                    f"a translator needs a source and a target file of {kind} text, not {len(paths)} "
                    f"file{'s' * (len(paths) != 1)}",
                    "tx train RECIPE SRC TGT --valid SRC --valid TGT; for a language model: tx train char-rnn FILE",
                )
        if not train:
            raise UsageError("there is no training data", f"tx train {config.arch} {self.data} -o NAME")
        for path in (*train, *valid):
            if path == "-" and not self.reads_stdin:
                raise UsageError(
                    "training reads its text more than once, and cannot read it from a pipe",
                    "write it to a file first: cat > train.txt",
                )
            if not (path == "-" or Path(path).is_file() or (self.reads_folders and Path(path).is_dir())):
                raise TxError(
                    f"there is no file {path}", "check the path; relative paths start at the current folder"
                )

    def prepare(self, config: RunConfig, out: Path, resume: bool, listener: "Listener") -> "Run":
        """A run in the package `out`, ready to train. Raises TxError for faults in the data or configuration."""
        run: Run = import_module(self.training).prepare(config, out, resume, listener)
        return run

    def is_secondary(self) -> bool:
        """Whether this is a process of a distributed run that leaves files and messages to the first one."""
        return self.distributed and os.environ.get("RANK", "0") != "0"

    def format_metrics(self, values: Mapping[str, float], prefix: str = "valid") -> list[str]:
        """The metrics among `values`, whose names have a prefix: "BLEU 27.31", "loss 2.0931"."""
        shown = ((text, values.get(f"{prefix}_{name}")) for name, text in self.metrics.items())
        return [text.format(value) for text, value in shown if value is not None]
