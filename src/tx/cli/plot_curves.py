"""`tx plot curves`: how training runs went, side by side."""

import shutil
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from tx.cli import console
from tx.cli.plot import Output, save
from tx.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from tx.plots.curves import Axis, Curve, Run


def curves(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN", help="Packages that were trained here, run folders, or metrics.jsonl files."
        ),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="loss|bpc|ppl|bleu|f1|wer|cer",
            help="What to show, repeatable; else loss, and BLEU, F1 or WER if measured.",
        ),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="steps|minutes", help="The axis to the right.")
    ] = "steps",
    output: Output = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Show the losses and scores of runs, while they train or afterwards.

    ```
    $ tx plot curves bard
    $ tx plot curves gru lstm --by minutes -o curves.png
    $ tx plot curves de-en --metric bleu
    $ tx plot curves gru lstm --json | jq '.runs[].valid.loss[-1]'
    ```

    Dots are the training loss; letters are validations, a those of the first run, b those of the second. In a picture
    training is faint, and the best validation has a ring. The first tenth of a run may lie outside the picture.
    """
    console.set_quiet(quiet)
    from tx.plots.curves import AXES, METRICS, curves_of, distinct, draw_curves, metrics_of, read_run
    from tx.plots.figure import check_path

    axis = next((known for known in AXES if known == by), None)
    if axis is None:
        raise UsageError(f"there is no axis '{by}'", f"the axes are {' and '.join(AXES)}")
    for name in metric or []:
        if name not in METRICS:
            raise UsageError(
                f"there is no metric '{name}'",
                did_you_mean(name, METRICS) or f"there are: {', '.join(METRICS)}",
            )
    if output:
        check_path(output)
    runs = [read_run(name) for name in names]
    distinct(runs, names)
    metrics = metric or metrics_of(runs)
    if as_json:
        console.print_json({"runs": [_record(run) for run in runs]})
    elif output:
        save(draw_curves(runs, metrics, axis), output)
    else:
        for name in metrics:
            _print(runs, name, curves_of(runs, name, axis), axis, len(metrics))


def _record(run: "Run") -> dict[str, object]:
    def points(rows: Sequence[tuple[float, float, float]]) -> list[dict[str, float]]:
        return [{"step": int(step), "minutes": minutes, "value": value} for step, minutes, value in rows]

    valid = {metric: points(series.rows) for metric, series in run.valid.items()}
    return {"name": run.name, "train": points(run.train.rows), "valid": valid}


def _print(runs: Sequence["Run"], metric: str, drawn: Sequence["Curve"], axis: "Axis", n_panels: int) -> None:
    """Print one panel and its legend, as wide as the terminal."""
    from tx.plots.curves import COLORS, LETTERS, METRICS, end_of, text_curves

    columns, lines = shutil.get_terminal_size((100, 30)) if sys.stdout.isatty() else (100, 30)
    height = max(10, min(20, (lines - 4) // n_panels - len(runs) - 2))
    stdout = console.stdout()

    def show(line: Text) -> None:
        stdout.print(line, overflow="ignore", crop=False, soft_wrap=True)

    show(Text(METRICS[metric], "bold"))
    for row in text_curves(drawn, axis, end_of(runs, axis), columns, height):
        line = Text()
        for run, cells in groupby(row, key=lambda cell: cell[1]):
            text = "".join(character for character, _ in cells)
            line.append(text, "dim" if run is None else COLORS[run % len(COLORS)])
        line.rstrip()
        show(line)
    for number, run in enumerate(runs):
        told = "training alone" if run.valid else "no validation yet"
        if metric in run.valid:
            step, minutes, value = run.best(metric)
            told = f"best {value:.4g} at step {step:,.0f}, {minutes:.1f} min"
        letter = LETTERS[number % len(LETTERS)]
        show(Text.assemble((f"  {letter} {run.name}", COLORS[number % len(COLORS)]), f"  {told}"))
