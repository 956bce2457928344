"""Multi-head scaled dot-product attention (Vaswani et al. 2017), for training and for decoding step by step.

Shape letters: B batch, T queries, S keys, D d_model, H heads, K head size, W rows that share one source.
Boolean masks mean True = may be attended to.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tx.errors import TxError
from tx.nn.device import matmul_by_onednn
from tx.nn.dropout import Dropout


def check_heads(d_model: int, n_heads: int) -> None:
    """Raise TxError unless `n_heads` heads divide `d_model`."""
    if d_model % n_heads:
        raise TxError(
            f"a d_model of {d_model} is not a multiple of n_heads, {n_heads}",
            "choose a d_model that is a multiple of n_heads",
        )


class AttentionModule(nn.Module):
    """A module whose attention weights can be recorded: see `record_attention`."""

    recorded: list[Tensor] | None = None  # the weights of each call while recording

    def record(self, weights: Tensor) -> None:
        """Record `weights` `[B, H, T, S]`, if recording."""
        if self.recorded is not None:
            self.recorded.append(weights.detach())


@contextmanager
def record_attention(modules: Mapping[str, AttentionModule]) -> Iterator[dict[str, list[Tensor]]]:
    """Record the attention weights of `modules` inside the `with` block: one `[B, H, T, S]` per call, by name."""
    recorded: dict[str, list[Tensor]] = {name: [] for name in modules}
    try:
        for name, module in modules.items():
            module.recorded = recorded[name]
        yield recorded
    finally:
        for module in modules.values():
            module.recorded = None


class Attention(AttentionModule):
    """Multi-head attention with `n_heads` heads.

    Self-attention computes queries, keys and values by one fused projection. Cross-attention fuses keys and values
    only: they depend on the source alone and are computed once for it.
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0, cross: bool = False) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = Dropout(dropout)
        self.cross = cross
        if cross:
            self.query = nn.Linear(d_model, d_model)
            self.key_value = nn.Linear(d_model, 2 * d_model)
        else:
            self.query_key_value = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def _heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """`[B, T, parts * D]` to `parts` tensors `[B, H, T, K]`."""
        b, t, width = x.shape
        return (
            x.view(b, t, parts, self.n_heads, width // parts // self.n_heads).permute(2, 0, 3, 1, 4).unbind(0)
        )

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values `[B, H, S, K]` of a cross-attention to the source `x` `[B, S, D]`."""
        k, v = self._heads(self.key_value(x), 2)
        return k, v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
        """`softmax(q k^T / sqrt(K)) v`, then the output projection: `[B, H, T, K]` to `[B, T, D]`."""
        p = self.dropout.p if self.training else 0.0
        if self.recorded is not None or (q.device.type == "cpu" and (p or matmul_by_onednn())):
            context = self._attend_unfused(q, k, v, mask, causal)
        else:
            context = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=p, is_causal=causal)
        b, _, t, _ = context.shape
        return self.out(context.transpose(1, 2).reshape(b, t, -1))  # type: ignore[no-any-return]

    def _attend_unfused(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """Attention step by step. torch's fused kernel returns no weights; on a CPU it has no dropout, and with
        oneDNN it is slow."""
        scale, one = q.size(-1) ** -0.5, q.size(2) == 1
        if causal:  # one call adds the mask to the product
            b, h, t, _ = q.shape
            future = torch.full((t, t), float("-inf"), dtype=q.dtype, device=q.device).triu_(1)
            keys = k.flatten(0, 1).transpose(1, 2)
            scores = torch.baddbmm(future, q.flatten(0, 1), keys, alpha=scale).view(b, h, t, t)
        elif one:  # a matrix product for a single query has more overhead than work
            scores = (q * scale * k).sum(dim=-1)[:, :, None]
        else:
            scores = (q * scale) @ k.transpose(-2, -1)  # [B, H, T, S]
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(dim=-1)
        self.record(weights)
        weights = self.dropout(weights)
        context: Tensor = (weights.transpose(-2, -1) * v).sum(dim=-2, keepdim=True) if one else weights @ v
        return context

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Self-attention over `x` `[B, T, D]`; `mask` is `[B, 1, 1, T]` or None."""
        q, k, v = self._heads(self.query_key_value(x), 3)
        return self.attend(q, k, v, mask, causal)

    def step(self, x: Tensor, cache: tuple[Tensor, Tensor], length: int) -> Tensor:
        """Causal self-attention of the next positions `x` `[N, T, D]`, which follow `length` earlier ones.

        `cache` holds the earlier keys and values, `[N, H, capacity, K]` each; the new ones are written into it. The
        unused capacity is masked, not cut off: that needs no copy, and kernels meet few different shapes.
        """
        keys, values = cache
        q, k, v = self._heads(self.query_key_value(x), 3)  # [N, H, T, K] each
        end = length + x.size(1)
        keys[:, :, length:end] = k
        values[:, :, length:end] = v
        mask = torch.ones(x.size(1), keys.size(2), dtype=torch.bool, device=x.device).tril_(length)
        return self.attend(q, keys, values, mask)

    def attend_to(self, x: Tensor, keys_values: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """Cross-attention of `x` `[B, T, D]` to the result of `keys_values`; `mask` is `[B, 1, 1, S]` or None."""
        (q,) = self._heads(self.query(x), 1)
        return self.attend(q, *keys_values, mask)
