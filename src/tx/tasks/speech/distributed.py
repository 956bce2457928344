"""The processes of a distributed run, which torchrun starts."""

import os
from typing import TypeVar

import torch

T = TypeVar("T")


def rank() -> int:
    """The index of this process; only process 0 writes files and messages."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """The number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def all_gather(value: T) -> list[T]:
    """The values of all processes, in the order of their ranks."""
    from accelerate.utils import gather_object  # type: ignore[attr-defined]

    return list(gather_object([value]))


def all_max(values: list[float], device: torch.device) -> list[float]:
    """The maximum of each value over all processes."""
    if world_size() == 1:
        return values
    shared = torch.tensor(values, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
    return [float(value) for value in shared.tolist()]
