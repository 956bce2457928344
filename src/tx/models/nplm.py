"""The neural probabilistic language model of Bengio et al. 2003: it predicts a word from the n - 1 words before it.

With x, the concatenated embeddings of those words, the logits are y = b + W x + U tanh(d + H x), where W is optional.

Shape letters: B rows of a batch, T positions, N rows of a step, E width of an embedding, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tx.config.schema import option
from tx.data.stream import StreamBatch
from tx.nn.dropout import Dropout
from tx.nn.loss import linear_cross_entropy

TASK = "language-model"


@dataclass
class Config:
    """Hyperparameters; the defaults are those of the paper's best model on the Brown corpus."""

    vocab_size: int = option(0, "Size of the vocabulary, <pad> included", ge=0, derived=True)
    order: int = option(5, "Order n: the next word is predicted from the n - 1 words before it", ge=2)
    d_embedding: int = option(30, "Dimension of the word embeddings", ge=1)
    d_model: int = option(100, "Units in the hidden layer", ge=1)
    direct: bool = option(False, "Direct connections from the embeddings to the output")
    dropout: float = option(0.0, "Dropout on the hidden layer", ge=0, le=0.99)


@dataclass
class State:
    """The last n - 1 tokens of N rows, `[N, n - 1]`; `<pad>` before the beginning."""

    context: Tensor

    def reorder(self, index: Tensor, width: int = 1) -> None:
        """Select the rows `index` `[N']`."""
        self.context = self.context.index_select(0, index)


class NPLM(nn.Module):
    """A feed-forward language model with a context of n - 1 tokens."""

    stateful = False  # trained on windows of text, in random order

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = (config.order - 1) * config.d_embedding
        self.embedding = nn.Embedding(config.vocab_size, config.d_embedding)
        self.hidden = nn.Linear(width, config.d_model)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.d_model + (width if config.direct else 0), config.vocab_size - 1)

    def features(self, tokens: Tensor, context: Tensor) -> Tensor:
        """`tokens` `[B, T]` after `context` `[B, n - 1]` to the input of the output layer, `[B, T, ...]`."""
        n = self.config.order - 1
        embedded = self.embedding(torch.cat((context, tokens), dim=1)[:, 1:])  # [B, n - 2 + T, E]
        joined = embedded.unfold(1, n, 1).transpose(2, 3).flatten(2)  # [B, T, (n - 1) E], oldest first
        hidden = self.dropout(self.hidden(joined).tanh())
        return torch.cat((hidden, joined), dim=-1) if self.config.direct else hidden

    def hidden_features(
        self, batch: StreamBatch, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The features of every position of `batch` after `state`, and the state after it: the last n - 1 tokens."""
        context = state[0] if state else self.start(batch.tokens.size(0)).context
        after = torch.cat((context, batch.tokens), dim=1)[:, 1 - self.config.order :]
        return self.features(batch.tokens, context), (after,)

    def forward(
        self, batch: StreamBatch, state: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The logits of every position, `[B, T, V - 1]`, and the state after the batch."""
        features, state = self.hidden_features(batch, state)
        return self.output(features), state

    def loss(
        self, batch: StreamBatch, label_smoothing: float = 0.0, state: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, int, tuple[Tensor, ...]]:
        """The sum of all tokens' losses in nats, how many there are, and the state after the batch."""
        features, state = self.hidden_features(batch, state)
        weight, bias, targets = self.output.weight, self.output.bias, batch.targets.flatten()
        loss = linear_cross_entropy(features.flatten(0, 1), weight, targets, label_smoothing, bias)
        return loss, batch.n_tokens, state

    def start(self, n: int) -> State:
        """The state of `n` rows that have read nothing; a text begins after `</s>`, as a line does."""
        shape, pad_id = (n, self.config.order - 1), self.config.vocab_size - 1
        return State(torch.full(shape, pad_id, device=self.embedding.weight.device))

    def feed(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read `tokens` `[N, T]`; the logits of the next token `[N, V - 1]`, and the state."""
        seen = torch.cat((state.context, tokens), dim=1)[:, -self.config.order :]  # [N, n]
        logits = self.output(self.features(seen[:, -1:], seen[:, :-1]))
        return logits[:, 0], State(seen[:, 1:])

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one token per row, `tokens` `[N]`; the logits of the next token `[N, V - 1]`, and the state."""
        return self.feed(tokens[:, None], state)


Model = NPLM
