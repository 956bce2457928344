"""The opened model and data of a run: checking them, scoring the model, and writing it as a package."""

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from tx.errors import TxError, UsageError
from tx.evaluation.error_rates import normalizer
from tx.nn.device import choose_device, keep_freed_memory, set_threads, use_bf16
from tx.package import update_package
from tx.package.manifest import SPEECH
from tx.speech.whisper_tokenizer import WhisperTokenizer
from tx.speech.windows import Labels, Window
from tx.tasks.speech.config import Config
from tx.tasks.speech.data import SpeechData, UnreadableItems, check_readable, read_data
from tx.tasks.speech.dataset import Collator, SpeechDataset
from tx.tasks.speech.distributed import all_gather, rank, world_size
from tx.tasks.speech.model import (
    complete_generation_config,
    default_learning_rate,
    n_parameters,
    prepare_model,
    save,
    set_language_and_task,
)
from tx.tasks.speech.pretrained import find_pretrained, import_transformers, load_model, load_processor
from tx.tasks.speech.validation import Validation, score, transcribe
from tx.training.run import Listener, Progress


@dataclass
class SpeechProgress(Progress):
    """How far a run has come; the rest of its state is in the checkpoint of transformers."""

    untouched: dict[str, float] = field(default_factory=dict)  # the scores of the untouched model
    data: str = ""  # the digest of the data


@dataclass
class Session:
    """A model that is ready for training, and everything that training needs."""

    config: Config
    model: Any
    processor: Any
    labels: Labels
    data: SpeechData
    language: str | None
    device: torch.device
    listener: Listener
    dataset: SpeechDataset
    collator: Collator
    unreadable: UnreadableItems  # of the training set

    @property
    def lr(self) -> float:
        """The peak learning rate: as configured, or the default for the size of the model."""
        finetune = self.config.finetune
        return self.config.train.lr or default_learning_rate(self.model.config.d_model, bool(finetune.lora))

    @property
    def n_trained(self) -> int:
        """The number of trained parameters."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    @property
    def precision(self) -> str:
        """The precision of the updates: as configured, or the best one of the device."""
        configured = self.config.train.precision
        if configured == "fp16":
            return configured
        return "bf16" if use_bf16(configured, self.device) else "float32"

    @property
    def valid_batch_size(self) -> int:
        """Larger than in training, as no gradients are stored."""
        return max(8, self.config.train.batch_size)

    def validate(self) -> list[Validation]:
        """Score the model on every validation set; each process of a distributed run transcribes a part.

        Items that prove unreadable are removed from their set. Raises TxError if those are most of it.
        """
        return [self._validate(name, windows) for name, windows in self.data.valid.items()]

    def _validate(self, name: str, windows: list[Window]) -> Validation:
        bf16, n = self.precision == "bf16", world_size()
        share = windows[rank() :: n]
        parts = all_gather(transcribe(self.model, self.processor, share, self.valid_batch_size, bf16))
        unreadable = {i * n + part: why for part in range(n) for i, why in parts[part][1].items()}
        UnreadableItems(windows, self.listener.warn).add(unreadable)
        readable = [i for i in range(len(windows)) if i not in unreadable]
        texts = [parts[i % n][0][i // n] for i in readable]
        self.data.valid[name] = [windows[i] for i in readable]
        spelling = self.processor.tokenizer.english_spelling_normalizer
        return score(name, self.data.valid[name], texts, normalizer(self.language or "basic", spelling))

    def publish(self, validations: list[Validation], progress: SpeechProgress, out: Path) -> None:
        """Write the current model as the package `out`."""
        config, finetune, pretrained = self.config, self.config.finetune, Path(self.config.finetune.init_from)
        keys = ("audio_window", "timestamps", "previous_text", "spec_augment", "speed", "noise")
        untouched = {name.removeprefix("valid_"): round(rate, 2) for name, rate in progress.untouched.items()}
        update_package(
            out,
            lambda folder: save(self.model, self.processor, folder),
            task=SPEECH,
            arch=config.arch,
            config={
                "init_from": pretrained.name if pretrained.is_dir() else finetune.init_from,
                **{name: getattr(finetune, name) for name in (*keys, "freeze_encoder", "lora")},
                "parameters": n_parameters(self.model),
                "precision": self.precision,
                "lr": self.lr,
                "batch_size": config.train.batch_size * config.train.grad_accum * world_size(),
                "steps": progress.step,
                "seed": config.seed,
            },
            decode={"language": self.language, "task": finetune.task},
            data={
                "language": self.language or "several",
                "items": len(self.data.train),
                "hours": round(self.data.seconds / 3600, 2),
                "files": [{"name": Path(path).name} for path in config.data.train],
                "the untouched model on validation": untouched,
            },
            scores=_scores(validations, progress.step),
        )


def _scores(validations: list[Validation], step: int) -> list[dict[str, Any]]:
    rows = []
    for validation in validations:
        where = "validation" if validation is validations[0] else validation.name
        for kind, rates in (("normalised", validation.normalized), ("as written", validation.raw)):
            row = {"data": f"{where}, step {step}", "signature": kind}
            rows += [row | {"metric": name, "value": 100 * getattr(rates, name)} for name in ("wer", "cer")]
    return rows


def open_session(config: Config, listener: Listener) -> Session:
    """Load and check the model and the data of a configuration. Raises TxError for any fault in them."""
    finetune = config.finetune
    import_transformers()
    keep_freed_memory()
    set_threads(config.train.threads)
    device = choose_device(config.train.device)
    if device.index:
        hint = f"CUDA_VISIBLE_DEVICES={device.index} tx train ..."
        raise UsageError(f"fine-tuning uses the first visible GPU, not {device}", hint)
    if config.train.precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 needs a GPU", "use --precision bf16 or float32")
    folder = find_pretrained(finetune.init_from)
    tokenizer = WhisperTokenizer(folder)
    language = tokenizer.language(finetune.language) if finetune.language else None
    multilingual = bool(tokenizer.languages)
    if not multilingual and finetune.task == "translate":
        raise UsageError(
            f"{finetune.init_from} is an English-only model and cannot translate", "use a multilingual model"
        )
    processor = load_processor(folder)
    labels = Labels(tokenizer, language, finetune.task)
    data = read_data(config, labels, language, listener.info)
    if finetune.strict:
        check_readable([*data.train, *chain.from_iterable(data.valid.values())][rank() :: world_size()])
    languages = {window.language for window in data.train}
    if multilingual and language is None:
        if None in languages:
            unnamed = next(window.origin for window in data.train if window.language is None)
            raise TxError(f"{unnamed} does not say which language is spoken", "name it: --language de")
        language = languages.pop() if len(languages) == 1 else None
    model = load_model(folder)
    complete_generation_config(model, tokenizer)
    set_language_and_task(model, language, finetune.task if multilingual else None)
    torch.manual_seed(config.seed)  # for the initial values of adapters
    return Session(
        config,
        prepare_model(model, finetune),
        processor,
        labels,
        data,
        language,
        device,
        listener,
        SpeechDataset(data.train, labels, finetune, config.seed),
        Collator(
            model.config.num_mel_bins, model.config.pad_token_id, finetune.audio_window, finetune.spec_augment
        ),
        UnreadableItems(data.train, listener.warn),
    )
