"""The learning curves of training runs, from their metrics.jsonl: losses and scores by update steps and minutes."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.text.lines import read_lines

XAxis = Literal["steps", "minutes"]
X_AXES: tuple[XAxis, ...] = ("steps", "minutes")
METRICS = {
    "loss": "loss, nats per token",
    "bpc": "bits per character",
    "ppl": "perplexity per token",
    "bleu": "BLEU",
    "f1": "F1 of entities",
    "wer": "word error rate, %",
    "cer": "character error rate, %",
}
HIGHER_IS_BETTER = ("bleu", "f1")
BY_DEFAULT = ("bleu", "f1", "wer")  # shown with the loss where no metric is requested


@dataclass
class LearningCurve:
    """The values of one metric, a row for each: update step, minutes, value."""

    rows: list[tuple[float, float, float]] = field(default_factory=list)

    def xy(self, axis: XAxis) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The positions on the axis and the values, `[n]` each."""
        table = np.array(self.rows, np.float64).reshape(-1, 3)
        return table[:, X_AXES.index(axis)], table[:, 2]

    def add(self, step: float, minutes: float, value: float) -> None:
        if math.isfinite(value):
            self.rows.append((step, minutes, float(value)))


@dataclass
class TrainingRun:
    """The log of a run: the training loss, and the metrics of its validations by name."""

    name: str
    train: LearningCurve = field(default_factory=LearningCurve)
    valid: dict[str, LearningCurve] = field(default_factory=dict)

    def best(self, metric: str) -> tuple[float, float, float]:
        """Step, minutes and value of the best validation, not counting the one before training."""
        sign, rows = -1 if metric in HIGHER_IS_BETTER else 1, self.valid[metric].rows
        return min([row for row in rows if row[0]] or rows, key=lambda row: sign * row[2])


def read_run(name: str) -> TrainingRun:
    """The run in a package, a run folder, or a metrics.jsonl. Raises TxError where there is none."""
    given = Path(name)
    places = [given / "run" / "metrics.jsonl", given / "metrics.jsonl", given]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        hint = "give a package that contains its training log, a run folder, or a metrics.jsonl file"
        raise TxError(f"there is no training log for {name}", hint)
    folder = path.resolve().parent
    if folder.name == "run":
        folder = folder.parent
    elif path.name != "metrics.jsonl":
        folder = path.with_suffix("")
    run = TrainingRun(folder.name)
    lines = list(read_lines(path))
    for number, line in enumerate(lines, 1):
        try:
            _add(run, json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            if number == len(lines):  # it is being written
                break
            hint = "name the metrics.jsonl of a run"
            raise TxError(f"{path}:{number} is not a record of a run", hint) from error
    if not (run.train.rows or run.valid):
        raise TxError(f"{path} has no values yet", "try again when the run has logged some")
    return run


def _add(run: TrainingRun, record: dict[str, Any]) -> None:
    at = float(record["step"]), float(record["seconds"]) / 60
    if "weights" not in record:
        run.train.add(*at, record["loss"])
    elif not str(record["weights"]).startswith("mean"):  # averaged checkpoints are not a point of the curve
        for metric in METRICS:
            if f"valid_{metric}" in record:
                run.valid.setdefault(metric, LearningCurve()).add(*at, record[f"valid_{metric}"])


def read_runs(names: Sequence[str]) -> list[TrainingRun]:
    """The runs in `names`; runs that share a name get the names in `names` instead."""
    runs = [read_run(name) for name in names]
    short = [run.name for run in runs]
    for run, name in zip(runs, names, strict=True):
        if short.count(run.name) > 1:
            run.name = name
    return runs


def default_metrics(runs: Iterable[TrainingRun]) -> list[str]:
    """The metrics to show where none is requested: the loss, and the usual score where it was measured."""
    measured = {metric for run in runs for metric in run.valid}
    return ["loss", *(metric for metric in BY_DEFAULT if metric in measured)]


def last_x(runs: Iterable[TrainingRun], axis: XAxis) -> float:
    """The last position on the axis of any run."""
    curves = [curve for run in runs for curve in (run.train, *run.valid.values())]
    return max(float(curve.xy(axis)[0][-1]) for curve in curves if curve.rows) or 1.0
