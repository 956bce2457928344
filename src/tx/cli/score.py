"""`tx score`: metrics of hypotheses against references, and log-probabilities by a model."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal

from typer import Context

from tx.cli import console
from tx.cli.console import argument, option
from tx.cli.pipe import json_line, line_batches
from tx.errors import TxError, UsageError
from tx.evaluation.metrics import (
    METRICS,
    N_BOOTSTRAP,
    NORMALIZERS,
    RATES,
    SEED,
    Score,
    ScoreOptions,
    check,
    check_metrics,
)
from tx.package import find_package
from tx.package.read import read_unverified
from tx.text.lines import STDIN, LineWriter, read_lines

WITH_MODEL = {"files", "model", "as_json", "quiet"}  # the parameters that apply with --model


def score(
    context: Context,
    files: Annotated[
        list[str] | None, argument("REF", "Reference files. With -m: SRC TGT, or text files.")
    ] = None,
    model: Annotated[
        str | None,
        option("Print the log-probability of TGT given SRC, or of each line.", "-m", metavar="NAME"),
    ] = None,
    hyp: Annotated[
        list[str] | None,
        option("Hypotheses, instead of stdin; repeat to compare systems.", "-i", metavar="FILE"),
    ] = None,
    metric: Annotated[
        list[str],
        option("Metrics to compute; repeat, or separate by commas.", metavar="|".join((*METRICS, *RATES))),
    ] = ["bleu", "chrf"],  # noqa: B006
    all_metrics: Annotated[bool, option("Compute BLEU, chrF, chrF++ and TER.", "--all")] = False,
    tokenize: Annotated[
        str, option("sacreBLEU's tokenizer for BLEU: 13a, intl, zh, char, none, ...", metavar="NAME")
    ] = "13a",
    lowercase: Annotated[bool, option("Ignore case (TER always does).")] = False,
    normalize: Annotated[
        str, option("Text normaliser for WER and CER.", metavar="|".join(NORMALIZERS))
    ] = "none",
    sentence: Annotated[bool, option("Print the scores of each line.")] = False,
    confidence: Annotated[bool, option("Add 95% confidence intervals by bootstrap resampling.")] = False,
    paired: Annotated[
        Literal["bootstrap", "randomization", "none"],
        option("Paired significance test of each further system against the first."),
    ] = "bootstrap",
    n_bootstrap: Annotated[
        int | None, option("Bootstrap resamples (1,000), or trials of randomization (10,000).", min=2)
    ] = None,
    seed: Annotated[int, option("Random seed of the resampling.", min=1)] = SEED,
    width: Annotated[int, option("Number of decimals.", "-w", min=0, max=20)] = 2,
    score_only: Annotated[bool, option("Print only the numbers.")] = False,
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

    BLEU, chrF, chrF++ and TER are computed by sacreBLEU. WER and CER are the errors per word and per character
    of transcripts, as in jiwer. In a pipe the columns are separated by tabs.

    With --model the log-probabilities are natural logarithms; the total, the perplexity and the bits per character
    are printed on stderr. The text is tokenized again, and its tokens may differ from those that
    `tx translate` generated, so the log-probability of a translation may differ from the one reported there.
    """
    if model is not None:
        _check_applies(context)
        _print_likelihoods(model, files or [], as_json)
        return
    if not files:
        raise UsageError("missing reference file", "tx score REF... < HYP, or tx score -m MODEL")
    inputs = hyp or ["-"]
    given = tuple(dict.fromkeys(name.strip() for names in metric for name in names.split(",")))
    metrics = METRICS if all_metrics else given
    check_metrics(metrics, len(files))
    if as_json and score_only:
        raise UsageError("--json and --score-only exclude each other", "omit one of them")
    if sentence and (len(inputs) > 1 or confidence):
        raise UsageError(
            "--sentence needs a single system, and excludes --confidence",
            "give one -i, and omit --confidence",
        )
    systems, references, warnings = _read(inputs, files)
    from tx.evaluation.scoring import line_scores, system_scores  # imports numpy

    refs = list(references.values())
    test = paired if len(systems) > 1 and paired != "none" else None
    resamples = (not test and n_bootstrap) or (N_BOOTSTRAP if confidence else 0)
    options = ScoreOptions(tokenize, lowercase, normalize, test, n_bootstrap or 0, resamples, seed)
    if sentence:
        for row in line_scores(next(iter(systems.values())), refs, metrics, options):
            if as_json:
                console.print_json({score.name: score.value for score in row})
            else:
                _print_numbers(row, width)
        return
    results = system_scores(systems, refs, metrics, options)
    if as_json:
        rows = [{"system": name, "scores": [asdict(score) for score in row]} for name, row in results.items()]
        document = {"systems": rows, "references": files, "lines": len(refs[0]), "warnings": warnings}
        console.print_json(document)
    elif score_only:
        for name, scores in results.items():
            _print_numbers(scores, width, [name] if len(results) > 1 else [])
    else:
        _print_results(results, width)


def _check_applies(context: Context) -> None:
    """Raise UsageError for an option on the command line that does not apply with --model."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in WITH_MODEL and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{max(parameter.opts, key=len)} does not apply with --model", "omit it")


def _read(
    inputs: Sequence[str], files: Sequence[str]
) -> tuple[dict[str, list[str]], dict[str, list[str]], list[str]]:
    """The lines of the systems and of the references, by name, and the warnings about them, which are printed.

    Raises UsageError for a file that is given twice.
    """
    for names in (inputs, files, [name for name in (*inputs, *files) if name == "-"]):
        for name in names:
            if names.count(name) > 1:
                name = STDIN if name == "-" else name
                raise UsageError(f"{name} is given twice", "name each file once; without -i, stdin is scored")
    if "-" in (*inputs, *files) and sys.stdin.isatty():
        console.note("reading from the terminal; press Ctrl-D to end the text")
    systems, references = (
        {STDIN if name == "-" else name: list(read_lines(name)) for name in names}
        for names in (inputs, files)
    )
    warnings = check(systems, references)
    for warning in warnings:
        console.warn(warning, always=True)  # even with --quiet, no score of input that is probably wrong
    return systems, references, warnings


def _print_likelihoods(name: str, files: list[str], as_json: bool) -> None:
    """Print the log-probability of each line, and the total on stderr."""
    path = find_package(name, "")
    is_text = read_unverified(path)["task"] == "language-model"
    if not is_text and len(files) != 2:
        raise UsageError(
            "with -m, tx score needs a source file and a file of translations", "tx score -m MODEL SRC TGT"
        )
    lines = (batch for _, batch in line_batches(files, "-", ramp=True)) if is_text else iter(())
    from tx.evaluation.likelihood import Total, score_text, score_translations

    total = Total()
    with LineWriter() as writer:
        for scores in score_text(path, lines) if is_text else score_translations(path, *files):
            total.add(scores)
            writer.write(
                json_line(score.as_dict()) if as_json else f"{score.logprob:.6f}" for score in scores
            )
    if not total.lines:
        raise TxError("there is no text to score", "tx score -m MODEL < text")
    console.note(str(total))


def _print_numbers(scores: Sequence[Score], width: int, before: Sequence[str] = ()) -> None:
    print(*before, *(f"{score.value:.{width}f}" for score in scores), sep="\t")  # noqa: T201


def _print_results(results: dict[str, list[Score]], width: int) -> None:
    """Print a row for each system and metric, without empty columns; on a terminal the signatures follow below."""

    def number(value: float | None, decimals: int = width) -> str:
        return "-" if value is None else f"{value:.{decimals}f}"

    rows = [
        (name, s.name, number(s.value), number(s.mean), number(s.ci), number(s.p_value, 4), s.signature)
        for name, scores in results.items()
        for s in scores
    ]
    on_terminal = sys.stdout.isatty()
    table = list(zip(("system", "metric", "score", "mean", "± 95%", "p", "signature"), *rows, strict=True))
    shown = [column for column in table if set(column[1:]) != {"-"}]
    header, *cells = zip(*shown[len(results) == 1 : -1 if on_terminal else None], strict=True)
    console.print_table(header, cells, optional=["mean"])
    if on_terminal:
        for name, signature in dict.fromkeys((row[1], row[-1]) for row in rows):
            print(f"{name}|{signature}")  # noqa: T201
