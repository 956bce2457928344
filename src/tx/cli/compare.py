"""`tx compare`: translators side by side on one test set, and the sentences on which they differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tx.cli import console
from tx.cli.console import argument, option
from tx.config.duration import format_duration
from tx.errors import UsageError
from tx.text.parallel import read_parallel

if TYPE_CHECKING:
    from tx.evaluation.compare import System


def compare(
    names: Annotated[list[str], argument("MODEL", "Translation packages; the first is the baseline.")],
    test: Annotated[list[str], option("The test set: --test SRC --test REF [--test REF]...", metavar="FILE")],
    lengths: Annotated[
        str | None,
        option("Lower bounds of the buckets of source lengths, in words: 8,12,16.", metavar="N,N,..."),
    ] = None,
    sentences: Annotated[
        int, option("Show the N lines on which the first and last model differ most.", min=0)
    ] = 0,
    output: Annotated[
        Path | None, option("Plot BLEU by source length (.png, .svg).", "-o", metavar="FILE")
    ] = None,
    beam_size: console.BeamSize = None,
    device: console.Device = "auto",
    threads: console.Threads = 0,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Compare translators: size, training, speed, BLEU and chrF with 95% intervals, and BLEU by source length.

    ```
    $ tx compare rnn rnn-attention transformer --test test.de --test test.en
    $ tx compare rnn rnn-attention --test test.de --test test.en --lengths 8,12,16 -o lengths.png
    $ tx compare old new --test test.de --test test.en --sentences 10
    ```

    p is the p-value of paired bootstrap resampling against the first model; the difference is significant below 0.05.
    Training time and tokens/s come from the log of the training run, if the package still contains it. Sentences/s is
    the speed of this translation without loading the model.
    """
    if len(test) < 2:
        raise UsageError("a source and a reference are needed", "tx compare MODEL... --test SRC --test REF")
    if sentences and len(names) < 2:
        raise UsageError("--sentences needs at least two models", "name another model, or omit it")
    try:
        edges = None if lengths is None else [int(number) for number in lengths.split(",")]
    except ValueError:
        raise UsageError(f"'{lengths}' is not a list of numbers", "for example --lengths 8,12,16") from None
    src, *refs = read_parallel(test)
    if output:
        from tx.plots.figure import check_path

        check_path(output)
    from tx.evaluation.compare import compare_translators

    found = compare_translators(
        names, src, refs, edges=edges, beam_size=beam_size, device=device, threads=threads, say=console.note
    )
    for warning in found.warnings:
        console.warn(warning)
    if output:
        from tx.cli.plot import save
        from tx.plots.curves import draw_lengths

        save(draw_lengths(found.buckets), output)
    if as_json:
        console.print_json(found.details())
        return
    _print_systems(found.systems)
    print()  # noqa: T201
    rows = [
        [bucket.label, f"{bucket.n_lines:,}", *(_or_dash(value, ".2f") for value in bucket.bleu.values())]
        for bucket in found.buckets
    ]
    console.print_table(["words", "lines", *found.buckets[0].bleu], rows)
    if sentences:
        _print_sentences(found.systems[0], found.systems[-1], src, refs, sentences)


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _print_systems(systems: Sequence["System"]) -> None:
    rows = []
    for system in systems:
        training = "-" if system.train_seconds is None else format_duration(system.train_seconds)
        row = [system.name, f"{system.parameters:,}", training, _or_dash(system.steps, ",")]
        row += [_or_dash(system.tokens_per_s, ",.0f"), f"{system.sentences_per_s:,.1f}"]
        row.append(str(system.beam_size))
        for score in system.scores:
            row += [f"{score.value:.2f} ± {score.ci or 0:.2f}", _or_dash(score.p_value, ".3f")]
        rows.append(row)
    columns = ["model", "parameters", "training", "steps", "tokens/s", "sentences/s", "beam"]
    columns += ["BLEU", "p", "chrF", "p of chrF"]
    console.print_table(columns, rows, optional=["steps", "beam", "tokens/s"])


def _print_sentences(
    first: "System", last: "System", src: Sequence[str], refs: Sequence[Sequence[str]], n: int
) -> None:
    from tx.evaluation.compare import most_different

    width = max(map(len, (first.name, last.name, "reference")))
    for found in most_different(first.hyps, last.hyps, refs, n):
        i = found.line - 1
        rows = [("source", src[i]), *(("reference", ref[i]) for ref in refs)]
        for system, chrf in zip((first, last), found.chrf, strict=True):
            rows.append((system.name, f"{system.hyps[i]}  (chrF {chrf:.0f})"))
        print(f"\nline {found.line}")  # noqa: T201
        for label, text in rows:
            print(f"  {label:<{width}}  {text}")  # noqa: T201
