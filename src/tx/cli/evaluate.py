"""`tx evaluate`: how good a model is, by the measure of its task, kept in its package."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tx.cli import console
from tx.cli.evaluate_language import evaluate_language
from tx.cli.evaluate_speech import evaluate_speech
from tx.cli.evaluate_tagging import evaluate_tagging
from tx.cli.evaluate_translation import evaluate_translation
from tx.cli.evaluate_vectors import evaluate_vectors
from tx.errors import TxError, UsageError
from tx.evaluate.metrics import NORMALIZERS
from tx.package import MANIFEST, Package, find

# What each task does with (package, files, store, as_json); its options are its keyword-only parameters.
TASKS: dict[str, Callable[..., None]] = {
    "translation": evaluate_translation,
    "language-model": evaluate_language,
    "tagging": evaluate_tagging,
    "speech": evaluate_speech,
    "vectors": evaluate_vectors,
}

TRANSLATION, SPEECH, VECTORS = "Translation", "Speech", "Vectors"


def evaluate(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA",
            help="Source and references; text; tagged columns; sets of speech; analogies and word pairs.",
        ),
    ],
    model: console.Model = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Keep the translations or transcripts here."),
    ] = None,
    beam_size: Annotated[
        int | None,
        typer.Option(
            "--beam-size",
            "-b",
            min=1,
            max=1000,
            help="Hypotheses kept; 1: greedy.",
        ),
    ] = None,
    tokenize: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="How BLEU cuts up words (13a).", rich_help_panel=TRANSLATION),
    ] = None,
    alignments: Annotated[
        str | None,
        typer.Option(
            metavar="GOLD",
            help="Judge word alignments by these instead: lines of 0-0 1p2, or in the forms of Och and Ney.",
            rich_help_panel=TRANSLATION,
        ),
    ] = None,
    restrict: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Only the first N words take part (300,000); 0: all.",
            rich_help_panel=VECTORS,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="add|mul", help="How analogies are answered (add).", rich_help_panel=VECTORS),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER",
            help="Is the difference to this model significant? Of taggers and of speech.",
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            metavar="LANG",
            help="As in de or German; else the set's or the model's own.",
            rich_help_panel=SPEECH,
        ),
    ] = None,
    normalize: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(NORMALIZERS[1:]),
            help="How (english where it is, else basic).",
            rich_help_panel=SPEECH,
        ),
    ] = None,
    worst: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Show the N utterances with most errors (5).", rich_help_panel=SPEECH
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="native|ctranslate2", help="Who listens (native).", rich_help_panel=SPEECH),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Keep the scores in the package and its card.")
    ] = True,
    device: Annotated[str | None, console.DEVICE] = None,
    threads: Annotated[int | None, console.THREADS] = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Measure a model on a test set, by what is usual for its task.

    ```
    $ tx evaluate -m de-en test.de test.en
    $ tx evaluate -m de-en test.de test.en -b 1 --no-store -o test.hyp
    $ tx evaluate -m de-en test.de test.en --alignments test.gold
    $ tx evaluate -m bard valid.txt
    $ tx evaluate -m names test.conll
    $ tx evaluate -m my-whisper talks/ --against whisper-base
    $ tx evaluate -m vectors questions-words.txt wordsim353.tsv
    ```

    A translator: BLEU and chrF with 95% intervals. A language model: its loss on a text in nats a token, bits per
    character, and as perplexity. A tagger: precision, recall and F1 of the names it finds. A speech recogniser:
    errors per word (WER) and per character (CER), as written and normalised, and its worst sentences. Vectors: the
    share of analogies they get right (questions-words.txt), or how far they agree with people on similar words
    (WordSim-353, SimLex-999, MEN).

    The scores are kept in the package, with how they came about and the name of the test set.
    """
    console.set_quiet(quiet)
    path = _find(model)
    is_bare = not (path / MANIFEST).exists() and (path / "config.json").exists()  # a Hugging Face folder
    package = None if is_bare else Package.open(path)
    task = package.task if package else "speech"
    run = TASKS.get(task)
    if run is None:
        known = " and ".join(TASKS)
        raise UsageError(f"{path} is a {task} package", f"tx evaluate measures {known}")
    options = {
        "output": output,
        "beam_size": beam_size,
        "tokenize": tokenize,
        "alignments": alignments,
        "restrict": restrict,
        "method": method,
        "against": against,
        "language": language,
        "normalize": normalize,
        "worst": worst,
        "engine": engine,
        "device": device,
        "threads": threads,
    }
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        parameter = inspect.signature(run).parameters.get(name)
        if parameter is None or parameter.kind is not parameter.KEYWORD_ONLY:
            raise UsageError(f"--{name.replace('_', '-')} means nothing for {task}", "leave it away")
    run(package or path, files, store, as_json, **given)


def _find(model: str | None) -> Path:
    """The package that is meant. Without a name it has to be the only one that a task would take by itself."""
    if model is not None:
        return find(model, "")
    found = []
    for task in TASKS:
        with suppress(TxError):
            found.append(find(None, task))
    if len(found) == 1:
        return found[0]
    choices = ", ".join(map(str, found)) or "none here for its task alone"
    raise UsageError(f"which package to measure is open: {choices}", "choose one with --model")
