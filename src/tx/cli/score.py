"""`tx score`: how close translations come to references, in the numbers and signatures papers quote."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from tx.cli import console
from tx.cli.score_model import score_model
from tx.errors import UsageError
from tx.evaluate.metrics import (
    METRICS,
    NORMALIZERS,
    RATES,
    SEED,
    Score,
    check,
    check_metrics,
    corpus_scores,
    paired_scores,
    sentence_scores,
)
from tx.text.lines import read_lines

N_BOOTSTRAP = 1000
WITH_MODEL = {"files", "model", "as_json", "quiet"}  # the parameters that mean something then


def score(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REF",
            help="The reference translations; several files are several references. With -m: SRC TGT, or text.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Print a translator's log-probability of TGT given SRC, or a language model's of each line.",
        ),
    ] = None,
    hyp: Annotated[
        list[str] | None,
        typer.Option(
            "--hyp",
            "-i",
            metavar="FILE",
            help="Translations to score instead of stdin; repeat to compare systems.",
        ),
    ] = None,
    metric: Annotated[
        list[str],
        typer.Option(
            "--metric",
            metavar="|".join((*METRICS, *RATES)),
            help="What to compute; repeated, or with commas.",
        ),
    ] = ["bleu", "chrf"],  # noqa: B006
    all_metrics: Annotated[bool, typer.Option("--all", help="Compute every metric of translations.")] = False,
    tokenize: Annotated[
        str,
        typer.Option(metavar="NAME", help="How BLEU cuts up words: 13a, intl, zh, char, none and others."),
    ] = "13a",
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Ignore case (TER always does).")] = False,
    normalize: Annotated[
        str,
        typer.Option(
            metavar="|".join(NORMALIZERS),
            help="How WER and CER normalise text, as Whisper's authors do: no case, no punctuation.",
        ),
    ] = "none",
    sentence: Annotated[
        bool, typer.Option("--sentence", help="Print the scores of each line instead.")
    ] = False,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Add 95% intervals, by bootstrap.")
    ] = False,
    paired: Annotated[
        Literal["bootstrap", "randomization", "none"],
        typer.Option(help="The test of every other system against the first."),
    ] = "bootstrap",
    n_bootstrap: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            show_default="1000; 10000",
            help="Bootstrap resamples, or randomization trials.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=1, help="Seeds the resampling.")] = SEED,
    width: Annotated[int, typer.Option("--width", "-w", min=0, max=20, help="Decimals to print.")] = 2,
    score_only: Annotated[bool, typer.Option("--score-only", help="Print the bare numbers.")] = False,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    r"""Score translations or transcripts against references: BLEU, chrF, TER, WER and others.

    ```
    $ tx translate -m de-en < test.de | tx score test.en
    $ tx score test.en -i baseline.hyp -i mine.hyp --all
    $ tx score test.en --score-only --metric bleu < test.hyp
    $ tx score talk.ref --metric wer,cer --normalize basic < talk.txt
    $ tx score -m de-en test.de test.en
    $ printf 'my name is Jack\nmy name are Jack\n' | tx score -m bard
    ```

    BLEU, chrF, chrF++ and TER are as sacreBLEU computes them, WER and CER, the errors per word and per character of
    transcripts, as jiwer does. In a pipe the columns are separated by tabs, and those of several systems have a
    header; --json names everything.

    With a model: natural logarithms, and the perplexity or the bits per character of all lines on stderr. Text is cut
    into pieces anew, perhaps others than those that `tx translate` chose: its scores may differ.
    """
    console.set_quiet(quiet)
    if model is not None:
        _refuse_with_model(context)
        score_model(model, files or [], as_json)
        return
    if not files:
        raise UsageError(
            "there is no reference to score against", "tx score REF... < HYP; with -m, text on stdin"
        )
    inputs = hyp or ["-"]
    metrics = METRICS if all_metrics else _named(metric)
    check_metrics(metrics, len(files))
    _refuse_repeated(inputs, files)
    if as_json and score_only:
        raise UsageError("--json names the numbers, --score-only prints them bare", "leave one of them away")
    if sentence and (len(inputs) > 1 or confidence):
        raise UsageError(
            "--sentence scores the lines of one system, without intervals", "leave the rest away"
        )
    systems, references = _read(inputs), _read(files)
    warnings = check(systems, references)
    for warning in warnings:
        console.warn(warning, always=True)  # no bare number for what looks wrong
    refs = list(references.values())
    kind: dict[str, Any] = {"tokenize": tokenize, "lowercase": lowercase, "normalize": normalize}
    if sentence:
        _print_sentences(systems[_shown(inputs[0])], refs, metrics, kind, width, as_json)
        return
    kind |= {"seed": seed, "n_bootstrap": N_BOOTSTRAP if confidence else 0}
    if len(systems) > 1 and paired != "none":
        kind |= {"test": paired, "n_samples": n_bootstrap or 0}
    else:
        kind["n_bootstrap"] = n_bootstrap or kind["n_bootstrap"]
    results = _scores(systems, refs, metrics, kind)
    if as_json:
        _print_document(results, files, len(refs[0]), warnings)
    elif score_only:
        for name, scores in results.items():
            _print_numbers(scores, width, name if len(results) > 1 else None)
    else:
        _print_results(results, width)


def _named(metric: Sequence[str]) -> tuple[str, ...]:
    """The metrics that were given, repeated or with commas, each once."""
    return tuple(dict.fromkeys(name.strip() for names in metric for name in names.split(",")))


def _refuse_with_model(context: typer.Context) -> None:
    """Raise UsageError for an option that was given and means nothing for the scores of a model."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in WITH_MODEL and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{max(parameter.opts, key=len)} means nothing with --model", "leave it away")


def _refuse_repeated(inputs: Sequence[str], files: Sequence[str]) -> None:
    for names in (inputs, files, [name for name in (*inputs, *files) if name == "-"]):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise UsageError(
                f"{_shown(twice)} is given twice", "name each file once; without -i, stdin is scored"
            )


def _shown(name: str) -> str:
    return "standard input" if name == "-" else name


def _read(names: Sequence[str]) -> dict[str, list[str]]:
    if "-" in names and sys.stdin.isatty():
        console.note("tx: reading from the terminal; Ctrl-D ends the text")
    return {_shown(name): list(read_lines(name)) for name in names}


def _print_numbers(scores: Sequence[Score], width: int, system: str | None = None) -> None:
    numbers = [f"{score.value:.{width}f}" for score in scores]
    print("\t".join(numbers if system is None else [system, *numbers]))  # noqa: T201


def _scores(
    systems: dict[str, list[str]], refs: list[list[str]], metrics: Sequence[str], kind: dict[str, Any]
) -> dict[str, list[Score]]:
    """The scores of each system, in the order of `metrics`, whoever computes them."""
    found: dict[str, dict[str, Score]] = {name: {} for name in systems}
    if rates := [name for name in metrics if name in RATES]:
        from tx.evaluate.error_rates import rate_scores  # imports numpy

        _gather(found, rates, rate_scores(systems, refs[0], rates, **_without(kind, "tokenize")))
    if others := [name for name in metrics if name not in RATES]:
        kind = _without(kind, "normalize")
        if "test" in kind:
            _gather(found, others, paired_scores(systems, refs, others, **kind))
        else:
            each = {name: corpus_scores(lines, refs, others, **kind) for name, lines in systems.items()}
            _gather(found, others, each)
    return {name: [scores[metric] for metric in metrics] for name, scores in found.items()}


def _gather(
    found: dict[str, dict[str, Score]], metrics: Sequence[str], scores: dict[str, list[Score]]
) -> None:
    for name, row in scores.items():
        found[name] |= dict(zip(metrics, row, strict=True))


def _without(options: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}


def _print_sentences(
    hyp: list[str],
    refs: list[list[str]],
    metrics: Sequence[str],
    kind: dict[str, Any],
    width: int,
    as_json: bool,
) -> None:
    columns = []
    for metric in metrics:
        if metric in RATES:
            from tx.evaluate.error_rates import sentence_rates  # imports numpy

            columns.append(sentence_rates(hyp, refs[0], metric, **_without(kind, "tokenize")))
        else:
            columns.append(sentence_scores(hyp, refs, metric, **_without(kind, "normalize")))
    for scores in zip(*columns, strict=True):
        if as_json:
            console.print_json({score.name: score.value for score in scores})
        else:
            _print_numbers(scores, width)


def _print_document(
    results: dict[str, list[Score]], references: Sequence[str], n_lines: int, warnings: Sequence[str]
) -> None:
    systems = [
        {"system": name, "scores": [asdict(score) for score in scores]} for name, scores in results.items()
    ]
    console.print_json({"systems": systems, "references": references, "lines": n_lines, "warnings": warnings})


def _print_results(results: dict[str, list[Score]], width: int) -> None:
    """Print a row for each system and metric, without the columns that no row fills.

    A signature is wider than most terminals and the same for every system: people get them below the table.
    """

    def number(value: float | None, decimals: int = width) -> str:
        return "-" if value is None else f"{value:.{decimals}f}"

    columns = ["system", "metric", "score", "mean", "± 95%", "p", "signature"]
    rows = [
        [name, s.name, number(s.value), number(s.mean), number(s.ci), number(s.p_value, 4), s.signature]
        for name, scores in results.items()
        for s in scores
    ]
    to_person = sys.stdout.isatty()
    kept = [i for i in range(len(columns)) if any(row[i] != "-" for row in rows)]
    kept = kept[len(results) == 1 : -1 if to_person else None]
    shown = [[row[i] for i in kept] for row in rows]
    console.print_table([columns[i] for i in kept], shown, optional=["mean"])
    if to_person:
        for name, signature in dict.fromkeys((row[1], row[-1]) for row in rows):
            print(f"{name}|{signature}")  # noqa: T201
