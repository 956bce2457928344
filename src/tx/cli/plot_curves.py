"""`tx plot curves`: the learning curves of training runs, side by side."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Literal

from rich.text import Text

from tx.cli import console
from tx.cli.console import argument, option
from tx.cli.plot import Output, save
from tx.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from tx.inspect.learning_curves import TrainingRun, XAxis


def curves(
    names: Annotated[
        list[str], argument("RUN", "Package with its training log, run folder, or metrics.jsonl file.")
    ],
    metric: Annotated[
        list[str] | None,
        option(
            "Metric to plot, repeatable; by default the loss, and BLEU, F1 or WER if measured.",
            metavar="loss|bpc|ppl|bleu|f1|wer|cer",
        ),
    ] = None,
    by: Annotated[Literal["steps", "minutes"], option("Unit of the x-axis.")] = "steps",
    output: Output = None,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Plot the losses and scores of runs, during training or afterwards.

    ```
    $ tx plot curves bard
    $ tx plot curves gru lstm --by minutes -o curves.png
    $ tx plot curves de-en --metric bleu
    $ tx plot curves gru lstm --json | jq '.runs[].valid.loss[-1]'
    ```

    Dots are the training loss; letters are validations, `a` for the first run, `b` for the second. In a figure the
    training loss is faint, and the best validation is circled. The y-axis may cut off high values from the first
    tenth of a run.
    """
    from tx.inspect.learning_curves import METRICS, default_metrics, read_runs
    from tx.plots.curves import draw_curves

    for name in metric or []:
        if name not in METRICS:
            hint = did_you_mean(name, METRICS) or f"the metrics are {', '.join(METRICS)}"
            raise UsageError(f"there is no metric '{name}'", hint)
    runs = read_runs(names)
    metrics = metric or default_metrics(runs)
    if as_json:
        console.print_json({"runs": [_record(run) for run in runs]})
    elif output:
        save(draw_curves(runs, metrics, by), output)
    else:
        for name in metrics:
            console.print_lines(_panel(runs, name, by, len(metrics)))


def _record(run: "TrainingRun") -> dict[str, object]:
    def points(rows: Sequence[tuple[float, float, float]]) -> list[dict[str, float]]:
        return [{"step": int(step), "minutes": minutes, "value": value} for step, minutes, value in rows]

    valid = {metric: points(curve.rows) for metric, curve in run.valid.items()}
    return {"name": run.name, "train": points(run.train.rows), "valid": valid}


def _panel(runs: Sequence["TrainingRun"], metric: str, axis: "XAxis", n_panels: int) -> Iterator[Text]:
    """A plot of one metric with its legend, as wide as the terminal."""
    from tx.inspect.learning_curves import METRICS, last_x
    from tx.plots.color import LINE_COLORS
    from tx.plots.curves import LETTERS, lines_of, text_curves

    columns, rows = shutil.get_terminal_size((100, 30)) if sys.stdout.isatty() else (100, 30)
    height = max(10, min(20, (rows - 4) // n_panels - len(runs) - 2))
    drawn = text_curves(lines_of(runs, metric, axis), axis, last_x(runs, axis), columns, height)
    yield Text(METRICS[metric], "bold")
    for row in drawn:
        line = Text()
        for run_index, cells in groupby(row, key=lambda cell: cell[1]):
            text = "".join(character for character, _ in cells)
            line.append(text, "dim" if run_index is None else LINE_COLORS[run_index % len(LINE_COLORS)])
        line.rstrip()
        yield line
    for number, run in enumerate(runs):
        best = "training only" if run.valid else "no validation yet"
        if metric in run.valid:
            step, minutes, value = run.best(metric)
            best = f"best {value:.4g} at step {step:,.0f}, {minutes:.1f} min"
        label = f"  {LETTERS[number % len(LETTERS)]} {run.name}"
        yield Text.assemble((label, LINE_COLORS[number % len(LINE_COLORS)]), f"  {best}")
