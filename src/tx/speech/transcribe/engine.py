"""What every engine shares: from a model and some sound to segments, whoever computes the windows."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from tx.config.schema import SPEECH
from tx.errors import TxError
from tx.package import MANIFEST, load_package
from tx.package.hf_folder import FEATURES, Folder, folder_of, open_folder
from tx.speech.features import WINDOW, Audio
from tx.speech.media import RATE, Media, decode
from tx.speech.transcribe.fallback import Heard
from tx.speech.transcribe.longform import tracks, transcribe
from tx.speech.transcribe.options import Options, Segment
from tx.speech.whisper_tokenizer import Vocabulary

Engine = Literal["native", "ctranslate2"]
DETECTED_IN = 30 * RATE  # samples of speech by which the language is told


class Listener(Protocol):
    """Who computes windows: `native` with PyTorch, `fast` with CTranslate2."""

    def listen(
        self,
        windows: Sequence[Audio],
        prompts: list[list[int]],
        options: Options,
        numbers: Sequence[int],
        timestamps: bool = True,
    ) -> Sequence[Heard]:
        """Understand windows of up to 30 s, again and more freely where that went wrong.

        `numbers` tell the windows apart, so that what is drawn for one does not depend on its batch.
        """
        ...

    def languages(self, windows: Sequence[Audio]) -> list[dict[str, float]]:
        """The probability of each language, for each window."""
        ...


class Transcriber:
    """A Whisper model, ready to listen."""

    def __init__(self, folder: Folder, vocabulary: Vocabulary, listener: Listener) -> None:
        self.folder, self.vocabulary, self._listener = folder, vocabulary, listener

    def transcribe(self, sound: Audio | Media, options: Options | None = None) -> Iterator[Segment]:
        """The segments of what is said in a file, an open file, or mono audio at 16 kHz, as they are understood.

        Silence gives none. Raises TxError for a file in which there is no sound, UsageError for a language that
        the model does not know.
        """
        options = options or Options()
        self._check(options)
        audio = _audio(sound)
        todo = tracks(audio, options)
        if not todo:
            return
        language = self._language(options)
        if language is None:
            heard = audio[todo[0].at : min(todo[0].at + DETECTED_IN, todo[0].end)]
            language = next(iter(self.languages(heard)))

        def listen(windows: list[Audio], prompts: list[list[int]], numbers: list[int]) -> Sequence[Heard]:
            return self._listener.listen(windows, prompts, options, numbers)

        yield from transcribe(audio, todo, listen, self.vocabulary, language, options)

    def transcribe_batch(self, sounds: Sequence[Audio], options: Options | None = None) -> list[str]:
        """The text of each of several recordings of mono audio at 16 kHz, without times.

        Short ones (30 s) are taken as they are, silence included, once and greedily (or with the beam that
        `options` ask for), as transformers' `generate` does; a longer one as by `transcribe`.
        """
        options = options or Options(temperatures=(0.0,))
        self._check(options)
        texts = [""] * len(sounds)
        short = [i for i, sound in enumerate(sounds) if len(sound) <= WINDOW]
        language, task = self._language(options), options.task or self.vocabulary.default_task
        for at in range(0, len(short), options.batch_size):
            numbers = short[at : at + options.batch_size]
            windows = [sounds[i] for i in numbers]
            spoken = [language or ""] * len(windows)
            if language is None:
                spoken = [
                    max(found, key=lambda code: found[code]) for found in self._listener.languages(windows)
                ]
            prompts = [self.vocabulary.prompt(code, task, timestamps=False) for code in spoken]
            heard = self._listener.listen(windows, prompts, options, numbers, timestamps=False)
            for i, one in zip(numbers, heard, strict=True):
                texts[i] = self.vocabulary.decode(one.tokens).strip()
        for i in set(range(len(sounds))) - set(short):
            texts[i] = " ".join(segment.text for segment in self.transcribe(sounds[i], options))
        return texts

    def languages(self, audio: Audio) -> dict[str, float]:
        """The languages that up to 30 s of speech may be in, the likeliest first, with their probabilities."""
        found = self._listener.languages([audio[:WINDOW]])[0]
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def _language(self, options: Options) -> str | None:
        if options.language is not None:
            return self.vocabulary.language(options.language)
        return self.vocabulary.default_language

    def _check(self, options: Options) -> None:
        self._language(options)
        if options.task == "translate" and not self.vocabulary.languages:
            raise TxError(f"{self.folder.path} knows English alone: there is nothing to translate from")


def _audio(sound: Any) -> Audio:
    """The samples of a file, or those that were given."""
    return sound if hasattr(sound, "dtype") else decode(sound)


def open_transcriber(
    path: Path | str,
    engine: Engine = "native",
    device: str = "auto",
    threads: int = 0,
    say: Callable[[str], None] = lambda message: None,
) -> Transcriber:
    """Open the Whisper model at `path`: a tx package for speech, or any Hugging Face folder of Whisper.

    The engine `ctranslate2` works on a conversion that is made at the first use and kept in the folder (see
    `fast`), as `say` hears. Raises TxError where there is no such model, or a package that is needed is missing.
    """

    def opened(folder: Folder) -> Transcriber:
        check_features(folder)
        vocabulary = Vocabulary(folder)
        if engine == "ctranslate2":
            from tx.speech.transcribe.ctranslate2_engine import open_fast

            return Transcriber(folder, vocabulary, open_fast(folder, vocabulary, device, threads, say))
        from tx.speech.transcribe.native_engine import open_native  # imports torch

        return Transcriber(folder, vocabulary, open_native(folder, vocabulary, device, threads))

    if (Path(path) / MANIFEST).is_file():  # opened once more if a training run replaces it meanwhile
        return load_package(path, lambda package: opened(folder_of(Path(path), package)), SPEECH)
    return opened(open_folder(path))


def check_features(folder: Folder) -> None:
    """Raise TxError where a model wants to hear otherwise than all of Whisper does."""
    if not folder.has(FEATURES):
        return
    wanted = folder.read(FEATURES)
    for name, value in {"sampling_rate": RATE, "n_fft": 400, "hop_length": 160}.items():
        if wanted.get(name, value) != value:
            raise TxError(f"{folder.path / FEATURES}: {name} is {wanted[name]!r}, and Whisper's is {value}")
