"""A Whisper model that is ready to transcribe, whichever engine computes the windows."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from tx.errors import TxError
from tx.package import MANIFEST, load_package
from tx.package.hf_folder import FEATURES, HfFolder, as_hf_folder, open_hf_folder
from tx.package.manifest import SPEECH
from tx.speech.features import WINDOW, Audio
from tx.speech.media import RATE, Media, decode
from tx.speech.transcribe.decoding import Batch, Engine, Options, Segment
from tx.speech.transcribe.longform import find_tracks, transcribe_tracks
from tx.speech.whisper_tokenizer import WhisperTokenizer

EngineName = Literal["native", "ctranslate2"]
LANGUAGE_DETECTION = 30 * RATE  # samples of speech used to detect the language


class Transcriber:
    """A Whisper model with its tokenizer and an engine."""

    def __init__(self, folder: HfFolder, tokenizer: WhisperTokenizer, engine: Engine) -> None:
        self.folder, self.tokenizer, self._engine = folder, tokenizer, engine

    def transcribe(self, source: Audio | Media, options: Options | None = None) -> Iterator[Segment]:
        """Yield the segments of a file, an open file, or mono audio at 16 kHz, as they are decoded.

        Silence gives no segments. Raises TxError for a file without audio, and UsageError for a language that the
        model does not know.
        """
        options = options or Options()
        self._check(options)
        audio: Any = source if hasattr(source, "dtype") else decode(source)
        tracks = find_tracks(audio, options)
        if not tracks:
            return
        language = self._language(options)
        if language is None:
            start = tracks[0].position
            speech = audio[start : min(start + LANGUAGE_DETECTION, tracks[0].end)]
            language = next(iter(self.detect_language(speech)))
        yield from transcribe_tracks(audio, tracks, self._engine, self.tokenizer, language, options)

    def transcribe_batch(self, sounds: Sequence[Audio], options: Options | None = None) -> list[str]:
        """The text of each of several recordings of mono audio at 16 kHz, without timestamps.

        A recording of up to 30 s is decoded as a single window, silence included, greedily or with the beam of
        `options`, as transformers' `generate` does; a longer one is transcribed as by `transcribe`.
        """
        options = options or Options(temperatures=(0.0,))
        self._check(options)
        texts = [""] * len(sounds)
        short = [i for i, sound in enumerate(sounds) if len(sound) <= WINDOW]
        language, task = self._language(options), options.task or self.tokenizer.default_task
        for start in range(0, len(short), options.batch_size):
            numbers = short[start : start + options.batch_size]
            windows = [sounds[i] for i in numbers]
            if language is None:
                detected = self._engine.detect_languages(windows)
                languages = [max(found, key=lambda code: found[code]) for found in detected]
            else:
                languages = [language] * len(windows)
            prompts = [self.tokenizer.prompt(code, task, timestamps=False) for code in languages]
            results = self._engine.decode(Batch(windows, prompts, numbers, timestamps=False), options)
            for i, result in zip(numbers, results, strict=True):
                texts[i] = self.tokenizer.decode(result.tokens).strip()
        for i in set(range(len(sounds))) - set(short):
            texts[i] = " ".join(segment.text for segment in self.transcribe(sounds[i], options))
        return texts

    def detect_language(self, audio: Audio) -> dict[str, float]:
        """The probability of each language for up to 30 s of speech, the most probable first."""
        found = self._engine.detect_languages([audio[:WINDOW]])[0]
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def _language(self, options: Options) -> str | None:
        if options.language is not None:
            return self.tokenizer.language(options.language)
        return self.tokenizer.default_language

    def _check(self, options: Options) -> None:
        self._language(options)
        if options.task == "translate" and not self.tokenizer.languages:
            what = f"{self.folder.path} is an English-only model and cannot translate"
            raise TxError(what, "use a multilingual model")


def open_transcriber(
    path: Path | str,
    engine: EngineName = "native",
    device: str = "auto",
    threads: int = 0,
    notify: Callable[[str], None] = lambda message: None,
) -> Transcriber:
    """Open the Whisper model at `path`: a tx package for speech, or a Hugging Face folder with a Whisper model.

    The engine `ctranslate2` uses a converted copy of the model, which is made at the first use (see
    `ctranslate2_engine`); `notify` receives a message about it. Raises TxError if there is no such model, or if a
    required library is missing.
    """

    def open_with_engine(folder: HfFolder) -> Transcriber:
        _check_features(folder)
        tokenizer = WhisperTokenizer(folder)
        opened: Engine
        if engine == "ctranslate2":
            from tx.speech.transcribe.ctranslate2_engine import open_ctranslate2

            opened = open_ctranslate2(folder, tokenizer, device, threads, notify)
        else:
            from tx.speech.transcribe.native_engine import open_native  # imports torch

            opened = open_native(folder, tokenizer, device, threads)
        return Transcriber(folder, tokenizer, opened)

    if (Path(path) / MANIFEST).is_file():  # loaded again if a training run replaces it meanwhile
        return load_package(path, lambda package: open_with_engine(as_hf_folder(Path(path), package)), SPEECH)
    return open_with_engine(open_hf_folder(path))


def _check_features(folder: HfFolder) -> None:
    """Raise TxError if a model's preprocessing differs from that of every Whisper model."""
    if not folder.has(FEATURES):
        return
    found: dict[str, Any] = folder.read_json(FEATURES)
    for name, value in {"sampling_rate": RATE, "n_fft": 400, "hop_length": 160}.items():
        if found.get(name, value) != value:
            raise TxError(
                f"{folder.path / FEATURES}: {name} is {found[name]!r}, but Whisper uses {value}",
                "use an unmodified Whisper model",
            )
