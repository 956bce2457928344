"""Recurrent layers over whole sequences: vanilla (Elman 1990), GRU (Cho et al. 2014), LSTM (Hochreiter and
Schmidhuber 1997).

The layers are torch's, which have two bias vectors, one for each matrix; the b_h of the textbooks is their sum.

Shape letters: B rows, T positions, S positions of a padded source, D hidden units of a layer, L layers.
"""

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn

from tx.nn.dropout import Dropout

Cell = Literal["rnn", "gru", "lstm"]

_LAYERS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class RecurrentStack(nn.Module):
    """A stack of recurrent layers with dropout between them."""

    def __init__(self, cell: Cell, d_input: int, d_model: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        widths = [d_input] + [d_model] * (n_layers - 1)
        self.layers = nn.ModuleList(_LAYERS[cell](width, d_model, batch_first=True) for width in widths)
        self.n_states = 2 if cell == "lstm" else 1  # an LSTM has a cell state in addition to the hidden state
        self.d_model = d_model
        self.dropout = Dropout(dropout)

    def zeros(self, n: int, like: Tensor) -> tuple[Tensor, ...]:
        """The initial states of n rows: `[L, n, D]` each."""
        shape = len(self.layers), n, self.d_model
        return tuple(like.new_zeros(shape) for _ in range(self.n_states))

    def forward(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`x` `[B, T, D_input]` from `states` `[L, B, D]` to the top layer's `[B, T, D]` and the new states."""
        new_states: list[tuple[Tensor, ...]] = []
        for number, layer in enumerate(self.layers):
            before = tuple(state[number, None] for state in states)
            x, after = layer(self.dropout(x) if number else x, before if self.n_states > 1 else before[0])
            new_states.append(after if self.n_states > 1 else (after,))
        return x, tuple(torch.cat(parts) for parts in zip(*new_states, strict=True))


def reverse_sequences(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse the first `lengths` `[B]` positions of each row of `x` `[B, S, ...]`; padding stays at the end."""
    place = torch.arange(x.size(1), device=x.device).expand(x.size(0), -1)
    index = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)
    return x.gather(1, index.view(*index.shape, *[1] * (x.dim() - 2)).expand_as(x))


class RecurrentEncoder(nn.Module):
    """Recurrent layers over padded sources: bidirectional with half of `d_model` for each direction, or forward only.

    Both directions read the real tokens before the padding, which therefore changes nothing.
    """

    def __init__(
        self, cell: Cell, d_input: int, d_model: int, n_layers: int, bidirectional: bool, dropout: float
    ) -> None:
        super().__init__()
        n_directions = 2 if bidirectional else 1
        widths = [d_input] + [d_model] * (n_layers - 1)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                RecurrentStack(cell, width, d_model // n_directions, 1, 0.0) for _ in range(n_directions)
            )
            for width in widths
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """`x` `[B, S, D_input]` to the top layer's `[B, S, D]` and the last hidden states `[L, B, D]`."""
        ends = (lengths - 1)[:, None, None]
        last = []
        for number, directions in enumerate(self.layers):
            x = self.dropout(x) if number else x
            outputs = []
            for backward, layer in enumerate(cast(list[RecurrentStack], directions)):
                source = reverse_sequences(x, lengths) if backward else x
                outputs.append(layer(source, layer.zeros(x.size(0), x))[0])
            last.append(
                torch.cat([y.gather(1, ends.expand(-1, 1, y.size(2)))[:, 0] for y in outputs], dim=-1)
            )
            outputs[1:] = [reverse_sequences(y, lengths) for y in outputs[1:]]
            x = torch.cat(outputs, dim=-1)
        return x, torch.stack(last)
