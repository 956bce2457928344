"""The processes of a distributed run, as torchrun starts them."""

import os
from typing import TypeVar

import torch

T = TypeVar("T")


def rank() -> int:
    """Which of them this is; 0 tells and writes."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def gathered(value: T) -> list[T]:
    """The values that all of them give, by rank."""
    if world_size() == 1:
        return [value]
    values: list[T] = [value] * world_size()
    torch.distributed.all_gather_object(values, value)
    return values
