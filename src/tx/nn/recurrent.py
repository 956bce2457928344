"""Recurrent layers over whole sequences: vanilla (Elman 1990), GRU (Cho et al. 2014), LSTM (Hochreiter and
Schmidhuber 1997).

The layers are torch's own, whose biases come in two, one with each matrix: b_h is their sum.

Shape letters: B rows, T positions, D width of a layer, L layers.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from tx.nn.dropout import Dropout

Cell = Literal["rnn", "gru", "lstm"]

_LAYERS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Recurrent(nn.Module):
    """A stack of recurrent layers with dropout between them."""

    def __init__(self, cell: Cell, d_input: int, d_model: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        widths = [d_input] + [d_model] * (n_layers - 1)
        self.layers = nn.ModuleList(_LAYERS[cell](width, d_model, batch_first=True) for width in widths)
        self.n_states = 2 if cell == "lstm" else 1  # the LSTM's cells beside its hidden units
        self.d_model = d_model
        self.dropout = Dropout(dropout)

    def zeros(self, n: int, like: Tensor) -> tuple[Tensor, ...]:
        """The states of n rows before anything was read: `[L, n, D]` each."""
        shape = len(self.layers), n, self.d_model
        return tuple(like.new_zeros(shape) for _ in range(self.n_states))

    def forward(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`x` `[B, T, D_input]` from `states`, `[L, B, D]` each, to the top layer's `[B, T, D]` and the new ones."""
        ended: list[tuple[Tensor, ...]] = []
        for number, layer in enumerate(self.layers):
            before = tuple(state[number, None] for state in states)
            x, after = layer(self.dropout(x) if number else x, before if self.n_states > 1 else before[0])
            ended.append(after if self.n_states > 1 else (after,))
        return x, tuple(torch.cat(parts) for parts in zip(*ended, strict=True))
