"""A forecast of a run of the training loop: a few updates are timed, and their gradients discarded."""

import time
from typing import Any

import torch

from tx.nn.device import peak_memory
from tx.training.run import Forecast

TRIALS = 4


def forecast(trainer: Any, batches: list[Any], steps_per_epoch: float, max_seconds: float) -> Forecast:
    """Time forward and backward passes over typical `batches` with the model of `trainer`.

    `max_seconds` are left for updates; 0: no limit.
    """
    device, limits = trainer.device, trainer.limits
    best = float("inf")
    for batch in batches:
        torch.manual_seed(0)
        start = time.monotonic()
        trainer.gradients([batch])
        trainer.model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.monotonic() - start)
    # The optimizer and the data take a little time, too.
    seconds_per_step = best * trainer.config.grad_accum * 1.05
    steps = [limits.max_steps, limits.max_epochs * steps_per_epoch, max_seconds / max(seconds_per_step, 1e-9)]
    n = max(1, int(min(filter(None, steps)))) if any(steps) else 0
    # The optimizer's two moments and the moving average are not in memory yet.
    memory = peak_memory(device) + 12 * sum(p.numel() for p in trainer.model.parameters())
    return Forecast(seconds_per_step, steps_per_epoch, n, n * seconds_per_step, memory)
