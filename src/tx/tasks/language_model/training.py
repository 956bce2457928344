"""Training a language model: tokenizer, stream of text, validation and samples of `tx train char-rnn FILE`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tx.data.stream import StreamSampler, encode_stream
from tx.decode.generate import GenerationOptions, LanguageModel, TorchLM
from tx.decode.sampling import Sampling
from tx.errors import TxError
from tx.evaluation.perplexity import RunningText
from tx.files import cache_folder, sha256
from tx.models import load_architecture
from tx.package import Package, find_package
from tx.tasks.language_model import Config
from tx.text.fit_tokenizer import train_tokenizer
from tx.text.load_tokenizer import open_tokenizer
from tx.text.tokenizer import Tokenizer
from tx.training.loop import Evaluation
from tx.training.prepare import LoopRun, TrainingSetup
from tx.training.prepare import prepare as prepare_run
from tx.training.run import Listener

SAMPLE, TEMPERATURE = 200, 0.8  # tokens of text to show at each validation


def fit_tokenizer(config: Config, say: Callable[[str], None]) -> Tokenizer:
    """The tokenizer of the named package, or a new one fitted to the training text."""
    data = config.data
    if data.tokenizer:
        return open_tokenizer(Package.open(find_package(data.tokenizer, "tokenizer")))
    if data.tokenizer_kind != "alphabet":
        say(f"training a {data.tokenizer_kind} tokenizer of {data.vocab_size:,} pieces")
        return train_tokenizer(data.tokenizer_kind, data.train, data.vocab_size, seed=config.seed, say=say)
    tokenizer = train_tokenizer("alphabet", data.train, data.vocab_size)
    say(f"alphabet: {len(tokenizer) - 3:,} different characters and the newline")
    return tokenizer


def open_text(config: Config, tokenizer: Tokenizer, say: Callable[[str], None]) -> tuple[Any, Any]:
    """The ids of training and validation text; without validation files, the end of the training text."""
    data, cache = config.data, cache_folder()
    ids = encode_stream(data.train, tokenizer, cache)
    if data.valid:
        train, valid = ids, encode_stream(data.valid, tokenizer, cache)
        held_out = "in " + " ".join(data.valid)
    else:
        cut = int(len(ids) * (1 - data.valid_fraction))
        train, valid = ids[:cut], ids[cut:]
        held_out = "held out, the end of the text"
    say(f"{' '.join(data.train)}: {len(train):,} tokens to train on; {len(valid):,} {held_out}")
    if len(valid) < 2:
        raise TxError(
            "there is no text to validate on", "name a file with --valid, or a larger data.valid_fraction"
        )
    return train, valid


def build_model(config: Config, tokenizer: Tokenizer, device: torch.device) -> nn.Module:
    """A new model for this vocabulary, initialised from the seed."""
    architecture = load_architecture(config.arch)
    derived = {"vocab_size": len(tokenizer), "max_len": config.train.seq_len}
    known = {
        name: value for name, value in derived.items() if name in architecture.Config.__dataclass_fields__
    }
    torch.manual_seed(config.seed)
    model: nn.Module = architecture.Model(architecture.Config(**config.model | known))
    return model.to(device)


def sample(model: Any, tokenizer: Tokenizer, seed: int) -> str:
    """A text that the model makes up."""
    language = LanguageModel(TorchLM(model), tokenizer, getattr(model.config, "max_len", None))
    options = GenerationOptions(SAMPLE, Sampling(TEMPERATURE, seed=seed))
    return "".join(next(language.generate("", options)))


class Validation:
    """The loss of the validation text, and a text that the model makes up."""

    def __init__(self, model: nn.Module, valid: np.ndarray, tokenizer: Tokenizer, config: Config) -> None:
        self.model, self.tokenizer, self.config = model, tokenizer, config
        limit = config.train.eval_tokens or len(valid)
        self.text = RunningText(valid[:limit], tokenizer, config.train.seq_len)

    def __call__(self) -> Evaluation:
        found = self.text.measure(self.model)
        values = {
            "valid_loss": found.loss,
            "valid_bpc": found.bits_per_character,
            "valid_ppl": found.perplexity,
        }
        text = sample(self.model, self.tokenizer, self.config.seed)
        return Evaluation(-found.loss, values, [{"sample": text}])

    def n_updates(self) -> float:
        """What a validation costs, in updates: the text takes a third as long, and drawing is slow."""
        train = self.config.train
        return (self.text.n_tokens / 3 + 10 * SAMPLE) / (train.batch_size * train.seq_len * train.grad_accum)


def set_up(config: Config, saved: Package | None, device: torch.device, listener: Listener) -> TrainingSetup:
    """The data and the model, for `tx.training.prepare`."""
    tokenizer = fit_tokenizer(config, listener.info) if saved is None else open_tokenizer(saved)
    train, valid = open_text(config, tokenizer, listener.info)
    model: Any = build_model(config, tokenizer, device)
    validation = Validation(model, valid, tokenizer, config)
    batch_size, seq_len = config.train.batch_size, config.train.seq_len
    return TrainingSetup(
        tokenizers={"tokenizer": tokenizer},
        model=model,
        sampler=StreamSampler(train, batch_size, seq_len, config.seed, contiguous=model.stateful),
        evaluate=validation,
        evaluation_cost=validation.n_updates(),
        report={
            "files": [{"name": Path(path).name, "sha256": sha256(Path(path))} for path in config.data.train],
            "tokens": len(train),
            "held_out": 0 if config.data.valid else len(valid),
        },
        scores={"valid_loss": "loss", "valid_bpc": "bits per character", "valid_ppl": "perplexity"},
        measured_on="validation",
    )


def prepare(config: Config, out: Path, resume: bool, listener: Listener) -> LoopRun:
    """A run of the training loop in `out`, ready to train."""
    return prepare_run(config, out, resume, listener, set_up)
