"""What every training run has in common, whatever it trains: its progress, its forecast and its listener."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from tx.config.duration import format_duration


class Listener(Protocol):
    """Receives what happens in a run, in order to display it."""

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def train(self, record: dict[str, Any]) -> None:
        """Receive a line of the training log, with the `share` of the run that is done, 0 to 1."""

    def validated(self, record: dict[str, Any], samples: list[dict[str, str]], best: bool) -> None:
        """Receive the result of a validation.

        `record` holds the scores: "valid_NAME" those of the validation set, "also_SET_NAME" those of further sets.
        `samples` are outputs of the model, and `best` says whether this is the best validation so far.
        """


@dataclass
class Progress:
    """How far a run has come; a task that needs more extends it. Stored with every checkpoint."""

    step: int = 0  # update steps done
    epochs: float = 0.0
    seconds: float = 0.0  # over all parts of a run that was resumed
    tokens: int = 0  # trained on
    best_score: float = float("-inf")  # higher is better
    best_step: int = 0
    best_weights: str = ""  # which weights had the best score and are in the package
    best_values: dict[str, float] = field(default_factory=dict)  # the metrics of the best validation
    stale: int = 0  # validations since the best one
    evaluated: int = -1  # step of the last validation
    log_bytes: int = 0  # length of metrics.jsonl: what follows was written by a run that was killed
    finished: str = ""  # the limit that ended the run


@dataclass
class Forecast:
    """What a run will take, measured before it starts. Seconds, update steps, bytes; 0 where unknown."""

    seconds_per_step: float
    steps_per_epoch: float
    steps: int  # 0: until early stopping
    seconds: float = 0.0
    memory: int = 0
    eval_every: int = 0  # steps between validations
    seconds_per_validation: float = 0.0

    def add_validation(self, share: float, max_seconds: float) -> None:
        """Add validation, which takes `share` of the time of the updates; a time limit then leaves fewer steps."""
        self.seconds *= 1 + share
        if max_seconds and self.seconds > max_seconds:
            self.steps = max(1, int(self.steps * max_seconds / self.seconds))
            self.seconds = max_seconds

    def __str__(self) -> str:
        pace, length = self.seconds_per_step, "until validation stops improving"
        if self.steps:
            epochs = self.steps / self.steps_per_epoch
            length = f"{self.steps:,} steps in {format_duration(self.seconds)} ({epochs:.1f} epochs)"
        parts = [
            f"forecast: {length}",
            f"{pace:.2f} s per step" if pace >= 0.1 else f"{1000 * pace:.1f} ms per step",
            f"{self.steps_per_epoch:,.0f} steps per epoch",
        ]
        if self.memory:
            parts.append(f"about {self.memory / 2**30:.1f} GiB of memory")
        if self.eval_every:
            parts.append(f"validation every {self.eval_every:,} steps")
        if self.seconds_per_validation:
            parts.append(f"{format_duration(self.seconds_per_validation)} per validation")
        return "; ".join(parts)


class Run(Protocol):
    """A run that is ready to train; nothing has been written to its folder yet."""

    @property
    def forecast(self) -> Forecast | None:
        """None: the run to resume has ended already."""

    @property
    def progress(self) -> Progress: ...

    def share(self) -> float:
        """How much of the run is done, 0 to 1."""

    def current_loss(self) -> float | None:
        """The mean loss since the last line of the log, or None if it is unknown."""

    def train(self) -> Progress:
        """Train until a limit is reached or a signal asks to stop; in that case `finished` is empty."""
