"""`tx compare`: translators side by side on one test set, and where they differ."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tx.cli import console
from tx.config.duration import format_duration
from tx.errors import TxError, UsageError
from tx.package import find_package
from tx.text.lines import read_lines
from tx.text.parallel import read_parallel

if TYPE_CHECKING:
    from tx.evaluate.compare import Bucket
    from tx.evaluate.metrics import Score


@dataclass
class System:
    """A package, how it was trained where its run is still there, and what it made of the test set."""

    name: str
    parameters: int
    hyps: list[str]
    sentences_per_s: float
    beam_size: int
    steps: int | None = None
    train_seconds: float | None = None
    tokens_per_s: float | None = None  # of the target, the median of what the run logged


def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="MODEL", help="Translation packages; the first is the baseline.")
    ],
    test: Annotated[
        list[str],
        typer.Option(
            "--test", metavar="FILE", help="The test set: --test SRC --test REF, further ones are references."
        ),
    ],
    lengths: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...", help="Words of the source at which a new length begins, as in 8,12,16."
        ),
    ] = None,
    sentences: Annotated[
        int,
        typer.Option(
            "--sentences",
            metavar="N",
            min=0,
            help="Show the N lines where the last model and the first differ most.",
        ),
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Draw BLEU by length, as .png or .svg."),
    ] = None,
    beam_size: Annotated[
        int | None,
        typer.Option("--beam-size", "-b", min=1, max=1000, help="For all models alike; 1: greedy."),
    ] = None,
    device: console.Device = "auto",
    threads: console.Threads = 0,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Set translators side by side: size, training, speed, BLEU and chrF with 95% intervals, and BLEU by length.

    ```
    $ tx compare rnn rnn-attention transformer --test test.de --test test.en
    $ tx compare rnn rnn-attention --test test.de --test test.en --lengths 8,12,16 -o lengths.png
    $ tx compare old new --test test.de --test test.en --sentences 10
    ```

    p is the paired bootstrap's against the first model: below 0.05 the difference is hardly chance. Training time and
    speed are read from the run, where it is still in the package. Sentences per second are measured as they are
    translated here, the model loaded, all lines at once.
    """
    console.set_quiet(quiet)
    if len(test) < 2:
        raise UsageError("a source and a reference are needed", "tx compare MODEL... --test SRC --test REF")
    if len(set(names)) < len(names):
        raise UsageError("a model is named twice", "name each once")
    src, *refs = read_parallel(test)
    edges = _edges(lengths)
    from tx.evaluate.compare import by_length, edges_of

    if output:
        from tx.plots.figure import check_path

        check_path(output)
    systems = [_translate(name, src, beam_size, device, threads) for name in names]
    if len({Path(name).name for name in names}) == len(names):  # what is shown of a path is its end
        for system in systems:
            system.name = Path(system.name).name
    hyps = {system.name: system.hyps for system in systems}
    scores = _scores(hyps, refs)
    buckets = by_length(src, hyps, refs, edges_of(src) if edges is None else edges)
    if output:
        from tx.cli.plot import save
        from tx.plots.lengths import draw_lengths

        save(draw_lengths(buckets), output)
    if as_json:
        _print_document(systems, scores, buckets)
        return
    _print_systems(systems, scores)
    _print_buckets(buckets)
    if sentences:
        _print_sentences(systems, src, refs, sentences)


def _edges(lengths: str | None) -> list[int] | None:
    if lengths is None:
        return None
    try:
        return [int(number) for number in lengths.split(",")]
    except ValueError:
        raise UsageError(f"'{lengths}' is no list of lengths", "for example --lengths 8,12,16") from None


def _translate(name: str, src: list[str], beam_size: int | None, device: str, threads: int) -> System:
    """Translate the source with one model, and remember how long that took."""
    from tx.decode.translate import SearchOptions, open_translator

    package = find_package(name, "translation")
    translator, decode = open_translator(package, device, threads)
    decode.beam_size = beam_size or decode.beam_size
    translator.translate(src[:16], SearchOptions(decode))  # what is made at first use is no part of the speed
    began = time.monotonic()
    hyps = [result.text for result in translator.translate(src, SearchOptions(decode))]
    seconds = time.monotonic() - began
    console.note(f"{name}: translated {len(src):,} lines in {format_duration(seconds)}")
    n_parameters = sum(parameter.numel() for parameter in translator.model.parameters())
    system = System(name, n_parameters, hyps, len(src) / seconds, decode.beam_size)
    _add_training(system, package / "run" / "metrics.jsonl")
    return system


def _add_training(system: System, log: Path) -> None:
    """Add what the log of the run tells, if there is one."""
    rates = []
    with suppress(TxError, ValueError, KeyError, TypeError):  # no run, or one that is being written
        for line in read_lines(log):
            record = json.loads(line)
            system.steps, system.train_seconds = int(record["step"]), float(record["seconds"])
            if "tokens_per_s" in record:
                rates.append(float(record["tokens_per_s"]))
    system.tokens_per_s = median(rates) if rates else None


def _scores(hyps: dict[str, list[str]], refs: list[list[str]]) -> dict[str, list["Score"]]:
    from tx.evaluate.metrics import check, corpus_scores, paired_scores

    for warning in check(hyps, {f"reference {n}": ref for n, ref in enumerate(refs, 1)}):
        console.warn(warning)
    if len(hyps) > 1:
        return paired_scores(hyps, refs)
    return {name: corpus_scores(lines, refs, n_bootstrap=1000) for name, lines in hyps.items()}


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _print_systems(systems: Sequence[System], scores: dict[str, list["Score"]]) -> None:
    columns = ["model", "parameters", "training", "steps", "tokens/s", "sentences/s", "beam"]
    columns += ["BLEU", "p", "chrF", "p of chrF"]
    rows = []
    for system in systems:
        row = [system.name, f"{system.parameters:,}"]
        row += ["-" if system.train_seconds is None else format_duration(system.train_seconds)]
        row += [_or_dash(system.steps, ","), _or_dash(system.tokens_per_s, ",.0f")]
        row += [f"{system.sentences_per_s:,.1f}", str(system.beam_size)]
        for score in scores[system.name]:
            row += [f"{score.value:.2f} ± {score.ci or 0:.2f}", _or_dash(score.p_value, ".3f")]
        rows.append(row)
    console.print_table(columns, rows, optional=["steps", "beam", "tokens/s"])


def _print_buckets(buckets: Sequence["Bucket"]) -> None:
    print()  # noqa: T201
    rows = [
        [bucket.label, f"{bucket.n_lines:,}", *(_or_dash(value, ".2f") for value in bucket.bleu.values())]
        for bucket in buckets
    ]
    console.print_table(["words", "lines", *buckets[0].bleu], rows)


def _print_sentences(systems: Sequence[System], src: list[str], refs: list[list[str]], n: int) -> None:
    from tx.evaluate.compare import most_different

    if len(systems) < 2:
        raise UsageError("sentences of one model have nothing to differ from", "name two models or more")
    first, last = systems[0], systems[-1]
    width = max(map(len, (first.name, last.name, "reference")))
    for found in most_different(first.hyps, last.hyps, refs, n):
        i = found.line - 1
        rows = [("source", src[i]), *(("reference", ref[i]) for ref in refs)]
        rows += [
            (system.name, f"{system.hyps[i]}  (chrF {value:.0f})")
            for system, value in zip((first, last), found.chrf, strict=True)
        ]
        print(f"\nline {found.line}")  # noqa: T201
        for label, text in rows:
            print(f"  {label:<{width}}  {text}")  # noqa: T201


def _print_document(
    systems: Sequence[System], scores: dict[str, list["Score"]], buckets: Sequence["Bucket"]
) -> None:
    documents: list[dict[str, Any]] = []
    for system in systems:
        record = asdict(system)
        translations = record.pop("hyps")
        record["scores"] = [
            {"metric": s.name, "value": s.value, "ci": s.ci, "p_value": s.p_value, "signature": s.signature}
            for s in scores[system.name]
        ]
        documents.append(record | {"translations": translations})  # long: last
    console.print_json({"systems": documents, "lengths": [asdict(bucket) for bucket in buckets]})
