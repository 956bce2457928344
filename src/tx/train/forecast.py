"""What a run will cost, told before it starts: a few updates are timed, and nothing of them is kept."""

import time
from dataclasses import dataclass
from typing import Any

import torch

from tx.config.duration import format_duration
from tx.config.schema import TrainConfig
from tx.nn.device import peak_memory

TRIALS = 4


@dataclass
class Forecast:
    """Seconds of an update, updates of an epoch and of the run, its seconds and its memory in bytes."""

    seconds_per_step: float
    steps_per_epoch: float
    steps: int  # 0: unknown, until early stopping
    seconds: float
    memory: int

    def add_validation(self, share: float, max_seconds: float) -> None:
        """Count validation, which takes `share` of the time of the updates; a limit leaves fewer of these."""
        self.seconds *= 1 + share
        if max_seconds and self.seconds > max_seconds:
            self.steps = max(1, int(self.steps * max_seconds / self.seconds))
            self.seconds = max_seconds

    def __str__(self) -> str:
        pace = self.seconds_per_step
        told = f"{pace:.2f} s" if pace >= 0.1 else f"{1000 * pace:.1f} ms"
        speed = f"{told} a step, {self.steps_per_epoch:,.0f} steps an epoch"
        memory = f"about {self.memory / 2**30:.1f} GiB of memory"
        if not self.steps:
            return f"forecast: {speed}; until validation stops improving; {memory}"
        epochs = self.steps / self.steps_per_epoch
        length = f"{self.steps:,} steps in {format_duration(self.seconds)} ({epochs:.1f} epochs)"
        return f"forecast: {length}; {speed}; {memory}"


def forecast(
    trainer: Any, batches: list[Any], steps_per_epoch: float, config: TrainConfig, max_seconds: float
) -> Forecast:
    """Time forward and backward passes over `batches` (typical ones) with the model of `trainer`.

    `max_seconds` are those left for updates; 0: no limit.
    """
    device: torch.device = trainer.device
    best = float("inf")
    for batch in batches:
        torch.manual_seed(0)
        start = time.monotonic()
        trainer.gradients([batch])
        trainer.model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.monotonic() - start)
    seconds_per_step = best * config.grad_accum * 1.05  # the optimizer and the data cost a little, too
    limits = [config.max_steps or float("inf"), config.max_epochs * steps_per_epoch or float("inf")]
    if max_seconds:
        limits.append(max_seconds / seconds_per_step)
    steps = min(limits)
    known = steps != float("inf")
    # The optimizer's two moments and the moving average come on top of what the trial has seen.
    memory = peak_memory(device) + 12 * sum(p.numel() for p in trainer.model.parameters())
    return Forecast(
        seconds_per_step,
        steps_per_epoch,
        max(1, int(steps)) if known else 0,
        steps * seconds_per_step if known else 0.0,
        memory,
    )
