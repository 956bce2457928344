"""The limits of a run: update steps, epochs, time, and validations without improvement (early stopping)."""

from dataclasses import astuple, dataclass

from tx.config.duration import parse_duration
from tx.config.schema import TrainConfig
from tx.training.run import Progress


@dataclass(frozen=True)
class Limits:
    """0 means no limit."""

    max_steps: int
    max_epochs: int
    max_seconds: float
    patience: int

    @classmethod
    def of(cls, config: TrainConfig) -> "Limits":
        """The limits that a configuration sets."""
        seconds = parse_duration(config.max_time) if config.max_time else 0.0
        return cls(config.max_steps, config.max_epochs, seconds, config.patience)

    def numbers(self) -> list[float]:
        """The limits as a checkpoint stores them."""
        return list(astuple(self))

    def share(self, progress: Progress) -> float:
        """How much of the run is done, 0 to 1, by the nearest limit."""
        done = ((progress.step, self.max_steps), (progress.epochs, self.max_epochs))
        shares = [at / limit for at, limit in (*done, (progress.seconds, self.max_seconds)) if limit]
        return min(1.0, max(shares, default=0.0))

    def reached(self, progress: Progress, reserve: float = 0.0) -> str:
        """The name of the limit that is reached, or "". `reserve`: seconds to leave for the last validation."""
        if self.max_steps and progress.step >= self.max_steps:
            return "max_steps"
        if self.max_epochs and progress.epochs >= self.max_epochs:
            return "max_epochs"
        if self.max_seconds and progress.seconds >= self.max_seconds - reserve:
            return "max_time"
        return "patience" if 0 < self.patience <= progress.stale else ""
