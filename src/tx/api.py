"""The Python API: `load`, `train`, `evaluate` and `score`, and the models that `load` returns.

Every function raises TxError, with the message of the command line, for a fault that its caller can correct. Heavy
libraries are imported when they are used, so that `import tx` is fast.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tx.errors import UsageError, did_you_mean
from tx.package import Package, find_package

if TYPE_CHECKING:
    import numpy as np

    from tx.evaluation.metrics import Score
    from tx.evaluation.report import Report
    from tx.speech.transcribe import Segment


@dataclass(frozen=True)
class Hypothesis:
    """One translation of a line; its score is the log-probability, divided by length**length_penalty."""

    text: str
    score: float


@dataclass(frozen=True)
class Entity:
    """A named entity: its text, its type, its first character and the one after its last, and its probability."""

    text: str
    type: str
    start: int
    end: int
    score: float


class Translator:
    """A translation model with its tokenizers, as `load` returns it."""

    def __init__(self, path: Path, device: str = "auto", threads: int = 0) -> None:
        from tx.decode.translate import open_translator

        self._translator, self._decode = open_translator(path, device, threads)

    def translate(
        self,
        text: str | Sequence[str],
        *,
        n_best: int | None = None,
        beam_size: int | None = None,
        length_penalty: float | None = None,
        prefix: str | Sequence[str] | None = None,
        sample: bool = False,
        **sampling: float,
    ) -> Any:
        """Translate a line, or each line of a list.

        A str gives a str and a list gives a list. With `n_best` each line gives a list of hypotheses, best first.
        `prefix` is the beginning that each translation must have. `sample` draws tokens at random in place of beam
        search; `temperature`, `top_k`, `top_p` and `seed` are its options. The model's own settings apply otherwise.
        """
        from dataclasses import replace

        from tx.decode.config import MAX_BEAM_SIZE
        from tx.decode.sampling import Sampling
        from tx.decode.translate import SearchOptions

        lines, single = _lines(text)
        prefixes = None if prefix is None else _lines(prefix)[0]
        if prefixes is not None and len(prefixes) != len(lines):
            raise UsageError(
                f"there are {len(prefixes)} prefixes for {len(lines)} lines", "give one for each line"
            )
        given: dict[str, Any] = {"beam_size": beam_size, "length_penalty": length_penalty}
        decode = replace(self._decode, **{name: value for name, value in given.items() if value is not None})
        if not 1 <= decode.beam_size <= MAX_BEAM_SIZE:
            raise UsageError(f"beam_size is {decode.beam_size}", f"use 1 to {MAX_BEAM_SIZE}")
        n = 1 if n_best is None else n_best
        if not 1 <= n <= (1 if sample else decode.beam_size):
            most, hint = f"the beam size, {decode.beam_size}", "use a larger beam_size"
            if sample:
                most, hint = "1 when sampling", "sample several times with other seeds"
            raise UsageError(f"n_best is {n}, but must be from 1 to {most}", hint)
        if wrong := [name for name in sampling if not sample or name not in Sampling.__dataclass_fields__]:
            raise UsageError(
                f"{wrong[0]} does not apply",
                "sampling has temperature, top_k, top_p and seed; add sample=True",
            )
        drawn = Sampling(**sampling) if sample else None  # type: ignore[arg-type]
        options = SearchOptions(decode, n, drawn, with_scores=n_best is not None)
        results = self._translator.translate(lines, options, prefixes)
        if n_best is None:
            texts = [result.text for result in results]
            return texts[0] if single else texts
        lists = [
            [
                Hypothesis(text, found.score)
                for text, found in zip(result.texts, result.hypotheses, strict=True)
            ]
            for result in results
        ]
        return lists[0] if single else lists

    def score(self, src: str | Sequence[str], tgt: str | Sequence[str]) -> Any:
        """The log-probability of `tgt` given `src` in nats: a float for two lines, a list for two lists."""
        (sources, single), (targets, _) = _lines(src), _lines(tgt)
        if len(sources) != len(targets):
            raise UsageError(
                f"there are {len(sources)} sources and {len(targets)} targets", "give pairs of lines"
            )
        scores = [logprob for logprob, _ in self._translator.score(sources, targets)]
        return scores[0] if single else scores


def _lines(text: str | Sequence[str]) -> tuple[list[str], bool]:
    """`text` as a list of lines, and whether it was a single one."""
    if isinstance(text, str):
        return [text], True
    if not isinstance(text, Iterable):
        raise UsageError(f"expected text, got a {type(text).__name__}", "give a str or a list of str")
    lines = list(text)
    for number, line in enumerate(lines):
        if not isinstance(line, str):
            raise UsageError(
                f"item {number} is a {type(line).__name__}, not a str", "give a str or a list of str"
            )
    return lines, False


class LanguageModel:
    """A language model with its tokenizer, as `load` returns it."""

    def __init__(self, path: Path, device: str = "auto", threads: int = 0) -> None:
        from tx.decode.generate import open_language_model

        self._model = open_language_model(path, "cpu" if device == "auto" else device)

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = 300,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        stop: str | Sequence[str] = (),
        seed: int = 1,
    ) -> Iterator[str]:
        """Yield the continuation of `prompt` piece by piece, as it is sampled; a temperature of 0 is greedy.

        It ends after `length` tokens, or where one of the strings of `stop` would begin.
        """
        from tx.decode.generate import GenerationOptions
        from tx.decode.sampling import Sampling

        if not isinstance(prompt, str):
            raise UsageError(
                f"the prompt is a {type(prompt).__name__}, not a str", "generate from one prompt at a time"
            )
        stops = [stop] if isinstance(stop, str) else list(stop)
        sampling = Sampling(temperature, top_k, top_p, seed)
        options = GenerationOptions(length, sampling, repetition_penalty, stops)
        yield from next(self._model.generate(prompt, options))

    def generate(self, prompt: str = "", **options: Any) -> str:
        """The continuation of `prompt` as one str; the options are those of `stream`."""
        return "".join(self.stream(prompt, **options))

    def next_words(self, prompt: str = "", n: int = 5) -> list[tuple[str, float]]:
        """The `n` most probable next words with their probabilities."""
        from tx.decode.next_word import next_words

        return next_words(self._model, prompt, n).words


class Tagger:
    """A model for named-entity recognition, as `load` returns it."""

    def __init__(self, path: Path, device: str = "auto", threads: int = 0) -> None:
        from tx.decode.tag import open_tagger

        self._tagger = open_tagger(path, device, threads)

    def tag(self, text: str | Sequence[str]) -> Any:
        """The named entities of a line of raw text, or of each line of a list."""
        from tx.text.words import split_words

        lines, single = _lines(text)
        sentences = [split_words(line) for line in lines]
        found = self._tagger.tag([[word.text for word in words] for words in sentences])
        results = []
        for line, words, tagged in zip(lines, sentences, found, strict=True):
            entities = []
            for entity in tagged.entities:
                start, end = entity.characters(words)
                entities.append(Entity(line[start:end], entity.span.type, start, end, entity.score))
            results.append(entities)
        return results[0] if single else results


class Recognizer:
    """A Whisper model for speech recognition, as `load` returns it."""

    def __init__(self, path: Path, device: str = "auto", threads: int = 0) -> None:
        from tx.speech.transcribe import open_transcriber

        self._transcriber = open_transcriber(path, "native", device, threads)

    def transcribe(self, audio: "str | Path | np.ndarray", **options: Any) -> "list[Segment]":
        """The segments of a media file, or of mono audio at 16 kHz `[n_samples]`, with start and end in seconds.

        `options` are the fields of `tx.speech.transcribe.Options`: language, task, beam_size, prompt, ...
        """
        from tx.speech.transcribe import Options

        unknown = [name for name in options if name not in Options.__dataclass_fields__]
        if unknown:
            known = ", ".join(Options.__dataclass_fields__)
            raise UsageError(f"transcribe has no option {unknown[0]}", f"the options are {known}")
        sound: Any = str(audio) if isinstance(audio, Path) else audio
        return list(self._transcriber.transcribe(sound, Options(**options)))


Model = Any  # Translator | LanguageModel | Tagger | Recognizer | WordVectors
_CLASSES = {
    "translation": Translator,
    "language-model": LanguageModel,
    "tagging": Tagger,
    "speech": Recognizer,
}


def load(name: str | Path, *, device: str = "auto", threads: int = 0) -> Model:
    """Open the package called `name`, or in the folder `name`; its task decides the class of the result.

    A translation package gives a Translator, a language model a LanguageModel, a tagger a Tagger, a speech package
    or a Hugging Face folder of Whisper a Recognizer, and word vectors a WordVectors. `device` is "auto", "cpu",
    "cuda" or "cuda:N" (a language model stays on the CPU unless a GPU is named); `threads` is the number of CPU
    threads, 0 for one per core. Raises TxError if there is no such package, or if it is damaged.
    """
    from tx.package.hf_folder import open_model

    package = open_model(find_package(str(name), ""))
    task = package.task if isinstance(package, Package) else "speech"
    if task == "vectors":
        from tx.vectors import open_vectors

        return open_vectors(str(name))
    if task not in _CLASSES:
        raise UsageError(
            f"{name} is a {task} package", "load opens models; for a tokenizer use `tx tokenize`"
        )
    path = package.path if isinstance(package, Package) else package
    return _CLASSES[task](path, device, threads)


def train(
    recipe: str | Path | None = None,
    data: str | Path | Sequence[str | Path] = (),
    *,
    output: str | Path,
    valid: str | Path | Sequence[str | Path] = (),
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    set: Mapping[str, Any] | None = None,
    **options: Any,
) -> Model:
    """Train a model into the package `output`, as `tx train` does, and load it.

    `recipe` is a recipe, an architecture or a TOML file; without one it is chosen by the size of the parallel text.
    With `resume` neither it nor `data` is needed. `data` and `valid` are a file or a list of files: source
    then target for translation. `options` are the flags of `tx train RECIPE` with underscores (`max_time="30m"`,
    `lr=1e-3`); `set` gives any other key, as in `{"model.dropout": 0.2}`. Progress appears on stderr as on the
    command line, unless `quiet`. Raises TxError, and KeyboardInterrupt after Ctrl-C, when the run has been saved.
    """
    import typer

    from tx.cli import console
    from tx.cli.options import flag_fields
    from tx.cli.train import train as command
    from tx.config.toml import toml_value
    from tx.text.tokenizer import KINDS

    if str(recipe) in KINDS:
        raise UsageError(
            f"{recipe} is a kind of tokenizer", "use `tx train` in a shell; tx.train trains models"
        )
    known = {key.rpartition(".")[2] for key, _, _ in flag_fields()}
    if unknown := [name for name in options if name not in known]:
        hint = did_you_mean(unknown[0], known) or 'other keys are given as set={"model.d_ff": 1024}'
        raise UsageError(f"train has no option {unknown[0]}", hint)
    sets = [f"{key}={toml_value(value)}" for key, value in (set or {}).items()]
    console.set_quiet(quiet)
    try:
        command(
            [*([] if recipe is None else [str(recipe)]), *_paths(data)],
            output=str(output),
            valid=_paths(valid) or None,
            sets=sets or None,
            resume=resume,
            overwrite=overwrite,
            dry_run=False,
            quiet=quiet,
            **dict.fromkeys(known) | options,
        )
    except typer.Exit as stopped:
        raise KeyboardInterrupt from stopped
    finally:
        console.set_quiet(False)
    return load(output)


def evaluate(
    model: str | Path, data: str | Path | Sequence[str | Path], *, store: bool = False, **options: Any
) -> "Report":
    """Evaluate the package called `model` on test data with the standard metrics of its task.

    `data` is a file or a list of files: source and references for translation. `options` are those of `tx evaluate`
    with underscores (`beam_size=1`, `against="baseline"`). `store` adds the scores to the package. Raises TxError for
    data that cannot be read, including an option that does not apply to the task.
    """
    from tx.evaluation.runner import run

    if not isinstance(model, str | Path):
        raise UsageError(
            f"the model is a {type(model).__name__}", "give the name or the folder of its package"
        )
    return run(model, _paths(data), store=store, **options)


def score(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    metrics: str | Sequence[str] = ("bleu", "chrf"),
    **options: Any,
) -> "list[Score]":
    """Score hypotheses against references: BLEU, chrF, chrF++, TER (sacreBLEU), WER and CER.

    `references` is a list of lines, or a list of such lists for several references. `options` are `tokenize`,
    `lowercase`, `normalize` ("basic" or "english", for WER and CER) and `n_bootstrap` (1000, for 95% confidence
    intervals). The result has a Score, with its value and signature, for each metric, in their order. Raises TxError
    for unequal numbers of lines and for unknown metrics.
    """
    from tx.evaluation.metrics import ScoreOptions
    from tx.evaluation.scoring import system_scores

    refs: Any = [references] if references and isinstance(references[0], str) else references
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    return system_scores({"hypotheses": hypotheses}, refs, names, ScoreOptions(**options))["hypotheses"]


def _paths(data: str | Path | Sequence[str | Path]) -> list[str]:
    return [str(data)] if isinstance(data, str | Path) else [str(path) for path in data]
