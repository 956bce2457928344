"""The same by CTranslate2, several times faster on a CPU: the engine of faster-whisper, on a converted copy.

The copy is made once and kept in the model's folder, `ctranslate2/`, or in the user's cache where that cannot be
written; faster-whisper opens it too. A note in it says of what it was made, so that a model that was trained
further is converted again.
"""

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tx.errors import TxError, UsageError
from tx.files import atomic_folder
from tx.nn.cores import n_cores
from tx.package.hash_cache import cache_folder
from tx.package.hf_folder import FEATURES, TOKENIZER, Folder
from tx.speech.features import Audio, log_mel
from tx.speech.transcribe.fallback import Heard, insist, judged
from tx.speech.transcribe.options import Options
from tx.speech.whisper_tokenizer import Vocabulary

PLACE, NOTE = "ctranslate2", "tx.json"
COMPUTE = {"cpu": "int8", "cuda": "float16"}


class FastListener:
    """A converted model, asked as `tx.speech.transcribe.engine.Listener` says."""

    def __init__(self, model: Any, folder: Folder, vocabulary: Vocabulary) -> None:
        self._model, self._vocabulary, self._n_mels = model, vocabulary, folder.n_mels
        self._max_len = folder.number("max_target_positions")

    def listen(
        self,
        windows: Sequence[Audio],
        prompts: list[list[int]],
        options: Options,
        numbers: Sequence[int],
        timestamps: bool = True,
    ) -> list[Heard]:
        audio = self._encode(windows)
        _ctranslate2().set_random_seed(options.seed)

        def attempt(left: list[int], temperature: float) -> list[Heard]:
            chosen = audio if len(left) == len(windows) else self._encode([windows[i] for i in left])
            results = self._model.generate(
                chosen,
                [prompts[i] for i in left],
                beam_size=1 if temperature else options.beam_size,
                sampling_temperature=temperature or 1.0,
                sampling_topk=0 if temperature else 1,
                max_length=self._max_len,
                max_initial_timestamp_index=self._vocabulary.max_first_time,
                return_scores=True,
                return_no_speech_prob=True,
            )
            return [
                judged(
                    found.sequences_ids[0], _total(found), found.no_speech_prob, temperature, self._vocabulary
                )
                for found in results
            ]

        return insist(attempt, len(windows), options)

    def _encode(self, windows: Sequence[Audio]) -> Any:
        features = np.stack([log_mel(window, self._n_mels) for window in windows])
        return self._model.encode(_ctranslate2().StorageView.from_array(features))

    def languages(self, windows: Sequence[Audio]) -> list[dict[str, float]]:
        """The probability of each language, for each window."""
        found = self._model.detect_language(self._encode(windows))
        return [{token[2:-2]: probability for token, probability in row} for row in found]


def _total(found: Any) -> float:
    """The log-probability of a result, whose score is divided by its length."""
    return float(found.scores[0]) * len(found.sequences_ids[0])


def open_fast(
    folder: Folder,
    vocabulary: Vocabulary,
    device: str,
    threads: int,
    say: Callable[[str], None] = lambda message: None,
) -> FastListener:
    """The conversion of the model in `folder`, made first where there is none."""
    ctranslate2 = _ctranslate2()
    on, _, index = device.partition(":")
    if on == "auto":
        on = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if not threads and "OMP_NUM_THREADS" not in os.environ:
        threads = n_cores()

    def opened(place: Path) -> FastListener:
        model = ctranslate2.models.Whisper(
            str(place),
            device=on,
            device_index=int(index or 0),
            compute_type=COMPUTE[on],
            intra_threads=threads,
        )
        return FastListener(model, folder, vocabulary)

    if on not in COMPUTE:
        raise UsageError(f"CTranslate2 computes on no {on}", "use cpu, cuda or cuda:N")
    with suppress(RuntimeError, ValueError):  # damaged: it is made again
        return opened(converted(folder, say))
    place = _convert(folder, say)
    try:
        return opened(place)
    except (RuntimeError, ValueError) as error:
        raise TxError(f"CTranslate2 cannot open {place} on {on}: {error}", "try --engine native") from None


def _ctranslate2() -> Any:
    try:
        return importlib.import_module("ctranslate2")
    except ImportError:
        raise TxError("the engine ctranslate2 is not installed", "pip install 'tx[ctranslate2]'") from None


def places(folder: Folder) -> tuple[Path, Path]:
    """Where the conversion of a model may be: beside it, or in the user's cache."""
    digest = hashlib.sha256(f"{folder.path.resolve()} {folder.identity()}".encode()).hexdigest()
    return folder.path / PLACE, cache_folder() / PLACE / digest[:16]


def find_converted(folder: Folder) -> Path | None:
    """The conversion of just this model, if there is one."""
    for place in places(folder):
        try:
            note = json.loads((place / NOTE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(note, dict) and note.get("of") == folder.identity():
            return place
    return None


def converted(folder: Folder, say: Callable[[str], None] = lambda message: None) -> Path:
    """The conversion of the model in `folder`, made where there is none. Raises TxError where that fails."""
    return find_converted(folder) or _convert(folder, say)


def _convert(folder: Folder, say: Callable[[str], None]) -> Path:
    beside, cached = places(folder)
    place = beside if os.access(folder.path, os.W_OK) else cached
    say(f"converting {folder.path} for CTranslate2, once, into {place}")
    with atomic_folder(place) as made:
        _write(folder, made / "model")
        for file in (made / "model").iterdir():
            file.rename(made / file.name)
        (made / "model").rmdir()
        (made / NOTE).write_text(json.dumps({"of": folder.identity()}) + "\n", encoding="utf-8")
    return place


def _write(folder: Folder, place: Path) -> None:
    """Let CTranslate2 convert a model, and add what faster-whisper looks for."""
    try:
        converters = importlib.import_module("ctranslate2.converters")
        from transformers.utils import logging
    except ImportError:
        raise TxError("converting needs transformers", "pip install 'tx[ctranslate2]'") from None
    logging.disable_progress_bar()
    copied = [name for name in (TOKENIZER, FEATURES) if folder.has(name)]
    try:
        converter = converters.TransformersConverter(
            str(folder.path), copy_files=copied, low_cpu_mem_usage=True
        )
        converter.convert(str(place), quantization="float16")
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise TxError(f"CTranslate2 cannot convert {folder.path}: {error}") from error
