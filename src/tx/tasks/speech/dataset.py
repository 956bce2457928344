"""Windows of speech as batches: features computed on the fly, token ids, and the order of an epoch.

Only the media are stored. The random choices for an item follow from (seed, epoch, item) alone: they are the same in
a resumed run, and in whichever process an item is loaded.

Shape letters: B batch, M mel bins, F frames, T tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from tx.errors import TxError
from tx.speech.features import HOP, Audio, log_mel
from tx.speech.media import RATE
from tx.speech.windows import SECONDS, Labels, Window
from tx.tasks.speech.augment import add_noise, change_speed, spec_augment
from tx.tasks.speech.config import FinetuneConfig
from tx.tasks.speech.data import mostly_unreadable

# s of silence after the longest clip of a batch, from which the decoder learns where speech ends
MARGIN = 1.0
IGNORED = -100  # the label that does not count in the loss
POOL = 50  # number of batches whose clips are sorted by length together
SNR = (10.0, 40.0)  # dB, range of the signal-to-noise ratio


@dataclass(frozen=True)
class Example:
    """An item: sound, token ids, the number of ids without loss, and the seed for SpecAugment.

    `unreadable` has the items that it stands in for because they cannot be read, with the reasons.
    """

    audio: Audio
    ids: list[int]
    n_prompt: int
    seed: int
    unreadable: dict[int, str] = field(default_factory=dict)


class SpeechDataset(Dataset[Example]):
    """Windows of speech as examples. The key of window i in epoch e is `e * len(self) + i`."""

    def __init__(self, windows: Sequence[Window], labels: Labels, config: FinetuneConfig, seed: int) -> None:
        self.windows, self.labels, self.config, self.seed = windows, labels, config, seed

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: int) -> Example:
        """The item, or the next one that can be read. If most cannot, the sound is silence.

        It may be called in a worker process, from which exceptions and warnings do not return intact.
        """
        epoch, index = divmod(key, len(self.windows))
        unreadable: dict[int, str] = {}
        while not mostly_unreadable(len(unreadable), self.windows):
            try:
                return replace(self._load(epoch, index), unreadable=unreadable)
            except TxError as error:
                unreadable[index] = error.message
                index = (index + 1) % len(self.windows)
        ids, n_prompt = self.labels.ids(self.windows[index])
        return Example(np.zeros(RATE, np.float32), ids, n_prompt, 0, unreadable)

    def _load(self, epoch: int, index: int) -> Example:
        """Raises TxError if the media cannot be read."""
        rng = np.random.default_rng((self.seed, epoch, index))
        window, config = self.windows[index], self.config
        timed, prompted, noisy = rng.random(3) < (config.timestamps, config.previous_text, config.noise)
        audio = window.sound(bool(timed))
        factor = 1 + config.speed * rng.uniform(-1, 1)
        if config.speed and len(audio) / factor <= SECONDS * RATE:
            audio, window = change_speed(audio, factor), scale_times(window, factor)
        if noisy and audio.any():
            audio = add_noise(audio, rng.uniform(*SNR), rng)
        ids, n_prompt = self.labels.ids(window, bool(timed), bool(prompted))
        return Example(audio, ids, n_prompt, int(rng.integers(1 << 32)))


def scale_times(window: Window, factor: float) -> Window:
    """The window with its times after its sound has been played `factor` times as fast."""

    def at(time: float) -> float:
        return window.start + (time - window.start) / factor

    cues = tuple(replace(cue, start=at(cue.start), end=at(cue.end)) for cue in window.cues)
    crossing = None if window.crossing is None else at(window.crossing)
    return replace(window, end=at(window.end), cues=cues, crossing=crossing)


class Collator:
    """Examples to a batch: `input_features` `[B, M, F]`, `decoder_input_ids` and `labels` `[B, T]`.

    The decoder reads ids[:-1], which begin with one start token, and predicts ids[1:]. `seconds` is the length of the
    encoder's window; 0: that of the longest clip. `unreadable` is in the batch only if an item could not be read.
    """

    def __init__(
        self, n_mels: int, pad_id: int, seconds: float = SECONDS, spec_augment: bool = False
    ) -> None:
        self.n_mels, self.pad_id, self.seconds, self.spec_augment = n_mels, pad_id, seconds, spec_augment

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        n_samples = window_samples(max(len(example.audio) for example in examples), self.seconds)
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
        unreadable = {i: reason for example in examples for i, reason in example.unreadable.items()}
        return batch | ({"unreadable": unreadable} if unreadable else {})

    def _features(self, example: Example, n_samples: int) -> np.ndarray:
        mel = log_mel(example.audio, self.n_mels, n_samples)
        if self.spec_augment:
            n_frames = min(mel.shape[1], ceil(len(example.audio) / HOP))
            mel = spec_augment(mel, n_frames, np.random.default_rng(example.seed))
        return mel


def window_samples(n_samples: int, seconds: float = 0.0) -> int:
    """The length of the encoder's window for clips of up to `n_samples`: whole seconds, and at most 30.

    A window of fixed `seconds` grows if a clip is longer: no sound is cut off.
    """
    needed = ceil(n_samples / RATE) if seconds else ceil(n_samples / RATE + MARGIN)
    return round(min(SECONDS, max(seconds, needed)) * RATE) // (2 * HOP) * 2 * HOP


class EpochSampler(Sampler[int]):
    """The keys of an epoch, shuffled so that the clips of a batch have about the same length.

    The whole batches come first, in random order, and then the remaining items.
    """

    def __init__(self, windows: Sequence[Window], batch_size: int, seed: int) -> None:
        self.lengths = np.array([window.end - window.start for window in windows])
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        rng, size = np.random.default_rng((self.seed, self.epoch)), self.batch_size
        shuffled = rng.permutation(len(self.lengths))
        pools = np.split(shuffled, range(POOL * size, len(shuffled), POOL * size))
        rows = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        n_whole = len(rows) // size
        # The remaining items differ from epoch to epoch, and are not always the longest.
        start = int(rng.integers(len(rows) - n_whole * size + 1))
        remaining = np.concatenate([rows[:start], rows[start + n_whole * size :]])
        whole = rows[start : start + n_whole * size].reshape(n_whole, size)
        order = np.concatenate([whole[rng.permutation(n_whole)].ravel(), remaining])
        return iter((order + self.epoch * len(order)).tolist())
