"""From windows of speech to what a step is fed: features on the fly, token ids, and the order of it all.

Nothing is stored but the media themselves. What is random about an item follows from (seed, epoch, item) alone, so a
run that was stopped and resumed sees the same, whoever loads it.

Shape letters: B batch, M mel bins, F frames, T tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from tx.config.schema import FinetuneConfig
from tx.errors import TxError
from tx.speech.features import HOP, Audio, log_mel
from tx.speech.media import RATE
from tx.speech.windows import SECONDS, Labels, Window
from tx.tasks.speech.augment import add_noise, change_speed, hide_bands
from tx.tasks.speech.unheard import too_many

MARGIN = 1.0  # s of silence behind the longest clip of a batch, by which the decoder learns where speech ends
IGNORED = -100  # the label that no loss counts
POOL = 50  # batches whose clips are sorted by length together
NOISE = (10.0, 40.0)  # decibels below the speech


@dataclass(frozen=True)
class Example:
    """An item as it is heard this time: sound, ids, how many ids stay out of the loss, a seed for what follows.

    `unheard` are the items before it that cannot be heard, and in whose place it stands, with the reason.
    """

    audio: Audio
    ids: list[int]
    n_prompt: int
    seed: int
    unheard: dict[int, str] = field(default_factory=dict)


class Examples(Dataset[Example]):
    """Windows of speech as examples. The key of window i in epoch e is `e * len(self) + i`."""

    def __init__(self, windows: Sequence[Window], labels: Labels, config: FinetuneConfig, seed: int) -> None:
        self.windows, self.labels, self.config, self.seed = windows, labels, config, seed

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: int) -> Example:
        """The item, or the next that can be heard. If most cannot, there is silence, and `unheard` says so.

        It may be called in another process, from which neither errors nor warnings come back in good shape.
        """
        epoch, index = divmod(key, len(self.windows))
        unheard: dict[int, str] = {}
        while not too_many(len(unheard), self.windows):
            try:
                return replace(self._heard(epoch, index), unheard=unheard)
            except TxError as error:
                unheard[index] = error.message
                index = (index + 1) % len(self.windows)
        ids, n_prompt = self.labels.ids(self.windows[index])
        return Example(np.zeros(RATE, np.float32), ids, n_prompt, 0, unheard)

    def _heard(self, epoch: int, index: int) -> Example:
        """Raises TxError if the media cannot be read."""
        rng = np.random.default_rng((self.seed, epoch, index))
        window, config = self.windows[index], self.config
        timed, prompted, noisy = rng.random(3) < (config.timestamps, config.previous_text, config.noise)
        audio = window.sound(bool(timed))
        factor = 1 + config.speed * rng.uniform(-1, 1)
        if config.speed and len(audio) / factor <= SECONDS * RATE:
            audio, window = change_speed(audio, factor), faster(window, factor)
        if noisy and audio.any():
            audio = add_noise(audio, rng.uniform(*NOISE), rng)
        ids, n_prompt = self.labels.ids(window, bool(timed), bool(prompted))
        return Example(audio, ids, n_prompt, int(rng.integers(1 << 32)))


def faster(window: Window, factor: float) -> Window:
    """The window with its times as they are once its sound is played `factor` times as fast."""

    def at(time: float) -> float:
        return window.start + (time - window.start) / factor

    cues = tuple(replace(cue, start=at(cue.start), end=at(cue.end)) for cue in window.cues)
    crossing = None if window.crossing is None else at(window.crossing)
    return replace(window, end=at(window.end), cues=cues, crossing=crossing)


class Collator:
    """Examples to a batch: `input_features` `[B, M, F]`, `decoder_input_ids` and `labels` `[B, T]`.

    The decoder reads ids[:-1], which begin with one start token, and predicts ids[1:]. `seconds` is what the encoder
    hears; 0: as much as the longest clip needs. `unheard` is there if items could not be heard.
    """

    def __init__(
        self, n_mels: int, pad_id: int, seconds: float = SECONDS, spec_augment: bool = False
    ) -> None:
        self.n_mels, self.pad_id, self.seconds, self.spec_augment = n_mels, pad_id, seconds, spec_augment

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        n_samples = window_for(max(len(example.audio) for example in examples), self.seconds)
        features = np.stack([self._features(example, n_samples) for example in examples])
        longest = max(len(example.ids) for example in examples) - 1
        inputs = torch.full((len(examples), longest), self.pad_id)
        labels = torch.full((len(examples), longest), IGNORED)
        for row, example in enumerate(examples):
            ids = torch.tensor(example.ids)
            inputs[row, : len(ids) - 1] = ids[:-1]
            labels[row, : len(ids) - 1] = ids[1:]
            labels[row, : example.n_prompt] = IGNORED
        batch = {"input_features": torch.from_numpy(features), "decoder_input_ids": inputs, "labels": labels}
        unheard = {i: reason for example in examples for i, reason in example.unheard.items()}
        return batch | ({"unheard": unheard} if unheard else {})

    def _features(self, example: Example, n_samples: int) -> np.ndarray:
        mel = log_mel(example.audio, self.n_mels, n_samples)
        if self.spec_augment:
            n_frames = min(mel.shape[1], ceil(len(example.audio) / HOP))
            mel = hide_bands(mel, n_frames, np.random.default_rng(example.seed))
        return mel


def window_for(n_samples: int, seconds: float = 0.0) -> int:
    """The samples of the window for clips of up to `n_samples`: whole seconds, and at most 30.

    A window of fixed `seconds` grows where a clip is longer: no sound is cut off.
    """
    needed = ceil(n_samples / RATE) if seconds else ceil(n_samples / RATE + MARGIN)
    return round(min(SECONDS, max(seconds, needed)) * RATE) // (2 * HOP) * 2 * HOP


class Order(Sampler[int]):
    """The keys of an epoch, shuffled so that a batch holds clips of about the same length.

    Whole batches first, in random order; what is left over is the last.
    """

    def __init__(self, windows: Sequence[Window], batch_size: int, seed: int) -> None:
        self.lengths = np.array([window.end - window.start for window in windows])
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        rng, size = np.random.default_rng((self.seed, self.epoch)), self.batch_size
        shuffled = rng.permutation(len(self.lengths))
        pools = np.split(shuffled, range(POOL * size, len(shuffled), POOL * size))
        rows = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        n_whole = len(rows) // size
        start = int(
            rng.integers(len(rows) - n_whole * size + 1)
        )  # who is left over changes, and is not the longest
        left = np.concatenate([rows[:start], rows[start + n_whole * size :]])
        whole = rows[start : start + n_whole * size].reshape(n_whole, size)
        order = np.concatenate([whole[rng.permutation(n_whole)].ravel(), left])
        return iter((order + self.epoch * len(order)).tolist())
