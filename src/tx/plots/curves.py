"""The curves of training runs, from their metrics.jsonl: losses and scores against steps or minutes.

On a terminal a curve is drawn in Braille dots, eight to a character; validations stand on it as the letter of
their run, so that runs can be told apart without colours.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.plots.figure import INK, MUTED, new_figure, style_axes
from tx.text.lines import read_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Axis = Literal["steps", "minutes"]
AXES: tuple[Axis, ...] = ("steps", "minutes")
METRICS = {
    "loss": "loss, nats a token",
    "bpc": "bits per character",
    "ppl": "perplexity a token",
    "bleu": "BLEU",
    "f1": "F1 of entities",
    "wer": "word error rate, %",
    "cer": "character error rate, %",
}
SCORES = ("bleu", "f1")  # of which more is better
ERRORS = ("wer", "cer")
SHOWN = (*SCORES, "wer")  # beside the loss, where nothing is asked for
LETTERS = "abcdefghijklmnopqrstuvwxyz"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b58900", "#56b4e9", "#882255", "#444444")

_START = 0.1  # of a run: what lies beyond the later values there is cut off, as losses begin very high
Span = tuple[float, float]


@dataclass
class Series:
    """Values of one metric: `[n, 3]`, step, minutes and value."""

    rows: list[tuple[float, float, float]] = field(default_factory=list)

    def xy(self, axis: Axis) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where and what the values are, `[n]` each."""
        table = np.array(self.rows, np.float64).reshape(-1, 3)
        return table[:, AXES.index(axis)], table[:, 2]


@dataclass
class Run:
    """A run's log: the training loss, and what validations found by metric."""

    name: str
    train: Series
    valid: dict[str, Series]

    def best(self, metric: str) -> tuple[float, float, float]:
        """Step, minutes and value of the best validation; the untouched model is none that was trained."""
        sign, rows = -1 if metric in SCORES else 1, self.valid[metric].rows
        return min([row for row in rows if row[0]] or rows, key=lambda row: sign * row[2])


# -- reading ---------------------------------------------------------------------------------------


def read_run(name: str) -> Run:
    """The run in a package, its run folder, or its metrics.jsonl. Raises TxError where there is none."""
    given = Path(name)
    places = [given / "run" / "metrics.jsonl", given / "metrics.jsonl", given]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise TxError(
            f"there is no run in {name}", "name a package that was trained here, or a metrics.jsonl"
        )
    run = Run(_name_of(path), Series(), {})
    lines = list(read_lines(path))
    for number, line in enumerate(lines, 1):
        try:
            _add(run, json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            if number == len(lines):  # it is being written
                break
            raise TxError(
                f"{path}:{number} is no record of a run", "name the metrics.jsonl of a run"
            ) from error
    if not (run.train.rows or run.valid):
        raise TxError(f"{path} has no values yet", "look again when the run has logged some")
    return run


def _name_of(path: Path) -> str:
    folder = path.resolve().parent
    return (
        folder.parent.name
        if folder.name == "run"
        else folder.name
        if path.name == "metrics.jsonl"
        else path.stem
    )


def _add(run: Run, record: dict[str, Any]) -> None:
    at = float(record["step"]), float(record["seconds"]) / 60
    if "weights" not in record:
        _put(run.train, at, record["loss"])
    elif not str(record["weights"]).startswith("mean"):  # of several moments: no point of the curve
        for metric in METRICS:
            if f"valid_{metric}" in record:
                _put(run.valid.setdefault(metric, Series()), at, record[f"valid_{metric}"])


def _put(series: Series, at: tuple[float, float], value: float) -> None:
    if math.isfinite(value):
        series.rows.append((*at, float(value)))


def distinct(runs: Sequence[Run], names: Sequence[str]) -> None:
    """Where runs share a name, give them those under which they were asked for."""
    shown = [run.name for run in runs]
    for run, name in zip(runs, names, strict=True):
        if shown.count(run.name) > 1:
            run.name = name


# -- what is to be seen ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """A line: its run, whether of training, its points, and the share of the run from which on all must be seen."""

    run: int
    is_train: bool
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    start: float = _START


def metrics_of(runs: Iterable[Run]) -> list[str]:
    """The metrics to show where none is asked for: the loss, and the usual score of what was measured."""
    measured = {metric for run in runs for metric in run.valid}
    return ["loss", *(score for score in SHOWN if score in measured)]


def curves_of(runs: Sequence[Run], metric: str, axis: Axis) -> list[Curve]:
    """The lines of one metric. Raises TxError if no run has any."""
    curves = []
    for number, run in enumerate(runs):
        if metric == "loss" and run.train.rows:
            curves.append(Curve(number, True, *run.train.xy(axis)))
        if metric in run.valid:
            # Of errors all is shown: the untouched model, at the start, is what others are compared with.
            start = 0.0 if metric in ERRORS else _START
            curves.append(Curve(number, False, *run.valid[metric].xy(axis), start))
    if not curves:
        known = sorted({name for run in runs for name in run.valid} | {"loss"})
        raise TxError(f"no run measured {metric}", f"there are: {', '.join(known)}")
    return curves


def end_of(runs: Iterable[Run], axis: Axis) -> float:
    """Where the longest run stands: the right end of all panels."""
    series = [series for run in runs for series in (run.train, *run.valid.values())]
    return max(float(values.xy(axis)[0][-1]) for values in series if values.rows) or 1.0


def _span(curves: Sequence[Curve], right: float) -> Span:
    """The range of values that is worth showing."""
    shown = [curve.y[(curve.x >= curve.start * right) | (curve.x == curve.x[-1])] for curve in curves]
    low, high = min(float(y.min()) for y in shown), max(float(y.max()) for y in shown)
    margin = 0.04 * (high - low) or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float, n: int) -> list[float]:
    """About `n` round numbers within a range."""
    rough = (high - low) / max(n, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


# -- in text ---------------------------------------------------------------------------------------

Cell = tuple[str, int | None]  # a character, and the run whose colour it has
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # Braille, by row and column in a cell


def text_curves(
    curves: Sequence[Curve], axis: Axis, right: float, width: int, height: int
) -> list[list[Cell]]:
    """A picture of `height` lines and at most `width` characters, axes included, cell by cell."""
    low, high = _span(curves, right)
    rows = height - 2
    y_ticks = {
        round((high - value) / (high - low) * (rows - 1)): f"{value:g}"
        for value in _ticks(low, high, rows // 3)
    }
    margin = max(map(len, y_ticks.values()), default=1) + 1
    columns = max(width - margin - 1, 10)
    canvas = np.zeros((rows, columns), np.uint8)
    owner = np.full((rows, columns), -1)
    letters: dict[tuple[int, int], Cell] = {}
    for curve in sorted(curves, key=lambda curve: not curve.is_train):
        x = curve.x / right * (2 * columns - 1)
        y = (high - curve.y) / (high - low) * (4 * rows - 1)
        for column, row in _dots(x, y):
            if 0 <= row < 4 * rows:
                canvas[row // 4, column // 2] |= _DOTS[row % 4][column % 2]
                owner[row // 4, column // 2] = curve.run
        if not curve.is_train:
            letter = LETTERS[curve.run % len(LETTERS)]
            for column, row in zip((x / 2).astype(int), np.floor(y / 4).astype(int), strict=True):
                letters[int(row), int(column)] = letter, curve.run
    lines: list[list[Cell]] = []
    for row in range(rows):
        label = y_ticks.get(row, "")
        line: list[Cell] = [(f"{label:>{margin - 1}} {'┤' if label else '│'}", None)]
        for column in range(columns):
            dots, run = chr(0x2800 + int(canvas[row, column])), int(owner[row, column])
            line.append(letters.get((row, column), (dots, run) if canvas[row, column] else (" ", None)))
        lines.append(line)
    return [*lines, *_x_axis(_ticks(0.0, right, columns // 14), axis, right, margin, columns)]


def _dots(x: NDArray[np.float64], y: NDArray[np.float64]) -> Iterable[tuple[int, int]]:
    """The dots of a line through these points, without gaps."""
    if len(x) == 1:
        yield round(x[0]), round(y[0])
    columns = np.arange(math.ceil(x[0]), math.floor(x[-1]) + 1)
    heights = np.round(np.interp(columns, x, y)).astype(int)
    for column, (before, here) in zip(columns, pairwise([heights[:1].sum(), *heights]), strict=True):
        step = 1 if here >= before else -1
        for row in range(before + step, here, step):
            yield int(column), row
        yield int(column), int(here)


def _x_axis(ticks: Sequence[float], axis: Axis, right: float, margin: int, columns: int) -> list[list[Cell]]:
    line, labels = list("─" * columns), list(" " * columns)
    name = f" {axis}"
    for value in ticks:
        column, label = round(value / right * (columns - 1)), f"{value:,.15g}"
        line[column] = "┬"
        start = max(0, min(column - len(label) // 2, columns - len(label)))
        if start + len(label) < columns - len(name):
            labels[start : start + len(label)] = label
    labels[-len(name) :] = name
    pad = " " * margin
    return [[(f"{pad}└{''.join(line)}", None)], [(f"{pad} {''.join(labels)}", None)]]


# -- in a figure -----------------------------------------------------------------------------------


def draw_curves(runs: Sequence[Run], metrics: Sequence[str], axis: Axis) -> "Figure":
    """A figure with a panel for each metric; training losses are faint, the best validations are ringed."""
    height, gap, below = 3.4, 0.35, 0.55
    total = len(metrics) * height + (len(metrics) - 1) * gap + below + 0.35
    figure = new_figure(8.0, total)
    for row, metric in enumerate(metrics):
        bottom = below + (len(metrics) - 1 - row) * (height + gap)
        axes = figure.add_axes((0.085, bottom / total, 0.72, height / total))
        _draw_panel(axes, runs, metric, axis)
        axes.set_xlim(0, 1.015 * end_of(runs, axis))
        if row == len(metrics) - 1:
            axes.set_xlabel(axis, color=MUTED, fontsize=9)
        else:
            axes.tick_params(labelbottom=False)
    return figure


def _draw_panel(axes: "Axes", runs: Sequence[Run], metric: str, axis: Axis) -> None:
    curves = curves_of(runs, metric, axis)
    y_span = _span(curves, end_of(runs, axis))
    axes.set_ylim(y_span)
    axes.set_title(METRICS[metric], loc="left", fontsize=10, color=INK, pad=6)
    style_axes(axes)
    for curve in curves:
        color = COLORS[curve.run % len(COLORS)]
        if curve.is_train:
            axes.plot(curve.x, curve.y, color=color, linewidth=0.9, alpha=0.4)
            continue
        marker = "o" if len(curve.x) <= 60 else None
        axes.plot(curve.x, curve.y, color=color, linewidth=1.8, marker=marker, markersize=2.6)
        step, minutes, value = runs[curve.run].best(metric)
        x = step if axis == "steps" else minutes
        axes.plot([x], [value], "o", color="none", markeredgecolor=color, markersize=8, clip_on=False)
    _name_lines(axes, runs, metric, curves, y_span)


def _name_lines(
    axes: "Axes", runs: Sequence[Run], metric: str, curves: Sequence[Curve], y_span: Span
) -> None:
    """Write each run's name beside the end of its line, and its best value; names keep their distance."""
    ends: dict[int, float] = {}
    for curve in curves:  # of validation, where a run has one: it comes after the training
        ends[curve.run] = float(curve.y[-1])
    low, high = y_span
    room = 0.11
    order = sorted(ends, key=lambda run: ends[run])
    places = [(min(max(ends[run], low), high) - low) / (high - low) for run in order]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + room)
    over = max(0.0, places[-1] - 1.0)
    for run, place in zip(order, places, strict=True):
        color = COLORS[run % len(COLORS)]
        told = f"best {runs[run].best(metric)[2]:.4g}" if metric in runs[run].valid else "training"
        common: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center"}
        axes.annotate(
            runs[run].name, (1, place - over), (10, 5), color=color, fontsize=9, fontweight="bold", **common
        )
        axes.annotate(told, (1, place - over), (10, -6), color=MUTED, fontsize=8, **common)
