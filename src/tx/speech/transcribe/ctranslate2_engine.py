"""The CTranslate2 engine (that of faster-whisper): several times faster on a CPU, with a converted copy of the model.

The copy is made once and saved in the model's folder as `ctranslate2/`, or in the user's cache if the folder is
read-only; faster-whisper can open it as well. A note in the copy identifies the model that it was made from, so that
a model that has changed is converted again.
"""

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tx.errors import TxError, UsageError
from tx.files import atomic_folder, cache_folder
from tx.nn.cores import n_cores
from tx.package.hf_folder import FEATURES, TOKENIZER, HfFolder
from tx.speech.features import Audio, log_mel
from tx.speech.transcribe.decoding import Batch, DecodingResult, Options, decode_with_fallback
from tx.speech.whisper_tokenizer import WhisperTokenizer

CONVERTED, NOTE = "ctranslate2", "tx.json"
COMPUTE_TYPES = {"cpu": "int8", "cuda": "float16"}

Notify = Callable[[str], None]


class CTranslate2Engine:
    """A converted model, as an engine (see `tx.speech.transcribe.decoding.Engine`)."""

    def __init__(self, model: Any, folder: HfFolder, tokenizer: WhisperTokenizer) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._n_mels = folder.positive_int("num_mel_bins")
        self._max_len = folder.positive_int("max_target_positions")

    def decode(self, batch: Batch, options: Options) -> list[DecodingResult]:
        audio = self._encode(batch.windows)
        _ctranslate2().set_random_seed(options.seed)

        def attempt(left: list[int], temperature: float) -> list[DecodingResult]:
            is_whole = len(left) == len(batch.windows)
            chosen = audio if is_whole else self._encode([batch.windows[i] for i in left])
            results = self._model.generate(
                chosen,
                [batch.prompts[i] for i in left],
                beam_size=1 if temperature else options.beam_size,
                sampling_temperature=temperature or 1.0,
                sampling_topk=0 if temperature else 1,
                max_length=self._max_len,
                max_initial_timestamp_index=self._tokenizer.max_initial_timestamp,
                return_scores=True,
                return_no_speech_prob=True,
            )
            decoded = []
            for result in results:
                ids = result.sequences_ids[0]
                logprob = float(result.scores[0]) * len(ids)  # CTranslate2 divides the score by the length
                decoded.append(
                    DecodingResult.of(ids, logprob, result.no_speech_prob, temperature, self._tokenizer)
                )
            return decoded

        return decode_with_fallback(attempt, len(batch.windows), options)

    def _encode(self, windows: Sequence[Audio]) -> Any:
        features = np.stack([log_mel(window, self._n_mels) for window in windows])
        return self._model.encode(_ctranslate2().StorageView.from_array(features))

    def detect_languages(self, windows: Sequence[Audio]) -> list[dict[str, float]]:
        found = self._model.detect_language(self._encode(windows))
        return [{token[2:-2]: probability for token, probability in row} for row in found]


def open_ctranslate2(
    folder: HfFolder,
    tokenizer: WhisperTokenizer,
    device: str,
    threads: int,
    notify: Notify = lambda message: None,
) -> CTranslate2Engine:
    """The engine for the model in `folder`, which is converted first if necessary."""
    ctranslate2 = _ctranslate2()
    kind, _, index = device.partition(":")
    if kind == "auto":
        kind = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if kind not in COMPUTE_TYPES:
        raise UsageError(f"CTranslate2 does not support the device {kind}", "use cpu, cuda or cuda:N")
    if not threads and "OMP_NUM_THREADS" not in os.environ:
        threads = n_cores()
    settings = {"device": kind, "device_index": int(index or 0), "compute_type": COMPUTE_TYPES[kind]}
    for again in (False, True):  # a damaged copy is made again
        path = convert(folder, notify, again)
        try:
            model = ctranslate2.models.Whisper(str(path), intra_threads=threads, **settings)
            return CTranslate2Engine(model, folder, tokenizer)
        except (RuntimeError, ValueError) as error:
            reason = error
    raise TxError(f"CTranslate2 cannot open {path} on {kind}: {reason}", "try --engine native")


def _ctranslate2() -> Any:
    try:
        return importlib.import_module("ctranslate2")
    except ImportError:
        raise TxError("the engine ctranslate2 is not installed", "pip install 'tx[ctranslate2]'") from None


def _copy_paths(folder: HfFolder) -> tuple[Path, Path]:
    """Where the copy of a model may be: in its folder, or in the user's cache."""
    digest = hashlib.sha256(f"{folder.path.resolve()} {folder.fingerprint()}".encode()).hexdigest()
    return folder.path / CONVERTED, cache_folder() / CONVERTED / digest[:16]


def find_converted(folder: HfFolder) -> Path | None:
    """The copy of exactly this model, or None."""
    for path in _copy_paths(folder):
        try:
            note = json.loads((path / NOTE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(note, dict) and note.get("of") == folder.fingerprint():
            return path
    return None


def convert(folder: HfFolder, notify: Notify = lambda message: None, again: bool = False) -> Path:
    """The converted copy of the model in `folder`, with the files that faster-whisper needs.

    It is made if there is none, or if `again` is set. Raises TxError if that fails.
    """
    if not again and (found := find_converted(folder)):
        return found
    try:
        converters = importlib.import_module("ctranslate2.converters")
        from transformers.utils import logging
    except ImportError:
        raise TxError("converting needs transformers", "pip install 'tx[ctranslate2]'") from None
    logging.disable_progress_bar()
    in_folder, in_cache = _copy_paths(folder)
    path = in_folder if os.access(folder.path, os.W_OK) else in_cache
    notify(f"converting {folder.path} for CTranslate2 into {path} (once)")
    with atomic_folder(path) as temporary:
        copied = [name for name in (TOKENIZER, FEATURES) if folder.has(name)]
        try:
            converter = converters.TransformersConverter(
                str(folder.path), copy_files=copied, low_cpu_mem_usage=True
            )
            converter.convert(str(temporary), quantization="float16", force=True)
        except (ValueError, RuntimeError, OSError, KeyError) as error:
            raise TxError(
                f"CTranslate2 cannot convert {folder.path}: {error}", "try --engine native"
            ) from error
        (temporary / NOTE).write_text(json.dumps({"of": folder.fingerprint()}) + "\n", encoding="utf-8")
    return path
