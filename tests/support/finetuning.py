"""Tiny runs of Whisper fine-tuning for tests: sets of beeps, a configuration, a listener that records, a clock."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch

from media import beeps, write_media
from tx.speech.windows import Window
from tx.tasks.speech.config import Config
from tx.tasks.speech.pretrained import find_pretrained, load_model
from tx.tasks.speech.run import prepare
from tx.tasks.speech.session import SpeechProgress

RATE = 16_000


@dataclass
class Recorder:
    """A listener that records all that it receives."""

    messages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    trained: list[dict[str, Any]] = field(default_factory=list)
    validations: list[tuple[dict[str, Any], bool]] = field(default_factory=list)

    def info(self, message: str) -> None:
        self.messages.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def train(self, record: dict[str, Any]) -> None:
        self.trained.append(record)

    def validated(self, record: dict[str, Any], samples: list[dict[str, str]], best: bool) -> None:
        self.validations.append((record, best))


@dataclass
class Clock:
    """A clock that advances only when a test makes it."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds

    def slow_down(self, work: Any, seconds: Any) -> Any:
        """A function that does `work` and advances the clock by `seconds`, or by what they are for its arguments."""

        def slow(*args: Any) -> Any:
            self.seconds += seconds(*args) if callable(seconds) else seconds
            return work(*args)

        return slow


def configuration(tiny: Path, speech: Path, **changes: Any) -> Config:
    """Six steps over a set of beeps; keys as in `train_lr`, `finetune_lora`."""
    config = Config()
    config.arch = "whisper"
    config.data.train = [str(speech)]
    config.finetune.init_from, config.finetune.language = str(tiny), "de"
    config.train.batch_size, config.train.max_steps, config.train.eval_every = 2, 6, 3
    config.train.precision, config.train.log_every, config.train.lr = "float32", 2, 1e-3
    for key, value in changes.items():
        section, _, name = key.partition("_")
        setattr(getattr(config, section), name, value)
    return config


def train(
    config: Config, out: Path, resume: bool = False, listener: Any = None, **options: Any
) -> SpeechProgress:
    """Prepare the run and train."""
    return prepare(config, out, resume, listener or Recorder(), **options).train()


def write_set(folder: Path, n: int = 8, seconds: float = 1.0) -> Path:
    """`n` files of beeps of different pitch and length, with a table of their texts; other noise in other sets."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([n, crc32(folder.name.encode())])
    rows = ["file_name,transcription"]
    for i in range(n):
        length = seconds * (1 + i % 3)
        sound = beeps(length, at=(0.1,), length=length - 0.3, pitch=200.0 + 40 * i)
        sound += 0.01 * rng.standard_normal(len(sound)).astype(np.float32)
        write_media(folder / f"{i}.wav", sound)
        rows.append(f"{i}.wav,beep {'ho' * (i % 4 + 1)} {i}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def write_set_with_truncated(folder: Path, *numbers: int) -> Path:
    """A set of which some items are truncated FLAC files: their headers do not show it, and decoding does."""
    table, rng = write_set(folder) / "metadata.csv", np.random.default_rng(crc32(folder.name.encode()))
    for i in numbers:
        sound = 0.1 * rng.standard_normal(3 * RATE).astype(np.float32)
        file = write_media(folder / f"{i}.flac", sound, codec="flac")
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        table.write_text(table.read_text().replace(f"{i}.wav", f"{i}.flac"))
    return folder


def window(text: str = "Guten Tag.", seconds: float = 2.0, **more: Any) -> Window:
    return Window(Path("none.wav"), 0.0, seconds, text, **more)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_model(find_pretrained(str(folder))).state_dict())
