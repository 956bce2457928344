"""Learning rates as pure functions of the step, so that a resumed run needs no scheduler state."""

import math


def learning_rate(schedule: str, step: int, progress: float, peak: float, warmup_steps: int) -> float:
    """The rate of update number `step` (from 1), when the share `progress` (0 to 1) of the run is behind it.

    All rise linearly to `peak` over `warmup_steps`. Then "inverse-sqrt" falls as `peak * sqrt(warmup / step)`
    (Vaswani et al. 2017), "cosine" (Loshchilov and Hutter 2017) and "linear" fall to zero at the end of the
    run, and "constant" stays.
    """
    warmup_steps = max(1, warmup_steps)
    rate = peak * min(1.0, step / warmup_steps)
    if schedule == "inverse-sqrt":
        return rate * math.sqrt(warmup_steps / max(step, warmup_steps))
    if schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    if schedule == "linear":
        return rate * max(0.0, 1 - progress)
    return rate
