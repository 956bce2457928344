"""Validation of a speech recogniser: transcription by greedy decoding, and word and character error rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tx.errors import TxError
from tx.evaluation.error_rates import Normalizer, Rates, error_rates
from tx.speech.features import log_mel
from tx.speech.windows import Window
from tx.tasks.speech.model import base_model

N_WORST = 5
MAX_SHOWN = 200  # characters of a text


@dataclass(frozen=True)
class Validation:
    """The error rates of a set, of raw and of normalised text, and its worst items."""

    name: str
    raw: Rates
    normalized: Rates
    worst: list[dict[str, str]]  # `reference` and `hypothesis` of each, shortened

    def record(self, prefix: str = "valid") -> dict[str, float]:
        """WER and CER in per cent, for the log."""
        return {
            f"{prefix}_wer": 100 * self.normalized.wer,
            f"{prefix}_cer": 100 * self.normalized.cer,
            f"{prefix}_wer_raw": 100 * self.raw.wer,
            f"{prefix}_cer_raw": 100 * self.raw.cer,
        }


def transcribe(
    model: Any, processor: Any, windows: Sequence[Window], batch_size: int, bf16: bool = False
) -> tuple[list[str], dict[int, str]]:
    """The hypothesis for each window: greedy decoding of the usual 30 s, without timestamps.

    The second value has the indices of windows whose media cannot be read, with the reasons.
    """
    whisper = base_model(model)
    device, n_mels = whisper.device, whisper.config.num_mel_bins
    order = sorted(range(len(windows)), key=lambda i: windows[i].end - windows[i].start)
    texts, unreadable = [""] * len(windows), dict[int, str]()
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(order), batch_size):
            features: dict[int, np.ndarray] = {}
            for i in order[start : start + batch_size]:
                try:
                    features[i] = log_mel(windows[i].sound(), n_mels)
                except TxError as error:
                    unreadable[i] = error.message
            if not features:
                continue
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                ids = model.generate(
                    input_features=torch.from_numpy(np.stack(list(features.values()))).to(device),
                    num_beams=1,
                    do_sample=False,
                    return_timestamps=False,
                    **_language(whisper, [windows[i].language for i in features]),
                )
            for i, text in zip(features, processor.batch_decode(ids, skip_special_tokens=True), strict=True):
                texts[i] = text.strip()
    finally:
        model.train(was_training)
    return texts, unreadable


def _language(whisper: Any, languages: Sequence[str | None]) -> dict[str, Any]:
    """The argument for the languages of a batch, if generation_config sets none."""
    generation = whisper.generation_config
    if generation.language or not getattr(generation, "is_multilingual", True) or None in languages:
        return {}
    return {"language": list(languages)}


def score(
    name: str, windows: Sequence[Window], hypotheses: Sequence[str], normalize: Normalizer | None
) -> Validation:
    """Compare hypotheses with the texts of the windows."""
    references = [window.text for window in windows]
    pairs = list(zip(references, hypotheses, strict=True))
    wer = [error_rates([ref], [hyp], normalize).wer for ref, hyp in pairs]
    worst = sorted((i for i in range(len(pairs)) if wer[i]), key=lambda i: -wer[i])[:N_WORST]
    return Validation(
        name,
        error_rates(references, hypotheses),
        error_rates(references, hypotheses, normalize),
        [{"reference": _shortened(pairs[i][0]), "hypothesis": _shortened(pairs[i][1])} for i in worst],
    )


def _shortened(text: str) -> str:
    """The beginning of a long text: a model may repeat itself without end."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN].rstrip()} ..."
