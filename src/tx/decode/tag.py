"""Tagging: the most probable tags of each sentence, its entities, and the probability of each entity."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from tx.data.tagged import WordEncoder
from tx.errors import TxError
from tx.models import load_model
from tx.nn.device import prepare_device
from tx.package import Package, load_package
from tx.text.alphabet import AlphabetTokenizer
from tx.text.conll import Span, spans_from_tags
from tx.text.lexicon import Lexicon
from tx.text.load_tokenizer import open_tokenizer
from tx.text.words import Word

MAX_WORDS = 200  # per sentence; a longer one is tagged in parts
BATCH_WORDS = 4000  # per batch, padding included


@dataclass(frozen=True)
class Entity:
    """A predicted entity, and the probability of exactly this span and type."""

    span: Span
    score: float

    def characters(self, words: Sequence[Word]) -> tuple[int, int]:
        """The first character of the entity in the line of `words`, and the one after its last."""
        return words[self.span.start].start, words[self.span.end - 1].end


@dataclass(frozen=True)
class TaggedWords:
    """A BIO tag for each word of a sentence, and the entities in it."""

    tags: list[str]
    entities: list[Entity]


class Tagger:
    """A model with its word encoder."""

    def __init__(self, model: nn.Module, encoder: WordEncoder) -> None:
        self.model: Any = model
        self.encoder = encoder
        self.device = next(model.parameters()).device
        config: Any = model.config
        self.tags: list[str] = config.tags

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[TaggedWords]:
        """The tags and entities of each sentence, which may be empty."""
        parts = [
            (i, s[at : at + MAX_WORDS]) for i, s in enumerate(sentences) for at in range(0, len(s), MAX_WORDS)
        ]
        order = sorted(range(len(parts)), key=lambda i: -len(parts[i][1]))
        done: list[TaggedWords | None] = [None] * len(parts)
        while order:
            n = max(1, BATCH_WORDS // len(parts[order[0]][1]))
            chosen, order = order[:n], order[n:]
            for i, found in zip(chosen, self._tag([parts[i][1] for i in chosen]), strict=True):
                done[i] = found
        results = [TaggedWords([], []) for _ in sentences]
        for (i, _), part in zip(parts, cast(list[TaggedWords], done), strict=True):
            results[i] = _joined(results[i], part)
        return results

    @torch.inference_mode()
    def _tag(self, sentences: Sequence[Sequence[str]]) -> list[TaggedWords]:
        batch = self.encoder.batch(sentences).to(self.device)
        crf, emissions = self.model.crf, self.model(batch)
        best = crf.viterbi(emissions, batch.mask).tolist()
        sums = (
            emissions,
            crf.forward_scores(emissions, batch.mask),
            crf.backward_scores(emissions, batch.mask),
        )
        found = []
        for row, sentence in enumerate(sentences):
            tags = [self.tags[k] for k in best[row][: len(sentence)]]
            own = [tensor[row, : len(sentence)] for tensor in sums]
            entities = []
            for span in spans_from_tags(tags):
                type = self.model.config.types.index(span.type)
                logprob = crf.span_logprob(*own, span.start, span.end, type)
                entities.append(Entity(span, min(1.0, math.exp(logprob))))
            found.append(TaggedWords(tags, entities))
        return found


def _joined(found: TaggedWords, part: TaggedWords) -> TaggedWords:
    """The tags of a sentence, extended by those of its next part."""
    n = len(found.tags)
    moved = [Entity(Span(e.span.start + n, e.span.end + n, e.span.type), e.score) for e in part.entities]
    return TaggedWords([*found.tags, *part.tags], [*found.entities, *moved])


def open_word_encoder(package: Package) -> WordEncoder:
    """The word encoder of a tagger's package. Raises TxError if a part of it is missing."""
    for name, kind in (("characters", "alphabet"), ("words", "lexicon")):
        if package.tokenizers.get(name, {}).get("kind") != kind:
            raise TxError(f"{package.path} has no {name}", "copy, download or train the package again")
    alphabet, lexicon = (package.file(package.tokenizers[name]["file"]) for name in ("characters", "words"))
    return WordEncoder(
        open_tokenizer(package),
        AlphabetTokenizer.parse(alphabet.read_bytes(), str(alphabet)),
        Lexicon.parse(lexicon.read_bytes(), str(lexicon)),
    )


def open_tagger(path: Path, device: str = "auto", threads: int = 0) -> Tagger:
    """The tagger of the package at `path`. Raises TxError if there is no such package, or if it is damaged."""
    chosen = prepare_device(device, threads)

    def build(package: Package) -> Tagger:
        encoder, model = open_word_encoder(package), load_model(package, chosen)
        sizes = len(encoder.tokenizer), len(encoder.lexicon), len(encoder.characters)
        config: Any = model.config
        if sizes != (config.vocab_size, config.n_words, config.n_characters):
            raise TxError(
                f"{package.path}: its vocabularies have {sizes} entries, which does not fit its weights",
                "copy, download or train the package again",
            )
        return Tagger(model, encoder)

    return load_package(path, build, "tagging")


def format_inline(text: str, words: Sequence[Word], entities: Sequence[Entity], scores: bool = False) -> str:
    """A line with its entities in brackets, "I work at [ORG OpenML]."; `scores` adds theirs after the type."""
    for entity in reversed(entities):
        start, end = entity.characters(words)
        label = f"{entity.span.type} {entity.score:.2f}" if scores else entity.span.type
        text = f"{text[:start]}[{label} {text[start:end]}]{text[end:]}"
    return text
