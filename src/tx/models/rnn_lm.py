"""A recurrent language model: Mikolov et al. 2010, and over characters the char-RNN of Karpathy 2015.

The vanilla cell computes the textbook's h' = tanh(W_hh h + W_xh x + b_h), and the logits are o = W_hy h' + b_o. The
input x is the embedding of the token, or with a `d_embedding` of 0 its one-hot vector.

Shape letters: B rows of a batch, T positions, N rows of a step, D width of a layer, L layers, V vocabulary.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tx.config.schema import option
from tx.data.stream import StreamBatch
from tx.errors import TxError
from tx.nn.dropout import Dropout
from tx.nn.loss import linear_cross_entropy
from tx.nn.recurrent import RecurrentStack

TASK = "language-model"


@dataclass
class Config:
    """Hyperparameters; the defaults are those of char-rnn."""

    vocab_size: int = option(0, "Size of the vocabulary, <pad> included", ge=0, derived=True)
    cell: Literal["rnn", "gru", "lstm"] = option("lstm", "Recurrent unit; rnn: the plain (Elman) unit")
    d_model: int = option(128, "Hidden units in each layer", ge=1)
    n_layers: int = option(2, "Number of recurrent layers", ge=1)
    d_embedding: int = option(0, "Dimension of the token embeddings; 0: one-hot input", ge=0)
    dropout: float = option(0.0, "Dropout between the layers and before the output", ge=0, le=0.99)
    tie_embeddings: bool = option(False, "Tie the embeddings and the output layer")

    def __post_init__(self) -> None:
        """Raise TxError for widths that do not fit each other."""
        if self.tie_embeddings and self.d_embedding != self.d_model:
            raise TxError(
                f"the output cannot share embeddings of width {self.d_embedding} with a d_model of {self.d_model}",
                "set model.d_embedding to model.d_model, or tie_embeddings to false",
            )


@dataclass
class State:
    """The hidden states of N rows, and the cell states of an LSTM, `[L, N, D]` each."""

    tensors: tuple[Tensor, ...]

    def reorder(self, index: Tensor, width: int = 1) -> None:
        """Select the rows `index` `[N']`."""
        self.tensors = tuple(tensor.index_select(1, index) for tensor in self.tensors)


class RecurrentLM(nn.Module):
    """A recurrent language model: its state has constant size and covers the whole text so far."""

    stateful = True  # trained on contiguous streams, by truncated back-propagation through time

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.d_embedding
        self.embedding = nn.Embedding(config.vocab_size, width) if width else None
        self.recurrent = RecurrentStack(
            config.cell, width or config.vocab_size, config.d_model, config.n_layers, config.dropout
        )
        self.dropout = Dropout(config.dropout)
        self.output = (
            None if config.tie_embeddings else nn.Linear(config.d_model, config.vocab_size - 1, False)
        )
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size - 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """torch's initialisation, except for the input, where the vector of a token gets unit variance.

        torch scales the input matrix as if many inputs were summed, but a one-hot input selects a single column:
        training would take hundreds of updates to make up for that. Shared embeddings are the output matrix, too,
        and get smaller values.
        """
        if self.embedding is None:
            nn.init.normal_(cast(Tensor, self.recurrent.layers[0].weight_ih_l0))
        else:
            nn.init.normal_(
                self.embedding.weight, std=self.config.d_model**-0.5 if self.output is None else 1.0
            )

    def output_weight(self) -> Tensor:
        """`[V - 1, D]`: the output matrix without `<pad>`, the last id."""
        return cast(nn.Embedding, self.embedding).weight[:-1] if self.output is None else self.output.weight

    def hidden(self, tokens: Tensor, states: tuple[Tensor, ...] = ()) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`tokens` `[B, T]` after `states` to the top hidden states `[B, T, D]`, and the new states."""
        if self.embedding is not None:
            x = self.embedding(tokens)
        else:
            x = F.one_hot(tokens, self.config.vocab_size).to(self.output_bias.dtype)
        states = states or self.recurrent.zeros(tokens.size(0), x)
        x, states = self.recurrent(x, states)
        return self.dropout(x), states

    def forward(
        self, batch: StreamBatch, state: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The logits of every position, `[B, T, V - 1]`, and the hidden state after the batch."""
        hidden, state = self.hidden(batch.tokens, state)
        return F.linear(hidden, self.output_weight(), self.output_bias), _detached(state)

    def loss(
        self, batch: StreamBatch, label_smoothing: float = 0.0, state: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, int, tuple[Tensor, ...]]:
        """The sum of all tokens' losses in nats, how many there are, and the hidden state after the batch.

        The state is detached: gradients end at the beginning of a batch (truncated back-propagation through time).
        """
        hidden, state = self.hidden(batch.tokens, state)
        weight, bias, targets = self.output_weight(), self.output_bias, batch.targets.flatten()
        loss = linear_cross_entropy(hidden.flatten(0, 1), weight, targets, label_smoothing, bias)
        return loss, batch.n_tokens, _detached(state)

    def start(self, n: int) -> State:
        """The state of `n` rows that have read nothing; a text begins after `</s>`, as a line does."""
        return State(self.recurrent.zeros(n, self.output_bias))

    def feed(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read `tokens` `[N, T]`; the logits of the next token `[N, V - 1]`, and the state."""
        hidden, tensors = self.hidden(tokens, state.tensors)
        return F.linear(hidden[:, -1], self.output_weight(), self.output_bias), State(tensors)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one token per row, `tokens` `[N]`; the logits of the next token `[N, V - 1]`, and the state."""
        return self.feed(tokens[:, None], state)


def _detached(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach() for tensor in state)


Model = RecurrentLM
