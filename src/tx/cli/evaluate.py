"""`tx evaluate`: the scores of a model on test data, by the metrics of its task."""

from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Literal

import typer
from rich.text import Text

from tx.cli import console
from tx.cli.console import argument, option
from tx.evaluation.metrics import NORMALIZERS
from tx.evaluation.report import Example

translation = partial(option, panel="Translation")
speech = partial(option, panel="Speech")
vectors = partial(option, panel="Vectors")
COMMON = ("files", "model", "store", "as_json", "quiet")  # parameters that apply to every task


def evaluate(
    context: typer.Context,
    files: Annotated[
        list[str],
        argument(
            "DATA",
            "SRC REF... (translation); text; tagged columns; speech datasets; analogies or word pairs.",
        ),
    ],
    model: console.Model = None,
    output: Annotated[
        str | None, option("Write the translations or transcripts to FILE.", "-o", metavar="FILE")
    ] = None,
    beam_size: console.BeamSize = None,
    against: Annotated[
        str | None,
        option(
            "Test whether the difference from this model is significant (tagging, speech).",
            metavar="NAME|FOLDER",
        ),
    ] = None,
    tokenize: Annotated[
        str | None, translation("sacreBLEU's tokenizer for BLEU (default 13a).", metavar="NAME")
    ] = None,
    alignments: Annotated[
        str | None,
        translation(
            "Score word alignments against FILE (0-0 1p2 in each line, or NAACL 2003 format).", metavar="FILE"
        ),
    ] = None,
    language: Annotated[
        str | None, speech("Language, such as de or German (default: the data's or model's).", metavar="LANG")
    ] = None,
    normalize: Annotated[
        str | None,
        speech("Text normaliser (english for English, else basic).", metavar="|".join(NORMALIZERS[1:])),
    ] = None,
    worst: Annotated[
        int | None, speech("Show the N utterances with the most errors (default 5).", min=0)
    ] = None,
    engine: Annotated[
        str | None, speech("Decoding engine (default native).", metavar="native|ctranslate2")
    ] = None,
    restrict: Annotated[
        int | None, vectors("Use only the N most frequent words (default 300,000); 0: all.", min=0)
    ] = None,
    method: Annotated[
        Literal["add", "mul"] | None, vectors("Analogies by 3CosAdd or 3CosMul (default add).")
    ] = None,
    store: Annotated[bool, option("Store the scores in the package and its model card.")] = True,
    device: Annotated[str | None, console.DEVICE] = None,
    threads: Annotated[int | None, console.THREADS] = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Evaluate a model on test data with the metrics of its task.

    ```
    $ tx evaluate -m de-en test.de test.en
    $ tx evaluate -m de-en test.de test.en -b 1 --no-store -o test.hyp
    $ tx evaluate -m de-en test.de test.en --alignments test.gold
    $ tx evaluate -m bard valid.txt
    $ tx evaluate -m names test.conll
    $ tx evaluate -m my-whisper talks/ --against whisper-base
    $ tx evaluate -m vectors questions-words.txt wordsim353.tsv
    ```

    Translation: BLEU and chrF with 95% confidence intervals. Language models: cross-entropy loss in nats per token,
    bits per character, and perplexity. Tagging: precision, recall and F1 of named entities. Speech: word and
    character error rates (WER, CER) of raw and normalised text, and the utterances with the most errors. Word
    vectors: the accuracy of analogies (questions-words.txt), or Spearman's correlation with human similarity scores
    (WordSim-353, SimLex-999, MEN).

    The scores are stored in the package, with their signature and the name of the test set.
    """
    options = {name: value for name, value in context.params.items() if name not in COMMON}
    from tx.evaluation.runner import run

    report = run(model, files, store=store, track=console.track, **options)
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
