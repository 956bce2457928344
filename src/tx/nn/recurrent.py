"""Recurrent layers over whole sequences: vanilla (Elman 1990), GRU (Cho et al. 2014), LSTM (Hochreiter and
Schmidhuber 1997).

The layers are torch's own, whose biases come in two, one with each matrix: b_h is their sum.

Shape letters: B rows, T positions, S positions of a padded text, D width of a layer, L layers.
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


def reverse_sequences(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` `[B, S, ...]` with the first `lengths` positions of each row in reverse; the padding stays."""
    place = torch.arange(x.size(1), device=x.device).expand(x.size(0), -1)
    index = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)
    return x.gather(1, index.view(*index.shape, *[1] * (x.dim() - 2)).expand_as(x))


class RecurrentEncoder(nn.Module):
    """Recurrent layers over padded texts, in both directions with half of `d_model` for each, or in one.

    Padding stands after the text, where neither direction has been yet: it changes nothing.
    """

    def __init__(
        self, cell: Cell, d_input: int, d_model: int, n_layers: int, bidirectional: bool, dropout: float
    ) -> None:
        super().__init__()
        ways = 2 if bidirectional else 1
        widths = [d_input] + [d_model] * (n_layers - 1)
        self.layers = nn.ModuleList(
            nn.ModuleList(RecurrentStack(cell, width, d_model // ways, 1, 0.0) for _ in range(ways))
            for width in widths
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """`x` `[B, S, D_input]` to the top layer's `[B, S, D]`, and the last states of both ways, `[L, B, D]`."""
        ends = (lengths - 1)[:, None, None]
        last = []
        for number, ways in enumerate(self.layers):
            x = self.dropout(x) if number else x
            read = []
            for turn, layer in enumerate(cast(list[RecurrentStack], ways)):
                read.append(layer(reverse_sequences(x, lengths) if turn else x, layer.zeros(x.size(0), x))[0])
            last.append(torch.cat([y.gather(1, ends.expand(-1, 1, y.size(2)))[:, 0] for y in read], dim=-1))
            x = torch.cat(
                [reverse_sequences(y, lengths) if turn else y for turn, y in enumerate(read)], dim=-1
            )
        return x, torch.stack(last)
