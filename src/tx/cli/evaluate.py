"""`tx evaluate`: the scores of a model on test data, by the metrics of its task."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from tx.cli import console
from tx.cli.evaluate_speech import evaluate_speech
from tx.evaluate.metrics import NORMALIZERS
from tx.evaluate.report import Example

T = TypeVar("T")
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
        Literal["add", "mul"] | None,
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
    from tx.evaluate.runner import applicable, find_model, run

    package = find_model(model)
    if isinstance(package, Path) or package.task == "speech":  # until tx.evaluate.speech has `evaluate`
        evaluate_speech(package, files, store, as_json, **applicable(evaluate_speech, "speech", options))
        return
    report = run(model, files, store=store, track=_track, **options)
    for note in report.notes:
        console.note(note)
    for warning in report.warnings:
        console.warn(warning)
    if as_json:
        console.print_json(report.details)
        return
    console.print_table(report.columns, report.rows)
    for example in report.examples:
        _print_example(example)


def _track(items: Sequence[T], description: str) -> Iterable[T]:
    """Iterate with a progress bar, if stderr is a terminal."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), MofNCompleteColumn()
    hidden = not console.is_terminal()
    with Progress(*columns, console=console.stderr(), transient=True, disable=hidden) as bar:
        yield from bar.track(items, description=description)


def _print_example(example: Example) -> None:
    """Print an example with its differences as wdiff does; on a terminal in red and green instead of marks."""
    out, parts = console.stdout(), []
    colored = out.is_terminal and console.wants_style()
    for same, run in groupby(example.words, key=itemgetter(2)):
        ref, hyp = (" ".join(filter(None, side)) for side in list(zip(*run, strict=True))[:2])
        if same:
            parts.append(Text(hyp or ref))
            continue
        if ref:
            parts.append(Text(ref, "red strike") if colored else Text(f"[-{ref}-]"))
        if hyp:
            parts.append(Text(hyp, "green") if colored else Text(f"{{+{hyp}+}}"))
    out.print(Text(f"\n{example.heading}", "dim"), soft_wrap=True)
    out.print(Text(" ").join(parts), soft_wrap=True)
