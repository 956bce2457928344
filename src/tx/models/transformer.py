"""The Transformer of "Attention Is All You Need" (Vaswani et al. 2017), encoder and decoder.

In this order: the configuration, encoder and decoder layer, the decoder's state, the model. `tx.models` describes the
interface: `loss` for training, `start` and `step` for decoding.

Shape letters: B batch, S source length, T target length, D d_model, H heads, K head size, V vocabulary,
W hypotheses of one sentence, N = B * W rows of a decoding step.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tx.config.schema import option
from tx.data.batch import Batch
from tx.errors import TxError
from tx.nn.attention import Attention, AttentionModule, check_heads
from tx.nn.dropout import Dropout
from tx.nn.loss import linear_cross_entropy
from tx.nn.position import sinusoids
from tx.nn.transformer import FeedForward, Residual

TASK = "translation"


@dataclass
class Config:
    """Hyperparameters; the defaults are those of the paper's base model, except for pre-norm."""

    src_vocab_size: int = option(0, "Source vocabulary", ge=0, derived=True)
    tgt_vocab_size: int = option(0, "Target vocabulary", ge=0, derived=True)
    shared_vocab: bool = option(True, "One vocabulary for both sides", derived=True)
    d_model: int = option(512, "Model (embedding) dimension", ge=2)
    d_ff: int = option(2048, "Hidden dimension of the feed-forward layers", ge=1)
    n_heads: int = option(8, "Number of attention heads; must divide d_model", ge=1)
    n_encoder_layers: int = option(6, "Number of encoder layers", ge=1)
    n_decoder_layers: int = option(6, "Number of decoder layers", ge=1)
    dropout: float = option(
        0.1, "Dropout on the embeddings and on the output of each sublayer", ge=0, le=0.99
    )
    attention_dropout: float = option(0.0, "Dropout on the attention weights", ge=0, le=0.99)
    activation_dropout: float = option(0.0, "Dropout inside the feed-forward layers", ge=0, le=0.99)
    activation: Literal["relu", "gelu", "silu"] = option("relu", "Non-linearity of the feed-forward layers")
    norm: Literal["pre", "post"] = option(
        "pre",
        "pre: layer norm before each sublayer; post: after each residual connection, as in Vaswani et al. 2017",
    )
    positions: Literal["interleaved", "concatenated", "learned"] = option(
        "interleaved",
        "interleaved: sinusoids as in Vaswani et al. 2017; concatenated: as in tensor2tensor; learned: embeddings",
    )
    position_start: int = option(0, "Index of the first position (2 for converted M2M100 models)", ge=0)
    max_len: int = option(
        258,
        "Maximum target length in tokens; a source longer than max_len / 2 is split and translated in parts",
        ge=2,
    )
    tie_embeddings: bool = option(
        True,
        "Tie the target embeddings and the output layer; with a shared vocabulary, also tie the source embeddings",
    )

    def __post_init__(self) -> None:
        """Raise TxError for widths that do not fit each other."""
        check_heads(self.d_model, self.n_heads)
        if self.d_model % 2 and self.positions != "learned":
            raise TxError(
                f"sinusoidal positions need an even d_model, not {self.d_model}", "choose an even d_model"
            )


class EncoderLayer(nn.Module):
    """Self-attention and the feed-forward layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attention = Attention(config.d_model, config.n_heads, config.attention_dropout)
        self.feed_forward = FeedForward(
            config.d_model, config.d_ff, config.activation, config.activation_dropout
        )
        self.residuals = nn.ModuleList(
            Residual(config.d_model, config.dropout, config.norm) for _ in range(2)
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        self_residual, feed_residual = self.residuals
        x = self_residual(x, lambda y: self.self_attention(y, mask))
        return feed_residual(x, self.feed_forward)  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention to the source, and the feed-forward layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attention = Attention(config.d_model, config.n_heads, config.attention_dropout)
        self.cross_attention = Attention(config.d_model, config.n_heads, config.attention_dropout, cross=True)
        self.feed_forward = FeedForward(
            config.d_model, config.d_ff, config.activation, config.activation_dropout
        )
        self.residuals = nn.ModuleList(
            Residual(config.d_model, config.dropout, config.norm) for _ in range(3)
        )

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        """All positions at once: `x` `[B, T, D]`, `memory` `[B, S, D]`. Padding at the end needs no mask."""
        self_residual, cross_residual, feed_residual = self.residuals
        x = self_residual(x, lambda y: self.self_attention(y, causal=True))
        x = cross_residual(x, lambda y: self.cross_attention.attend_to(y, self.keys_values(memory), mask))
        return feed_residual(x, self.feed_forward)  # type: ignore[no-any-return]

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The cross-attention's keys and values of the source, `[B, H, S, K]` each: computed once."""
        return self.cross_attention.keys_values(memory)

    def step(self, x: Tensor, cache: "LayerCache", mask: Tensor | None) -> Tensor:
        """One position, `x` `[N, 1, D]`, after those in `cache`."""
        self_residual, cross_residual, feed_residual = self.residuals
        x = self_residual(x, lambda y: self.self_attention.step(y, cache.self_keys_values, cache.length))
        # The W hypotheses of a sentence attend to its source together, as W queries of one attention.
        n, b = x.size(0), cache.cross_keys_values[0].size(0)
        x = x.view(b, n // b, -1)  # [B, W, D]
        x = cross_residual(x, lambda y: self.cross_attention.attend_to(y, cache.cross_keys_values, mask))
        return feed_residual(x.view(n, 1, -1), self.feed_forward)  # type: ignore[no-any-return]


@dataclass
class LayerCache:
    """The cached keys and values of a decoder layer."""

    cross_keys_values: tuple[Tensor, Tensor]  # [B, H, S, K] each: hypotheses share their source
    self_keys_values: tuple[Tensor, Tensor]  # [N, H, capacity, K] each
    length: int = 0


@dataclass
class State:
    """The decoder state of N = B * W hypotheses; rows that share a source are adjacent."""

    layers: list[LayerCache]
    mask: Tensor | None  # [B, 1, 1, S], True at real source tokens; None: no padding

    @property
    def n_sources(self) -> int:
        return self.layers[0].cross_keys_values[0].size(0)

    def reorder(self, index: Tensor, width: int) -> None:
        """Select the rows `index` `[N']`; each group of `width` rows shares a source."""
        old_width = self.layers[0].self_keys_values[0].size(0) // self.n_sources
        sources = index[::width] // old_width
        changed = sources.size(0) != self.n_sources or not torch.equal(
            sources, torch.arange(self.n_sources, device=sources.device)
        )
        for layer in self.layers:
            layer.self_keys_values = _select(layer.self_keys_values, index)
            if changed:
                layer.cross_keys_values = _select(layer.cross_keys_values, sources)
        if changed and self.mask is not None:
            self.mask = self.mask.index_select(0, sources)


def _select(pair: tuple[Tensor, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
    return pair[0].index_select(0, index), pair[1].index_select(0, index)


class Transformer(nn.Module):
    """An encoder-decoder Transformer: `loss` for training, `start` and `step` for decoding."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.src_pad_id = config.src_vocab_size - 1
        self.tgt_pad_id = config.tgt_vocab_size - 1
        d_model = config.d_model
        self.tgt_embedding = nn.Embedding(config.tgt_vocab_size, d_model, padding_idx=self.tgt_pad_id)
        shared = config.tie_embeddings and config.shared_vocab
        self.src_embedding = (
            self.tgt_embedding
            if shared
            else nn.Embedding(config.src_vocab_size, d_model, padding_idx=self.src_pad_id)
        )
        self.output = None if config.tie_embeddings else nn.Linear(d_model, config.tgt_vocab_size, bias=False)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_decoder_layers))
        # With pre-norm no layer normalises its output, so the stack ends with a norm.
        final = (lambda: nn.LayerNorm(d_model)) if config.norm == "pre" else nn.Identity
        self.encoder_norm, self.decoder_norm = final(), final()
        self.dropout = Dropout(config.dropout)
        if config.positions == "learned":
            self.src_positions = nn.Parameter(torch.empty(config.max_len, d_model))
            self.tgt_positions = nn.Parameter(torch.empty(config.max_len, d_model))
        else:
            table = sinusoids(config.max_len, d_model, config.positions, config.position_start)
            self.register_buffer("src_positions", table, persistent=False)
            self.register_buffer("tgt_positions", table, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier for matrices, N(0, 1/D) for embeddings, which are scaled by sqrt(D) to unit variance."""
        for name, parameter in self.named_parameters():
            if "embedding" in name or "positions" in name:
                nn.init.normal_(parameter, std=self.config.d_model**-0.5)
            elif parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        for embedding in (self.src_embedding, self.tgt_embedding):
            nn.init.zeros_(embedding.weight[-1])  # <pad> is zero and never trained

    def output_weight(self) -> Tensor:
        """`[V - 1, D]`: the output matrix without `<pad>`, the last id, which is never predicted."""
        return (self.tgt_embedding if self.output is None else self.output).weight[:-1]

    def _embed(self, ids: Tensor, embedding: nn.Embedding, positions: Tensor, start: int = 0) -> Tensor:
        x = embedding(ids) * self.config.d_model**0.5 + positions[start : start + ids.size(1)]
        return self.dropout(x)  # type: ignore[no-any-return]

    def encode(self, src: Tensor) -> tuple[Tensor, Tensor | None]:
        """`src` `[B, S]` to the encoder output `[B, S, D]` and its mask `[B, 1, 1, S]` (None without padding)."""
        real = src != self.src_pad_id
        # To check for padding would synchronise a GPU; there the mask is always used.
        mask = None if src.device.type == "cpu" and bool(real.all()) else real[:, None, None, :]
        x = self._embed(src, self.src_embedding, self.src_positions)
        for layer in self.encoder:
            x = layer(x, mask)
        return self.encoder_norm(x), mask

    def decode(self, tgt: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        """Teacher forcing: `tgt` `[B, T]` to the hidden states `[B, T, D]` that predict each next token."""
        x = self._embed(tgt, self.tgt_embedding, self.tgt_positions)
        for layer in self.decoder:
            x = layer(x, memory, mask)
        return self.decoder_norm(x)  # type: ignore[no-any-return]

    def forward(self, batch: Batch) -> Tensor:
        """The logits of every target position, `[B, T, V - 1]`."""
        return self.decode(batch.tgt_in, *self.encode(batch.src)) @ self.output_weight().T

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, int]:
        """The sum of the target tokens' losses in nats, and the number of target tokens."""
        hidden = self.decode(batch.tgt_in, *self.encode(batch.src))
        hidden = hidden.flatten(0, 1).index_select(0, batch.tgt_positions)  # [n_tokens, D], without padding
        return linear_cross_entropy(
            hidden, self.output_weight(), batch.tgt_out, label_smoothing
        ), batch.n_tokens

    def start(self, batch: Batch) -> State:
        """Encode the source; the first token to pass to `step` is `bos_id`, which is `<pad>`."""
        memory, mask = self.encode(batch.src)
        h, d_model = self.config.n_heads, self.config.d_model
        empty = memory.new_empty(batch.src.size(0), h, 0, d_model // h)
        layers = []
        for layer in cast(list[DecoderLayer], self.decoder):
            k, v = layer.keys_values(memory)
            layers.append(
                LayerCache((k.contiguous(), v.contiguous()), (empty, empty))
            )  # else each step copies them
        return State(layers, mask)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Append `tokens` `[N]` to the hypotheses; the logits of the next token `[N, V - 1]`, and the state."""
        length = state.layers[0].length
        x = self._embed(tokens[:, None], self.tgt_embedding, self.tgt_positions, start=length)  # [N, 1, D]
        for layer, cache in zip(cast(list[DecoderLayer], self.decoder), state.layers, strict=True):
            keys, values = cache.self_keys_values
            if length == keys.size(2):
                more = (0, 0, 0, max(8, length // 2))
                cache.self_keys_values = F.pad(keys, more), F.pad(values, more)
            x = layer.step(x, cache, state.mask)
            cache.length += 1
        return self.decoder_norm(x)[:, 0] @ self.output_weight().T, state

    def attentions(self) -> dict[str, AttentionModule]:
        """The attention layers, by kind and number: "encoder 1", "decoder 1", "cross 1" ..."""
        found: dict[str, AttentionModule] = {}
        for number, layer in enumerate(self.encoder, 1):
            found[f"encoder {number}"] = cast(EncoderLayer, layer).self_attention
        for number, layer in enumerate(cast(list[DecoderLayer], self.decoder), 1):
            found[f"decoder {number}"], found[f"cross {number}"] = layer.self_attention, layer.cross_attention
        return found


Model = Transformer
