"""Dropout (Srivastava et al. 2014) with cheap random numbers.

On a CPU, drawing one Bernoulli variate per element takes longer than the layer before it. Here eight elements share
one 64-bit random number, one byte each. The probability is rounded to a multiple of 1/256, and the scale follows the
rounded value, so that the expectation is exact. The numbers come from torch's generator (`torch.manual_seed`).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def scaled_mask(like: Tensor, p: float) -> Tensor:
    """A tensor of the shape of `like`: each element is 0 with probability `p`, else 1/(1-p)."""
    n = like.numel()
    draws = torch.empty((n + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    dropped = max(1, min(255, round(p * 256)))
    kept = draws.view(torch.uint8)[:n] >= dropped
    return (kept * (256 / (256 - dropped))).view(like.shape).to(like.dtype)


class Dropout(nn.Module):
    """In training, set elements to zero with probability `p` and scale the others by 1/(1-p)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        return x * scaled_mask(x, self.p)

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """`residual + dropout(x)`, in one pass over memory on a CPU."""
        if self.training and self.p > 0 and x.device.type == "cpu":
            return torch.addcmul(residual, x, scaled_mask(x, self.p))
        return residual + self.forward(x)

    def extra_repr(self) -> str:
        return f"p={self.p}"
