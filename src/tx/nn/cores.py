"""How many processor cores there are for this process; apart from `tx.nn.device`, which needs torch."""

import os


def n_cores() -> int:
    """Cores this process may use: fewer than the machine has under taskset, Slurm or a container's cpuset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
