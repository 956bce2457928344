"""The number of processor cores that this process may use; `tx.nn.device` imports torch, this module does not."""

import os


def n_cores() -> int:
    """The cores that this process may use: under taskset, Slurm or a cpuset fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
