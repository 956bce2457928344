"""The native engine: decodes windows of up to 30 s with PyTorch and the search of `tx.decode.search`.

Shape letters: B windows, W hypotheses of each, N = B * W rows, D d_model, M mel bins, S audio positions,
V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tx.decode.sampling import Sampling
from tx.decode.search import Hypothesis, beam_search, greedy_search
from tx.models import whisper
from tx.nn.device import prepare_device
from tx.package.hf_folder import HfFolder
from tx.speech.features import HOP, Audio, log_mel
from tx.speech.transcribe.decoding import Batch, DecodingResult, Options, decode_with_fallback
from tx.speech.transcribe.logits_processors import (
    NEGATIVE_INFINITY,
    TimestampState,
    mask_first_logits,
    mask_next_logits,
)
from tx.speech.whisper_tokenizer import WhisperTokenizer


@dataclass
class Windows:
    """The batch that a search starts from: the encoder output of B windows, and their prompts of equal length."""

    src: Tensor  # [B, S, D]
    prompts: list[list[int]]
    timestamps: bool
    no_speech: list[float] = field(default_factory=list)  # probabilities, set when the search starts


@dataclass
class State:
    """The state of N rows of a search."""

    decoder: whisper.DecoderState
    timestamps: TimestampState
    with_timestamps: bool
    first_logits: Tensor | None  # of the first token, computed with the prompt, until `step` returns them

    def reorder(self, index: Tensor, width: int) -> None:
        self.decoder.reorder(index, width)
        self.timestamps.reorder(index)


class NativeEngine:
    """Implements the contract of a Decodable (`start`, `step`) and that of an engine (see `decoding.Engine`)."""

    def __init__(self, model: whisper.Model, tokenizer: WhisperTokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer

    def start(self, windows: Windows) -> State:
        """Decode the prompts, and compute the no-speech probabilities after <|startoftranscript|>."""
        prompts = torch.tensor(windows.prompts, device=self.model.device)
        decoder = self.model.start(windows.src)
        hidden = self.model.decode(prompts, decoder)
        sot = windows.prompts[0].index(self.tokenizer.sot)
        probabilities = self.model.logits(hidden[:, sot]).softmax(dim=-1)
        windows.no_speech = probabilities[:, self.tokenizer.no_speech].tolist()
        first = mask_first_logits(self.model.logits(hidden[:, -1]), self.tokenizer, windows.timestamps)
        timestamps = TimestampState.empty(len(windows.prompts), self.model.device)
        return State(decoder, timestamps, windows.timestamps, first)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The masked logits `[N, V]` of the token after `tokens` `[N]`, or at the first step after the prompt."""
        if state.first_logits is not None:
            logits, state.first_logits = state.first_logits, None
            return logits, state
        state.timestamps.add(tokens, self.tokenizer.timestamp_begin)
        logits = self.model.logits(self.model.decode(tokens[:, None], state.decoder)[:, 0])
        mask_next_logits(logits, self.tokenizer, state.timestamps, state.with_timestamps)
        if state.decoder.length + 1 >= self.model.config.max_target_positions:
            logits[:, self.tokenizer.eot] = 0.0  # no position is left, so the search needs to be able to end
        return logits, state

    @torch.inference_mode()
    def decode(self, batch: Batch, options: Options) -> list[DecodingResult]:
        audio = self.model.encode(self._features(batch.windows))

        def attempt(left: list[int], temperature: float) -> list[DecodingResult]:
            windows = Windows(audio[left], [batch.prompts[i] for i in left], batch.timestamps)
            found = self._search(windows, temperature, options, [batch.numbers[i] for i in left])
            return [
                DecodingResult.of(h.ids, h.logprob, no_speech, temperature, self.tokenizer)
                for h, no_speech in zip(found, windows.no_speech, strict=True)
            ]

        return decode_with_fallback(attempt, len(batch.windows), options)

    def _features(self, windows: Sequence[Audio]) -> Tensor:
        """`[B, M, 2 S]`."""
        config = self.model.config
        n_samples = 2 * config.max_source_positions * HOP
        features = [log_mel(window, config.num_mel_bins, n_samples) for window in windows]
        return torch.from_numpy(np.stack(features))

    def _search(
        self, windows: Windows, temperature: float, options: Options, numbers: Sequence[int]
    ) -> list[Hypothesis]:
        n_windows, prompt = len(windows.prompts), windows.prompts[0]
        max_lens = [self.model.config.max_target_positions - len(prompt)] * n_windows
        common: Any = {"bos_id": prompt[-1], "eos_id": self.tokenizer.eot, "row_multiple": 1}
        if temperature == 0 and options.beam_size > 1:
            best = beam_search(self, windows, beam_size=options.beam_size, max_lens=max_lens, **common)
        else:
            sampling = Sampling(temperature, seed=options.seed) if temperature else None
            best = greedy_search(self, windows, sampling=sampling, max_lens=max_lens, lines=numbers, **common)
        nothing = Hypothesis([], NEGATIVE_INFINITY, NEGATIVE_INFINITY)
        return [hypotheses[0] if hypotheses else nothing for hypotheses in best]

    @torch.inference_mode()
    def detect_languages(self, windows: Sequence[Audio]) -> list[dict[str, float]]:
        languages = self.tokenizer.languages
        state = self.model.start(self.model.encode(self._features(windows)))
        start = torch.full((len(windows), 1), self.tokenizer.sot, device=self.model.device)
        logits = self.model.logits(self.model.decode(start, state)[:, 0])[:, list(languages.values())]
        return [dict(zip(languages, row, strict=True)) for row in logits.softmax(dim=-1).tolist()]


def open_native(folder: HfFolder, tokenizer: WhisperTokenizer, device: str, threads: int) -> NativeEngine:
    """The engine for the model in `folder`: in float32 on a CPU, in float16 on a GPU."""
    chosen = prepare_device(device, threads)
    dtype = torch.float16 if chosen.type == "cuda" else torch.float32
    return NativeEngine(whisper.load(folder, chosen, dtype), tokenizer)
