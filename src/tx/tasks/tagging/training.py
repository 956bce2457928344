"""Training a tagger: vocabularies, word vectors, sentences and validation of `tx train tagger FILE`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tx.data.tagged import TagSampler, WordEncoder
from tx.decode.tag import Entity, Tagger, format_inline, open_word_encoder
from tx.errors import TxError
from tx.evaluation.tagging import span_scores
from tx.files import sha256
from tx.models import load_architecture
from tx.package import Package, find_package
from tx.tasks.tagging import Config
from tx.text.alphabet import AlphabetTokenizer
from tx.text.conll import TaggedSentence, read_tagged, read_words, spans_from_tags
from tx.text.fit_tokenizer import train_tokenizer
from tx.text.lexicon import Lexicon, learn_lexicon
from tx.text.load_tokenizer import open_tokenizer
from tx.text.tokenizer import Tokenizer
from tx.text.words import spaced
from tx.training.loop import Evaluation
from tx.training.prepare import LoopRun, TrainingSetup
from tx.training.prepare import prepare as prepare_run
from tx.training.run import Listener
from tx.vectors import WordVectors, open_vectors

MAX_VECTORS = 200_000  # of a package: its first, which are the most frequent
N_SAMPLES = 3  # sentences to show at each validation


def fit_word_encoder(
    config: Config,
    sentences: Sequence[TaggedSentence],
    vectors: WordVectors | None,
    say: Callable[[str], None],
) -> WordEncoder:
    """Vocabularies of pieces, characters and words, from the training text and the vectors."""
    data = config.data

    def read(path: str | Path) -> Any:
        return (" ".join(words) for words in read_words(path))

    tokenizer: Tokenizer
    if data.tokenizer:
        tokenizer = open_tokenizer(Package.open(find_package(data.tokenizer, "tokenizer")))
    else:
        tokenizer = train_tokenizer(
            data.tokenizer_kind, data.train, data.vocab_size, seed=config.seed, say=say, read=read
        )
    characters = sorted({c for s in sentences for word in s.words for c in word})
    known = vectors.words[:MAX_VECTORS] if vectors else []
    lexicon = learn_lexicon((s.words for s in sentences), known)
    say(f"{len(tokenizer):,} pieces, {len(characters):,} characters, {len(lexicon) - 1:,} words")
    return WordEncoder(tokenizer, AlphabetTokenizer("".join(characters)), lexicon)


def hold_out(
    sentences: Sequence[TaggedSentence], share: float, seed: int
) -> tuple[list[TaggedSentence], list[TaggedSentence]]:
    """Training and validation sentences, drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(sentences))
    n = round(len(sentences) * share)
    return [sentences[i] for i in sorted(order[n:])], [sentences[i] for i in sorted(order[:n])]


def open_data(
    config: Config, say: Callable[[str], None]
) -> tuple[list[TaggedSentence], list[TaggedSentence]]:
    """The sentences to train and to validate on; without validation files, some are held out."""
    data = config.data
    train, valid = ([s for path in paths for s in read_tagged(path)] for paths in (data.train, data.valid))
    if not data.valid:
        train, valid = hold_out(train, data.valid_fraction, config.seed)
    if not train or not valid:
        raise TxError(
            "there are no sentences to train on, or none to validate on",
            "give a validation file with --valid, or more training text",
        )
    source = "" if data.valid else ", held out at random"
    say(f"{len(train):,} sentences to train on, {len(valid):,} to validate on{source}")
    return train, valid


def types_of(sentences: Sequence[TaggedSentence]) -> list[str]:
    """The types of entities, in alphabetical order."""
    return sorted({tag[2:] for s in sentences for tag in s.tags} - {""})


def build_model(
    config: Config,
    encoder: WordEncoder,
    train: Sequence[TaggedSentence],
    types: list[str],
    vectors: WordVectors | None,
    device: torch.device,
) -> nn.Module:
    """A new model for these vocabularies, initialised from the seed, its words from the vectors."""
    architecture = load_architecture(config.arch)
    derived: dict[str, Any] = {
        "vocab_size": len(encoder.tokenizer),
        "n_words": len(encoder.lexicon),
        "n_trained": 1 + max(encoder.lexicon.id(word) for s in train for word in s.words),
        "n_characters": len(encoder.characters),
        "types": types,
    }
    if vectors is not None:
        derived["d_word"] = vectors.dim
    torch.manual_seed(config.seed)
    model: Any = architecture.Model(architecture.Config(**config.model | derived))
    if vectors is not None:
        model.reader.load_embeddings(initial_words(encoder.lexicon, vectors))
    return model.to(device)  # type: ignore[no-any-return]


def initial_words(lexicon: Lexicon, vectors: WordVectors) -> torch.Tensor:
    """The vector of each word of the lexicon, `[n_words, dim]`, scaled to a mean square of 1; 0 for the others."""
    rows = [vectors.words.find(word) for word in lexicon.words]
    known = [(id, row) for id, row in enumerate(rows, start=1) if row is not None]
    matrix = np.zeros((len(lexicon), vectors.dim), np.float32)
    ids, places = np.array(known).T
    matrix[ids] = vectors.matrix[places]
    matrix /= np.sqrt((matrix[ids] ** 2).mean())
    return torch.from_numpy(matrix)


def _shown(words: Sequence[str], tags: Sequence[str]) -> str:
    return format_inline(*spaced(words), [Entity(span, 1.0) for span in spans_from_tags(tags)])


class Validation:
    """F1 of the entities found in the validation sentences, and the loss of their tags."""

    def __init__(
        self, model: nn.Module, encoder: WordEncoder, valid: Sequence[TaggedSentence], batch_size: int
    ) -> None:
        self.tagger, self.valid, self.batch_size = Tagger(model, encoder), valid, batch_size
        ids = {tag: id for id, tag in enumerate(self.tagger.tags)}
        self.ids = [[ids[tag] for tag in s.tags] for s in valid]

    def __call__(self) -> Evaluation:
        found = [each.tags for each in self.tagger.tag([s.words for s in self.valid])]
        score = span_scores([s.tags for s in self.valid], found)[0]
        samples: list[dict[str, str]] = []
        for s, tags in zip(self.valid, found, strict=True):
            if s.tags != tags and len(samples) < N_SAMPLES:
                samples.append({"ref": _shown(s.words, s.tags), "hyp": _shown(s.words, tags)})
        loss = self._loss()
        values = {"valid_f1": score.f1, "valid_precision": score.precision, "valid_recall": score.recall}
        # Where nothing is found yet, F1 is 0 and the loss decides.
        return Evaluation(score.f1 or -loss, values | {"valid_loss": loss}, samples)

    def _loss(self) -> float:
        total, n_words = 0.0, 0
        sampler = TagSampler(self.tagger.encoder, [s.words for s in self.valid], self.ids, self.batch_size, 0)
        for i in range(sampler.batches_per_epoch()):
            loss, n = self.tagger.model.loss(sampler.peek(i).to(self.tagger.device))
            total, n_words = total + float(loss), n_words + n
        return total / n_words


def set_up(config: Config, saved: Package | None, device: torch.device, listener: Listener) -> TrainingSetup:
    """The data and the model, for `tx.training.prepare`."""
    train, valid = open_data(config, listener.info)
    types = types_of([*train, *valid])
    vectors = open_vectors(config.data.embeddings) if config.data.embeddings else None
    encoder = (
        fit_word_encoder(config, train, vectors, listener.info) if saved is None else open_word_encoder(saved)
    )
    model = build_model(config, encoder, train, types, vectors, device)
    batch_size = config.train.batch_size
    validation = Validation(model, encoder, valid, batch_size)
    ids = {tag: id for id, tag in enumerate(validation.tagger.tags)}
    tags = [[ids[tag] for tag in s.tags] for s in train]
    return TrainingSetup(
        tokenizers={
            "tokenizer": encoder.tokenizer,
            "characters": encoder.characters,
            "words": encoder.lexicon,
        },
        model=model,
        sampler=TagSampler(encoder, [s.words for s in train], tags, batch_size, config.seed),
        evaluate=validation,
        report={
            "files": [{"name": Path(path).name, "sha256": sha256(Path(path))} for path in config.data.train],
            "sentences": len(train),
            "words": sum(len(s.words) for s in train),
            "held_out": 0 if config.data.valid else len(valid),
            "embeddings": vectors.name if vectors else "",
        },
        scores={
            "valid_f1": "F1",
            "valid_precision": "precision",
            "valid_recall": "recall",
            "valid_loss": "loss",
        },
        measured_on="validation",
    )


def prepare(config: Config, out: Path, resume: bool, listener: Listener) -> LoopRun:
    """A run of the training loop in `out`, ready to train."""
    return prepare_run(config, out, resume, listener, set_up)
