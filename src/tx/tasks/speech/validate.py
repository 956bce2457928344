"""How well a model writes down what is said: text by generation, against the text it should be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tx.errors import TxError
from tx.evaluate.error_rates import Normalizer, Rates, error_rates
from tx.speech.features import log_mel
from tx.speech.windows import Window
from tx.tasks.speech.model import plain

WORST = 5
LONGEST = 200  # characters of an item that are shown


@dataclass(frozen=True)
class Validation:
    """The scores of one set: as written, and normalised, by which the best model is chosen; and its worst items."""

    name: str
    raw: Rates
    normalized: Rates
    worst: list[dict[str, str]]  # each with `ref` and `hyp`, as much of them as is shown

    def record(self, prefix: str = "valid") -> dict[str, float]:
        """WER and CER in per cent, as the log has them."""
        return {
            f"{prefix}_wer": 100 * self.normalized.wer,
            f"{prefix}_cer": 100 * self.normalized.cer,
            f"{prefix}_wer_raw": 100 * self.raw.wer,
            f"{prefix}_cer_raw": 100 * self.raw.cer,
        }


def generate(
    model: Any, processor: Any, windows: Sequence[Window], batch_size: int, bf16: bool = False
) -> tuple[list[str], dict[int, str]]:
    """What the model writes for each window: greedy, without timestamps, the encoder hearing the usual 30 s.

    The second value has the indices of windows whose media cannot be read, and the reasons.
    """
    whisper = plain(model)
    device, n_mels = whisper.device, whisper.config.num_mel_bins
    order = sorted(range(len(windows)), key=lambda i: windows[i].end - windows[i].start)
    texts, unheard = [""] * len(windows), dict[int, str]()
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(order), batch_size):
            heard: dict[int, np.ndarray] = {}
            for i in order[start : start + batch_size]:
                try:
                    heard[i] = log_mel(windows[i].sound(), n_mels)
                except TxError as error:
                    unheard[i] = error.message
            if not heard:
                continue
            rows, features = list(heard), np.stack(list(heard.values()))
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                ids = model.generate(
                    input_features=torch.from_numpy(features).to(device),
                    num_beams=1,
                    do_sample=False,
                    return_timestamps=False,
                    **_language(whisper, [windows[i].language for i in rows]),
                )
            for i, text in zip(rows, processor.batch_decode(ids, skip_special_tokens=True), strict=True):
                texts[i] = text.strip()
    finally:
        model.train(was_training)
    return texts, unheard


def _language(whisper: Any, languages: Sequence[str | None]) -> dict[str, Any]:
    """The languages of a batch, where none is locked into the model."""
    generation = whisper.generation_config
    if generation.language or not getattr(generation, "is_multilingual", True) or None in languages:
        return {}
    return {"language": list(languages)}


def score(
    name: str, windows: Sequence[Window], texts: Sequence[str], normalize: Normalizer | None
) -> Validation:
    """Compare what was written with what is right."""
    refs = [window.text for window in windows]
    raw, normalized = error_rates(refs, texts), error_rates(refs, texts, normalize)
    wrong = [error_rates([ref], [hyp], normalize).wer for ref, hyp in zip(refs, texts, strict=True)]
    worst = sorted((i for i in range(len(refs)) if wrong[i]), key=lambda i: -wrong[i])[:WORST]
    shown = [{"ref": shortened(refs[i]), "hyp": shortened(texts[i])} for i in worst]
    return Validation(name, raw, normalized, shown)


def shortened(text: str) -> str:
    """The beginning of a text if it is long: a model may repeat itself without end."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} ..."
