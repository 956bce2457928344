"""A pretrained model and the data it shall learn from, opened and checked; scoring and keeping it."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from tx.config.schema import SPEECH, RunConfig
from tx.errors import TxError, UsageError
from tx.evaluate.error_rates import normalizer
from tx.nn.device import choose_device, keep_freed_memory, set_threads, use_bf16
from tx.package import update_package
from tx.speech.whisper_tokenizer import WhisperTokenizer
from tx.speech.windows import Labels, Window
from tx.tasks.speech.checkpoint import find_checkpoint, load_model, load_processor, transformers
from tx.tasks.speech.data import Data, read_data
from tx.tasks.speech.model import complete, learning_rate_for, lock, n_saved, save
from tx.tasks.speech.ranks import gathered, rank, world_size
from tx.tasks.speech.unheard import Unheard, hear
from tx.tasks.speech.validate import Validation, generate, score


@dataclass
class Session:
    """A model that is ready to be trained, and all that goes with it."""

    config: RunConfig
    model: Any
    processor: Any
    labels: Labels
    data: Data
    language: str | None
    device: torch.device
    listener: Any

    @property
    def lr(self) -> float:
        """The peak learning rate: as configured, else by the size of the model."""
        finetune = self.config.finetune
        return self.config.train.lr or learning_rate_for(self.model.config.d_model, bool(finetune.lora))

    @property
    def n_parameters(self) -> tuple[int, int]:
        """The numbers that are trained, and all of them."""
        sizes = [(p.numel(), p.requires_grad) for p in self.model.parameters()]
        return sum(n for n, trained in sizes if trained), sum(n for n, _ in sizes)

    @property
    def precision(self) -> str:
        """That of the updates: as configured, else what suits the device."""
        configured = self.config.train.precision
        if configured == "fp16":
            return configured
        return "bf16" if use_bf16(configured, self.device) else "float32"

    @property
    def valid_batch_size(self) -> int:
        """Without gradients there is room for more than in training."""
        return max(8, self.config.train.batch_size)

    def validate(self) -> list[Validation]:
        """Score every set; each process of a distributed run writes down its share.

        What cannot be heard is left out of the set from then on. Raises TxError if that is most of it.
        """
        return [self._validated(name, windows) for name, windows in self.data.valid.items()]

    def _validated(self, name: str, windows: list[Window]) -> Validation:
        bf16 = self.precision == "bf16"
        share = windows[rank() :: world_size()]
        parts = gathered(generate(self.model, self.processor, share, self.valid_batch_size, bf16))
        places = [divmod(i, len(parts)) for i in range(len(windows))]
        texts = [parts[part][0][row] for row, part in places]
        reasons = [parts[part][1].get(row) for row, part in places]
        Unheard(windows, self.listener.warn).add({i: why for i, why in enumerate(reasons) if why})
        heard = [i for i, why in enumerate(reasons) if not why]
        windows, texts = [windows[i] for i in heard], [texts[i] for i in heard]
        self.data.valid[name] = windows
        spelling = self.processor.tokenizer.english_spelling_normalizer
        return score(name, windows, texts, normalizer(self.language or "basic", spelling))

    def publish(self, validations: list[Validation], progress: Any, out: Path) -> None:
        """Make the model as it stands the package."""
        config, finetune = self.config, self.config.finetune
        update_package(
            out,
            lambda folder: save(self.model, self.processor, folder),
            task=SPEECH,
            arch=config.arch,
            config=_told_config(self, progress.step),
            decode={"language": self.language, "task": finetune.task},
            data=_told_data(self, progress),
            scores=_scores(validations, progress.step),
        )


def _told_config(session: Session, step: int) -> dict[str, Any]:
    config, finetune = session.config, session.config.finetune
    heard = ("audio_window", "timestamps", "previous_text", "spec_augment", "speed", "noise")
    folder = Path(finetune.init_from)
    return {
        "init_from": folder.name if folder.is_dir() else finetune.init_from,
        **{name: getattr(finetune, name) for name in (*heard, "freeze_encoder", "lora")},
        "parameters": n_saved(session.model),
        "precision": session.precision,
        "lr": session.lr,
        "batch_size": config.train.batch_size * config.train.grad_accum * world_size(),
        "steps": step,
        "seed": config.seed,
    }


def _told_data(session: Session, progress: Any) -> dict[str, Any]:
    files = [{"name": Path(path).name} for path in session.config.data.train]
    first = {name.removeprefix("valid_"): round(value, 2) for name, value in progress.first.items()}
    return {
        "language": session.language or "several",
        "items": len(session.data.train),
        "hours": round(session.data.seconds / 3600, 2),
        "files": files,
        "the untouched model on validation": first,
    }


def _scores(validations: list[Validation], step: int) -> list[dict[str, Any]]:
    rows = []
    for validation in validations:
        first = validation is validations[0]
        where = f"validation, step {step}" if first else f"{validation.name}, step {step}"
        for kind, rates in (("normalised", validation.normalized), ("as written", validation.raw)):
            for metric, value in (("wer", rates.wer), ("cer", rates.cer)):
                rows.append({"metric": metric, "value": 100 * value, "data": where, "signature": kind})
    return rows


def open_session(config: RunConfig, listener: Any) -> Session:
    """The model, prepared, and the data. Raises TxError for whatever is not as it should be."""
    finetune = config.finetune
    transformers()
    keep_freed_memory()
    set_threads(config.train.threads)
    device = _device(config)
    folder = find_checkpoint(finetune.init_from)
    vocabulary = WhisperTokenizer(folder)
    language = vocabulary.language(finetune.language) if finetune.language else None
    multilingual = bool(vocabulary.languages)
    if not multilingual and finetune.task == "translate":
        raise UsageError(
            f"{finetune.init_from} knows English alone and cannot translate", "use a multilingual model"
        )
    processor = load_processor(folder)
    labels = Labels(processor.tokenizer, language if multilingual else None, finetune.task, multilingual)
    data = read_data(config, labels, language, listener.info)
    if finetune.strict:
        hear([*data.train, *chain.from_iterable(data.valid.values())][rank() :: world_size()])
    spoken = {window.language for window in data.train}
    if multilingual and language is None:
        if None in spoken:
            unnamed = next(window.origin for window in data.train if window.language is None)
            raise TxError(f"{unnamed} does not say which language is spoken", "name it: --language de")
        language = spoken.pop() if len(spoken) == 1 else None
    model = load_model(folder)
    complete(model, vocabulary)
    lock(model, language, finetune.task if multilingual else None)
    return Session(config, model, processor, labels, data, language, device, listener)


def _device(config: RunConfig) -> torch.device:
    device = choose_device(config.train.device)
    if device.index:
        raise UsageError(
            f"fine-tuning takes the first GPU that it sees, not {device}",
            f"CUDA_VISIBLE_DEVICES={device.index} tx train ...",
        )
    if config.train.precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 needs a GPU", "use --precision bf16 or float32")
    return device
