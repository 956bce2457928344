"""A decoder-only Transformer: the language model of Radford et al. 2018 and 2019 (GPT), with pre-norm layers.

In this order: the configuration, the layer, the cached state of generation, the model.

Shape letters: B rows of a batch, T positions, N rows of a step, D d_model, H heads, K head size, V vocabulary.
"""

from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tx.config.schema import option
from tx.data.stream import StreamBatch
from tx.errors import TxError
from tx.nn.attention import Attention, check_heads
from tx.nn.dropout import Dropout
from tx.nn.loss import linear_cross_entropy
from tx.nn.position import sinusoids
from tx.nn.transformer import FeedForward, Residual

TASK = "language-model"


@dataclass
class Config:
    """Hyperparameters; the defaults are those of nanoGPT's small character-level model."""

    vocab_size: int = option(0, "Size of the vocabulary, <pad> included", ge=0, derived=True)
    max_len: int = option(256, "Context window in tokens: train.seq_len", ge=1, derived=True)
    d_model: int = option(384, "Model (embedding) dimension", ge=2)
    d_ff: int = option(1536, "Hidden dimension of the feed-forward layers", ge=1)
    n_heads: int = option(6, "Number of attention heads; must divide d_model", ge=1)
    n_layers: int = option(6, "Number of layers", ge=1)
    dropout: float = option(
        0.2, "Dropout on the embeddings and on the output of each sublayer", ge=0, le=0.99
    )
    attention_dropout: float = option(0.0, "Dropout on the attention weights", ge=0, le=0.99)
    activation: Literal["relu", "gelu", "silu"] = option("gelu", "Non-linearity of the feed-forward layers")
    positions: Literal["learned", "sinusoids"] = option(
        "learned", "Position embeddings: learned, or fixed sinusoids"
    )
    tie_embeddings: bool = option(True, "Tie the embeddings and the output layer")

    def __post_init__(self) -> None:
        """Raise TxError for widths that do not fit each other."""
        check_heads(self.d_model, self.n_heads)
        if self.d_model % 2 and self.positions == "sinusoids":
            raise TxError(
                f"sinusoidal positions need an even d_model, not {self.d_model}", "choose an even d_model"
            )


class Layer(nn.Module):
    """Causal self-attention and the feed-forward layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attention = Attention(config.d_model, config.n_heads, config.attention_dropout)
        self.feed_forward = FeedForward(config.d_model, config.d_ff, config.activation)
        self.residuals = nn.ModuleList(Residual(config.d_model, config.dropout) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """All positions at once, `[B, T, D]`."""
        self_residual, feed_residual = self.residuals
        x = self_residual(x, lambda y: self.self_attention(y, causal=True))
        return feed_residual(x, self.feed_forward)  # type: ignore[no-any-return]

    def step(self, x: Tensor, cache: tuple[Tensor, Tensor], length: int) -> Tensor:
        """The next positions, `x` `[N, T, D]`, after the `length` whose keys and values `cache` holds."""
        self_residual, feed_residual = self.residuals
        x = self_residual(x, lambda y: self.self_attention.step(y, cache, length))
        return feed_residual(x, self.feed_forward)  # type: ignore[no-any-return]


@dataclass
class State:
    """The cached keys and values of each layer, `[N, H, capacity, K]` each, of the `length` tokens read."""

    caches: list[tuple[Tensor, Tensor]] = field(repr=False)
    length: int = 0

    def reorder(self, index: Tensor, width: int = 1) -> None:
        """Select the rows `index` `[N']`."""
        self.caches = [(k.index_select(0, index), v.index_select(0, index)) for k, v in self.caches]

    def reserve(self, length: int) -> None:
        """Make room for `length` tokens and half as many more, so that few steps copy the cache."""
        missing = length - self.caches[0][0].size(2)
        if missing > 0:
            more = (0, 0, 0, missing + max(8, length // 2))
            self.caches = [(F.pad(k, more), F.pad(v, more)) for k, v in self.caches]


class TransformerLM(nn.Module):
    """A causal Transformer language model with a context window of `max_len` tokens."""

    stateful = False  # trained on windows of text, in random order

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.empty(config.max_len, config.d_model))
        else:
            self.register_buffer("positions", sinusoids(config.max_len, config.d_model), persistent=False)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.d_model)
        self.output = (
            None if config.tie_embeddings else nn.Linear(config.d_model, config.vocab_size - 1, False)
        )
        self.dropout = Dropout(config.dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """GPT-2's initialisation: N(0, 0.02), scaled down for the layers that add to the residual stream."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                added = name.endswith(("self_attention.out.weight", "feed_forward.down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * self.config.n_layers) ** 0.5 if added else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def output_weight(self) -> Tensor:
        """`[V - 1, D]`: the output matrix without `<pad>`, the last id."""
        return self.embedding.weight[:-1] if self.output is None else self.output.weight

    def _embed(self, tokens: Tensor, start: int = 0) -> Tensor:
        end = start + tokens.size(1)
        if end > self.config.max_len:
            raise TxError(
                f"{end} tokens do not fit into the model's context window of {self.config.max_len} tokens",
                "give it the end of the text only",
            )
        x = self.embedding(tokens)
        if self.config.positions == "sinusoids":  # whose variance is 1/2
            x = x * self.config.d_model**0.5
        return self.dropout(x + self.positions[start:end])  # type: ignore[no-any-return]

    def hidden(self, tokens: Tensor) -> Tensor:
        """`tokens` `[B, T]` to the hidden states `[B, T, D]` that predict each next token."""
        x = self._embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)  # type: ignore[no-any-return]

    def forward(
        self, batch: StreamBatch, state: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The logits of every position, `[B, T, V - 1]`, and the state after the batch: there is none."""
        return self.hidden(batch.tokens) @ self.output_weight().T, ()

    def loss(
        self, batch: StreamBatch, label_smoothing: float = 0.0, state: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, int, tuple[Tensor, ...]]:
        """The sum of all tokens' losses in nats, how many there are, and the state: there is none."""
        hidden, targets = self.hidden(batch.tokens).flatten(0, 1), batch.targets.flatten()
        loss = linear_cross_entropy(hidden, self.output_weight(), targets, label_smoothing)
        return loss, batch.n_tokens, ()

    def start(self, n: int) -> State:
        """The state of `n` rows that have read nothing; a text begins after `</s>`, as a line does."""
        h, d_model = self.config.n_heads, self.config.d_model
        empty = self.embedding.weight.new_empty(n, h, 0, d_model // h)
        return State([(empty, empty) for _ in self.layers])

    def feed(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read `tokens` `[N, T]`; the logits of the next token `[N, V - 1]`, and the state.

        Raises TxError if more than `max_len` tokens have then been read.
        """
        x = self._embed(tokens, state.length)
        state.reserve(state.length + tokens.size(1))
        for layer, cache in zip(cast(list[Layer], self.layers), state.caches, strict=True):
            x = layer.step(x, cache, state.length)
        state.length += tokens.size(1)
        return self.norm(x[:, -1]) @ self.output_weight().T, state

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one token per row, `tokens` `[N]`; the logits of the next token `[N, V - 1]`, and the state."""
        return self.feed(tokens[:, None], state)


Model = TransformerLM
