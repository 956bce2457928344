"""The parts of a Transformer layer other than attention (Vaswani et al. 2017): residuals and feed-forward."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from tx.nn.dropout import Dropout

Activation = Literal["relu", "gelu", "silu"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


class Residual(nn.Module):
    """A residual connection around f: `x + dropout(f(norm(x)))` (pre) or `norm(x + dropout(f(x)))` (post)."""

    def __init__(self, d_model: int, dropout: float, norm: Literal["pre", "post"] = "pre") -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)
        self.pre = norm == "pre"

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre:
            return self.dropout.add_to(x, sublayer(self.norm(x)))
        return self.norm(self.dropout.add_to(x, sublayer(x)))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """The position-wise feed-forward layer: two linear layers with a non-linearity between them."""

    def __init__(self, d_model: int, d_ff: int, activation: Activation, dropout: float = 0.0) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, d_ff)
        self.down = nn.Linear(d_ff, d_model)
        self.activation = _ACTIVATIONS[activation]
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.dropout(self.activation(self.up(x))))  # type: ignore[no-any-return]
