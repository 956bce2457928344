"""`tx evaluate`: how good a model is, by the measure of its task, kept in its package."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tx.cli import console
from tx.cli.app import MEASURE, app
from tx.cli.evaluate_language import evaluate_language
from tx.cli.evaluate_tagging import evaluate_tagging
from tx.cli.evaluate_translation import evaluate_translation
from tx.cli.evaluate_vectors import evaluate_vectors
from tx.errors import TxError, UsageError
from tx.package import Package, find

# What each task does with (package, files, store, as_json); its options are its keyword-only parameters.
TASKS: dict[str, Callable[..., None]] = {
    "translation": evaluate_translation,
    "language-model": evaluate_language,
    "tagging": evaluate_tagging,
    "vectors": evaluate_vectors,
}

TRANSLATION, TAGGING, VECTORS = "Translation", "Tagging", "Vectors"


@app.command(rich_help_panel=MEASURE)
def evaluate(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...", help="Source and references; text; tagged columns; analogies and word pairs."
        ),
    ],
    model: console.Model = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Keep the translations here.", rich_help_panel=TRANSLATION
        ),
    ] = None,
    beam_size: Annotated[
        int | None,
        typer.Option(
            "--beam-size",
            "-b",
            min=1,
            max=1000,
            help="Hypotheses kept; 1: greedy.",
            rich_help_panel=TRANSLATION,
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
            help="Is the difference to this model significant?",
            rich_help_panel=TAGGING,
        ),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Keep the scores in the package and its card.")
    ] = True,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    threads: Annotated[int | None, typer.Option(min=0, help="CPU threads; 0: one per core.")] = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Measure a model on a test set. A translator: BLEU and chrF with 95% intervals. A language model: its
    loss on a text in nats a token, bits per character, and as perplexity. A tagger: precision, recall and F1 of the
    names it finds. Vectors: the share of analogies they get right (questions-words.txt), or how far they agree with
    people on similar words (WordSim-353, SimLex-999, MEN).

    ```
    $ tx evaluate -m de-en test.de test.en
    $ tx evaluate -m de-en test.de test.en -b 1 --no-store -o test.hyp
    $ tx evaluate -m de-en test.de test.en --alignments test.gold
    $ tx evaluate -m bard valid.txt
    $ tx evaluate -m names test.conll
    $ tx evaluate -m vectors questions-words.txt wordsim353.tsv
    ```

    The scores are kept in the package, with how they came about and the name of the test set.
    """
    console.set_quiet(quiet)
    package = Package.open(_find(model))
    run = TASKS.get(package.task)
    if run is None:
        known = " and ".join(TASKS)
        raise UsageError(f"{package.path} is a {package.task} package", f"tx evaluate measures {known}")
    options = {
        "output": output,
        "beam_size": beam_size,
        "tokenize": tokenize,
        "alignments": alignments,
        "restrict": restrict,
        "method": method,
        "against": against,
        "device": device,
        "threads": threads,
    }
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        parameter = inspect.signature(run).parameters.get(name)
        if parameter is None or parameter.kind is not parameter.KEYWORD_ONLY:
            raise UsageError(f"--{name.replace('_', '-')} means nothing for {package.task}", "leave it away")
    run(package, files, store, as_json, **given)


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
