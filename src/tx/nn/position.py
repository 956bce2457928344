"""Sinusoidal position encodings (Vaswani et al. 2017), in both layouts in use.

The paper interleaves sines and cosines. The authors' library, tensor2tensor, and its successors put all sines first,
then all cosines, and space the frequencies slightly wider.
"""

import math

import torch
from torch import Tensor


def sinusoids(n: int, d_model: int, layout: str = "interleaved", start: int = 0) -> Tensor:
    """Encodings of the positions `start` ... `start + n - 1`, as float32 `[n, d_model]`.

    "interleaved", the paper's formula: `[p, 2i] = sin(p / 10000^(2i/d))`, `[p, 2i+1] = cos(p / 10000^(2i/d))`.
    "concatenated", tensor2tensor's: `[p, i] = sin(p w_i)`, `[p, d/2+i] = cos(p w_i)`, `w_i = 10000^(-i/(d/2-1))`.
    """
    # On the device `meta` only shapes are checked, and there `arange` would import torch's compiler.
    if torch.get_default_device().type == "meta":
        return torch.empty(n, d_model)
    half = d_model // 2
    steps = torch.arange(half, dtype=torch.float64)
    spacing = half if layout == "interleaved" else max(half - 1, 1)
    frequencies = torch.exp(steps * (-math.log(10000.0) / spacing))
    positions = torch.arange(start, start + n, dtype=torch.float64)
    angles = positions[:, None] * frequencies  # [n, D/2]
    if layout == "interleaved":
        return torch.stack((angles.sin(), angles.cos()), dim=-1).view(n, d_model).float()
    return torch.cat((angles.sin(), angles.cos()), dim=-1).float()
