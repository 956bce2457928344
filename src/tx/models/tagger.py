"""A tagger: a bidirectional LSTM or a Transformer over subword pieces and word features, with a CRF over the tags.

With the LSTM this is the model of Lample et al. 2016 and Ma and Hovy 2016: word embeddings, possibly pre-trained, a
convolution over the characters of each word, and a conditional random field over the tags.

In this order: the configuration, the features of a word, the encoder, the model.

Shape letters: B sentences, W words, P subword pieces, C characters of a word, D d_model, K tags.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tx.config.schema import option
from tx.data.tagged import N_SHAPES, TagBatch
from tx.errors import TxError
from tx.nn.attention import Attention, check_heads
from tx.nn.crf import LinearChainCRF
from tx.nn.dropout import Dropout
from tx.nn.position import sinusoids
from tx.nn.recurrent import RecurrentEncoder
from tx.nn.transformer import FeedForward, Residual

TASK = "tagging"


@dataclass
class Config:
    """Hyperparameters; the defaults are those of Lample et al. 2016, slightly wider."""

    vocab_size: int = option(0, "Size of the subword vocabulary, <pad> included", ge=0, derived=True)
    n_words: int = option(0, "Number of ids of the lexicon", ge=0, derived=True)
    n_trained: int = option(0, "Number of words with trained embeddings, the first ones", ge=0, derived=True)
    n_characters: int = option(0, "Number of characters, <pad> included", ge=0, derived=True)
    types: list[str] = field(default_factory=list, metadata={"help": "Entity types", "derived": True})
    encoder: Literal["lstm", "transformer"] = option(
        "lstm", "Sentence encoder: bidirectional LSTM or Transformer"
    )
    d_model: int = option(
        200, "Output dimension of every layer; half of it for each direction of an LSTM", ge=2
    )
    n_layers: int = option(1, "Number of layers", ge=1)
    d_ff: int = option(400, "Transformer: hidden dimension of the feed-forward layers", ge=1)
    n_heads: int = option(4, "Transformer: number of attention heads; must divide d_model", ge=1)
    layer_dropout: float = option(0.1, "Transformer: dropout on the output of each sublayer", ge=0, le=0.99)
    d_piece: int = option(50, "Dimension of the subword embeddings", ge=1)
    d_word: int = option(100, "Dimension of the word embeddings; data.embeddings overrides it", ge=1)
    d_character: int = option(30, "Dimension of the character embeddings", ge=1)
    n_filters: int = option(50, "Filters of the convolution over characters", ge=1)
    filter_width: int = option(3, "Width of the filters in characters", ge=1)
    dropout: float = option(0.5, "Dropout before and after the encoder", ge=0, le=0.99)
    word_dropout: float = option(
        0.1, "Fraction of words replaced by the unknown word in training", ge=0, le=0.99
    )

    def __post_init__(self) -> None:
        """Raise TxError for inconsistent values."""
        if self.d_model % 2:
            raise TxError(
                f"a bidirectional encoder needs an even d_model, not {self.d_model}", "choose an even d_model"
            )
        if self.encoder == "transformer":
            check_heads(self.d_model, self.n_heads)
        if not all(isinstance(type, str) and type and not re.search(r"\s", type) for type in self.types):
            raise TxError(f"{self.types} are not entity types", "a type is a word without spaces")
        if not 0 <= self.n_trained <= self.n_words:
            raise TxError(f"n_trained, {self.n_trained}, is not between 0 and n_words, {self.n_words}")

    @property
    def tags(self) -> list[str]:
        """The tags in the order of their ids: O, then B and I of each type."""
        return ["O", *(f"{kind}-{type}" for type in self.types for kind in "BI")]


class WordFeatures(nn.Module):
    """The features of a word without its context: embedding, characters and shape, concatenated."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.n_trained, n_others = config.n_trained, config.n_words - config.n_trained
        self.embedding = nn.Embedding(config.n_trained, config.d_word)
        # Words with pre-trained embeddings that do not occur in the training data: these are not trained.
        self.others = nn.Parameter(torch.zeros(n_others, config.d_word), False) if n_others else None
        self.characters = nn.Embedding(
            config.n_characters, config.d_character, config.n_characters - 1
        )  # <pad>: 0
        self.patterns = nn.Conv1d(
            config.d_character, config.n_filters, config.filter_width, padding=config.filter_width - 1
        )
        self.width = config.d_word + config.n_filters + N_SHAPES
        self.word_dropout = config.word_dropout

    def embed(self, words: Tensor) -> Tensor:
        """The embeddings of `words`, `[..., d_word]`."""
        if self.others is None:
            return self.embedding(words)  # type: ignore[no-any-return]
        trained = words < self.n_trained
        other = F.embedding((words - self.n_trained).clamp(min=0), self.others)
        return torch.where(trained[..., None], self.embedding(words * trained), other)

    @torch.no_grad()
    def load_embeddings(self, vectors: Tensor) -> None:
        """Set the word embeddings to `vectors` `[n_words, d_word]`; a row of zeros keeps the initial one."""
        weight, n = self.embedding.weight, self.n_trained
        weight.copy_(torch.where(vectors[:n].any(dim=1, keepdim=True), vectors[:n], weight))
        if self.others is not None:
            self.others.copy_(vectors[n:])

    def forward(self, batch: TagBatch) -> Tensor:
        """The features of each word, `[B, W, width]`."""
        words = batch.words
        if self.training and self.word_dropout:
            words = words * (torch.rand(words.shape, device=words.device) >= self.word_dropout)
        b, w, c = batch.characters.shape
        x = self.characters(batch.characters).view(b * w, c, -1).transpose(1, 2)
        found = self.patterns(x)  # [B * W, n_filters, C + filter_width - 1]
        length = (batch.characters != self.characters.num_embeddings - 1).sum(dim=2).view(-1, 1, 1)
        inside = torch.arange(found.size(2), device=x.device) < length + found.size(2) - c
        found = found.masked_fill(~inside, -torch.inf).amax(dim=2).relu()
        return torch.cat((self.embed(words), found.view(b, w, -1), batch.shapes), dim=-1)


class TransformerEncoder(nn.Module):
    """A Transformer encoder over a whole sentence, with sinusoidal positions."""

    def __init__(self, config: Config, d_input: int) -> None:
        super().__init__()
        d, n = config.d_model, config.n_layers
        self.input = nn.Linear(d_input, d)
        self.attentions = nn.ModuleList(Attention(d, config.n_heads) for _ in range(n))
        self.feed_forwards = nn.ModuleList(FeedForward(d, config.d_ff, "relu") for _ in range(n))
        self.residuals = nn.ModuleList(Residual(d, config.layer_dropout) for _ in range(2 * n))
        self.norm = nn.LayerNorm(d)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor]:
        """`x` `[B, P, d_input]` to `[B, P, D]`, in a tuple like that of a recurrent encoder."""
        p = x.size(1)
        mask = (torch.arange(p, device=x.device) < lengths[:, None])[:, None, None]
        x = self.input(x)
        x = x + sinusoids(p, x.size(-1)).to(x.device)
        for n, (attention, feed_forward) in enumerate(zip(self.attentions, self.feed_forwards, strict=True)):
            x = self.residuals[2 * n](x, lambda y, attention=attention: attention(y, mask))
            x = self.residuals[2 * n + 1](x, feed_forward)
        return (self.norm(x),)


class Tagger(nn.Module):
    """Emission scores for the tags of each word, and the CRF that decodes them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.reader = WordFeatures(config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_piece)
        width = config.d_piece + self.reader.width
        self.encoder: nn.Module = (
            RecurrentEncoder("lstm", width, config.d_model, config.n_layers, True, config.dropout)
            if config.encoder == "lstm"
            else TransformerEncoder(config, width)
        )
        self.output = nn.Linear(config.d_model, len(config.tags))
        self.chain = LinearChainCRF(len(config.types))  # so named in the packages
        self.dropout = Dropout(config.dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """torch's initialisation, except for embeddings: N(0, 1/4), slightly below the scale of the word vectors."""
        for embedding in (self.embedding, self.reader.embedding, self.reader.characters):
            nn.init.normal_(embedding.weight, std=0.5)
        with torch.no_grad():
            self.reader.characters.weight[-1] = 0

    @property
    def crf(self) -> LinearChainCRF:
        """The layer that scores sequences of tags."""
        return self.chain

    def forward(self, batch: TagBatch) -> Tensor:
        """The emissions, a score for each tag of each word, `[B, W, K]`."""
        known = self.reader(batch)  # [B, W, width]
        known = known.gather(1, batch.word_of[:, :, None].expand(-1, -1, known.size(2)))
        x = self.dropout(torch.cat((self.embedding(batch.pieces), known), dim=-1))  # [B, P, ...]
        x = self.encoder(x, batch.n_pieces)[0]
        x = x.gather(1, batch.first[:, :, None].expand(-1, -1, x.size(2)))  # [B, W, D]
        return self.output(self.dropout(x)).float()  # type: ignore[no-any-return]

    def loss(self, batch: TagBatch, label_smoothing: float = 0.0) -> tuple[Tensor, int]:
        """The sum of the sentences' losses in nats, and the number of words."""
        return self.crf.loss(self(batch), batch.tags, batch.mask), batch.n_tokens


Model = Tagger
