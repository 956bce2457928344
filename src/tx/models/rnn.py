"""A recurrent encoder and decoder: Sutskever et al. 2014 and Cho et al. 2014 without attention, Bahdanau et al. 2015
and Luong et al. 2015 with it.

In this order: the configuration, the attention scores, the decoder's state, the model; the encoder is in
`tx.nn.recurrent`. Without attention the decoder receives the source through its initial state alone.

Shape letters: B batch, S source length, T target length, E d_embedding, D d_model, L layers, V vocabulary,
W hypotheses of one sentence, N = B * W rows of a decoding step.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tx.config.schema import option
from tx.data.batch import Batch
from tx.errors import TxError
from tx.nn.attention import AttentionModule
from tx.nn.dropout import Dropout
from tx.nn.loss import linear_cross_entropy
from tx.nn.recurrent import Cell, RecurrentEncoder, RecurrentStack, reverse_sequences

TASK = "translation"


@dataclass
class Config:
    """Hyperparameters; the defaults are a small model with Luong's attention."""

    src_vocab_size: int = option(0, "Source vocabulary", ge=0, derived=True)
    tgt_vocab_size: int = option(0, "Target vocabulary", ge=0, derived=True)
    shared_vocab: bool = option(True, "One vocabulary for both sides", derived=True)
    cell: Literal["rnn", "gru", "lstm"] = option("lstm", "Recurrent unit; rnn: the plain (Elman) unit")
    d_embedding: int = option(256, "Dimension of the embeddings and of the output layer's input", ge=1)
    d_model: int = option(
        512, "Hidden units of a decoder layer, and of both directions of an encoder layer together", ge=2
    )
    n_layers: int = option(1, "Number of layers in the encoder and in the decoder", ge=1)
    bidirectional: bool = option(True, "Read the source in both directions, each with half of d_model")
    attention: Literal["none", "bahdanau", "luong"] = option(
        "luong",
        "bahdanau: attention before each decoder step; luong: after each decoder step; none: no attention",
    )
    luong_score: Literal["dot", "general", "concat"] = option(
        "general", "Score function of Luong's attention"
    )
    input_feeding: bool = option(
        False, "With luong: feed the attentional vector of the previous step into each step (slower)"
    )
    context_at_each_step: bool = option(
        False, "With none: feed the encoder's last state into each step (Cho et al. 2014)"
    )
    reverse_source: bool = option(False, "Reverse the source (Sutskever et al. 2014)")
    dropout: float = option(
        0.3, "Dropout on the embeddings, between layers and before the output", ge=0, le=0.99
    )
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
        """Raise TxError for settings that contradict each other."""
        if self.max_len < 2:
            raise TxError(f"a max_len of {self.max_len} leaves no room for a target")
        if self.bidirectional and self.d_model % 2:
            raise TxError(
                f"a bidirectional encoder needs an even d_model, not {self.d_model}", "choose an even d_model"
            )
        if self.input_feeding and self.attention != "luong":
            raise TxError("input_feeding needs attention = luong", "change one of them")
        if self.context_at_each_step and self.attention != "none":
            raise TxError("context_at_each_step needs attention = none", "change one of them")

    @property
    def needs_loop(self) -> bool:
        """Whether a step depends on the attention of the step before, so that training loops over the target."""
        return self.attention == "bahdanau" or self.input_feeding


class Scores(AttentionModule):
    """The score function of the attention: Luong's dot or general, or the network v . tanh(W query + U key).

    That network is Bahdanau's with the previous decoder state as the query, and Luong's concat with the present one.
    """

    def __init__(self, kind: Literal["dot", "general", "concat"], d_model: int) -> None:
        super().__init__()
        self.kind = kind
        self.key = nn.Linear(d_model, d_model, bias=False) if kind != "dot" else nn.Identity()
        if kind == "concat":
            self.query = nn.Linear(d_model, d_model)
            self.energy = nn.Linear(d_model, 1, bias=False)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """`query` `[B, T, D]` and `keys` `[B, S, D]`, which is `key(memory)`, to scores `[B, T, S]`."""
        if self.kind == "concat":
            hidden = torch.tanh(self.query(query)[:, :, None] + keys[:, None])  # [B, T, S, D]
            return self.energy(hidden)[..., 0]  # type: ignore[no-any-return]
        return query @ keys.transpose(1, 2)


@dataclass
class Source:
    """B encoded sources."""

    memory: Tensor  # [B, S, D]
    keys: Tensor  # [B, S, D]; unused without attention
    mask: Tensor  # [B, 1, S], True at real tokens
    context: Tensor  # [B, D]: the last hidden state

    def select(self, index: Tensor) -> "Source":
        """The sources `index`."""
        return Source(*(getattr(self, name).index_select(0, index) for name in self.__dataclass_fields__))


@dataclass
class State:
    """The decoder state of N = B * W hypotheses; rows that share a source are adjacent."""

    source: Source
    tensors: tuple[Tensor, ...]  # [L, N, D] each: the hidden state, and the cell state of an LSTM
    fed: Tensor  # [N, E]: the attentional vector of the step before

    def reorder(self, index: Tensor, width: int) -> None:
        """Select the rows `index` `[N']`; each group of `width` rows shares a source."""
        n = self.source.memory.size(0)
        sources = index[::width] // (self.fed.size(0) // n)
        if sources.size(0) != n or not torch.equal(sources, torch.arange(n, device=sources.device)):
            self.source = self.source.select(sources)
        self.tensors = tuple(tensor.index_select(1, index) for tensor in self.tensors)
        self.fed = self.fed.index_select(0, index)


class EncoderDecoder(nn.Module):
    """A recurrent encoder-decoder: `loss` for training, `start` and `step` for decoding."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        e, d = config.d_embedding, config.d_model
        self.src_pad_id, self.tgt_pad_id = config.src_vocab_size - 1, config.tgt_vocab_size - 1
        self.tgt_embedding = nn.Embedding(config.tgt_vocab_size, e, padding_idx=self.tgt_pad_id)
        shared = config.tie_embeddings and config.shared_vocab
        self.src_embedding = (
            self.tgt_embedding
            if shared
            else nn.Embedding(config.src_vocab_size, e, padding_idx=self.src_pad_id)
        )
        self.output = None if config.tie_embeddings else nn.Linear(e, config.tgt_vocab_size, bias=False)
        cell: Cell = config.cell
        self.encoder = RecurrentEncoder(cell, e, d, config.n_layers, config.bidirectional, config.dropout)
        attends = config.attention != "none"
        extra = (
            e
            if config.input_feeding
            else d
            if config.attention == "bahdanau" or config.context_at_each_step
            else 0
        )
        self.decoder = RecurrentStack(cell, e + extra, d, config.n_layers, config.dropout)
        self.bridge = nn.Linear(
            d, d * self.decoder.n_states
        )  # from the encoder's last hidden state to the decoder's initial state
        if attends:
            self.scores = Scores("concat" if config.attention == "bahdanau" else config.luong_score, d)
        self.readout = nn.Linear(2 * d if attends else d, e)
        self.dropout = Dropout(config.dropout)
        for name, parameter in self.named_parameters():
            if "embedding" in name:
                nn.init.normal_(parameter, std=e**-0.5)
            elif name.startswith(("bridge", "readout", "scores", "output")) and parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for embedding in (self.src_embedding, self.tgt_embedding):
            nn.init.zeros_(embedding.weight[-1])  # <pad> is zero and never trained

    def output_weight(self) -> Tensor:
        """`[V - 1, E]`: the output matrix without `<pad>`, the last id, which is never predicted."""
        return (self.tgt_embedding if self.output is None else self.output).weight[:-1]

    def _embed(self, ids: Tensor, embedding: nn.Embedding) -> Tensor:
        return self.dropout(embedding(ids) * self.config.d_embedding**0.5)  # type: ignore[no-any-return]

    def encode(self, src: Tensor) -> tuple[Source, tuple[Tensor, ...]]:
        """Encode `src` `[B, S]`: the source for the decoder, and the decoder's initial states, `[L, B, D]` each."""
        real = src != self.src_pad_id
        lengths = real.sum(dim=1)
        if self.config.reverse_source:
            src = reverse_sequences(src, lengths)
        memory, last = self.encoder(self._embed(src, self.src_embedding), lengths)
        first = torch.tanh(self.bridge(last)).chunk(self.decoder.n_states, dim=-1)
        keys = self.scores.key(memory) if self.config.attention != "none" else memory
        return Source(memory, keys, real[:, None], last[-1]), tuple(x.contiguous() for x in first)

    def attend(self, query: Tensor, source: Source) -> Tensor:
        """The context vectors `[B, T, D]` of `query` `[B, T, D]`: weighted means of the encoder output."""
        scores = self.scores(query, source.keys).masked_fill(~source.mask, float("-inf"))
        weights: Tensor = scores.softmax(dim=-1)
        if self.scores.recorded is not None:
            self.scores.record(self._in_order(weights, source)[:, None])
        return weights @ source.memory

    def _in_order(self, weights: Tensor, source: Source) -> Tensor:
        """`weights` `[B, T, S]` in the order of the source, also where it was read in reverse."""
        if not self.config.reverse_source:
            return weights
        return reverse_sequences(weights.transpose(1, 2), source.mask.sum(dim=-1)[:, 0]).transpose(1, 2)

    def _read_out(self, *parts: Tensor) -> Tensor:
        """Luong's attentional vector tanh(W [context; hidden]), the input of the output layer."""
        return self.dropout(torch.tanh(self.readout(torch.cat(parts, dim=-1))))  # type: ignore[no-any-return]

    def _advance(self, x: Tensor, state: State) -> Tensor:
        """Update `state` by one token of each row, embedded as `x` `[N, E]`; the attentional vectors `[N, E]`."""
        config, source = self.config, state.source
        groups = source.memory.size(0), -1  # the W hypotheses of a sentence attend to it together
        if config.attention == "bahdanau":
            query = state.tensors[0][-1]
            context = self.attend(query.unflatten(0, groups), source).flatten(0, 1)
            y, state.tensors = self.decoder(torch.cat((x, context), dim=-1)[:, None], state.tensors)
            return self._read_out(context, y[:, 0])
        if config.input_feeding:
            x = torch.cat((x, state.fed), dim=-1)
        elif config.context_at_each_step:
            width = x.size(0) // source.context.size(0)
            x = torch.cat((x, source.context.repeat_interleave(width, dim=0)), dim=-1)
        y, state.tensors = self.decoder(x[:, None], state.tensors)
        if config.attention == "none":
            return self._read_out(y[:, 0])
        context = self.attend(y[:, 0].unflatten(0, groups), source).flatten(0, 1)
        state.fed = self._read_out(context, y[:, 0])
        return state.fed

    def decode(self, tgt: Tensor, source: Source, first: tuple[Tensor, ...]) -> Tensor:
        """Teacher forcing: `tgt` `[B, T]` to the attentional vectors `[B, T, E]` that predict each next token."""
        x = self._embed(tgt, self.tgt_embedding)
        if self.config.needs_loop:
            state = State(source, first, torch.zeros_like(x[:, 0]))
            return torch.stack([self._advance(x[:, t], state) for t in range(x.size(1))], dim=1)
        if self.config.context_at_each_step:
            x = torch.cat((x, source.context[:, None].expand(-1, x.size(1), -1)), dim=-1)
        y, _ = self.decoder(x, first)  # all positions in one call: no step depends on an attention result
        if self.config.attention == "none":
            return self._read_out(y)
        return self._read_out(self.attend(y, source), y)

    def forward(self, batch: Batch) -> Tensor:
        """The logits of every target position, `[B, T, V - 1]`."""
        return self.decode(batch.tgt_in, *self.encode(batch.src)) @ self.output_weight().T

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, int]:
        """The sum of the target tokens' losses in nats, and the number of target tokens."""
        vectors = self.decode(batch.tgt_in, *self.encode(batch.src)).flatten(0, 1)
        vectors = vectors.index_select(0, batch.tgt_positions)  # [n_tokens, E], without padding
        return linear_cross_entropy(
            vectors, self.output_weight(), batch.tgt_out, label_smoothing
        ), batch.n_tokens

    def start(self, batch: Batch) -> State:
        """Encode the source; the first token to pass to `step` is `bos_id`, which is `<pad>`."""
        source, first = self.encode(batch.src)
        return State(source, first, source.memory.new_zeros(batch.src.size(0), self.config.d_embedding))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Append `tokens` `[N]` to the hypotheses; the logits of the next token `[N, V - 1]`, and the state."""
        vectors = self._advance(self._embed(tokens, self.tgt_embedding), state)
        return vectors @ self.output_weight().T, state

    def attentions(self) -> dict[str, AttentionModule]:
        """The attention layers by name; there is one, or none."""
        return {} if self.config.attention == "none" else {"cross 1": self.scores}


Model = EncoderDecoder
