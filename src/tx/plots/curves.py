"""Plots of learning curves, in characters for a terminal and as a figure; and of BLEU by the length of the source.

In a terminal a line is drawn in Braille dots, eight to a character. A validation is marked by the letter of its run,
so that runs can be distinguished without colours.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.inspect.learning_curves import METRICS, TrainingRun, XAxis, last_x
from tx.plots.color import LINE_COLORS
from tx.plots.figure import INK, MUTED, add_axes, label_lines, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tx.evaluation.compare import Bucket

LETTERS = "abcdefghijklmnopqrstuvwxyz"
_START = 0.1  # of a run: earlier values may be cut off, since losses begin very high


@dataclass(frozen=True)
class Line:
    """A line of a plot: the index of its run, whether it is the training loss, and its points.

    Values before `start`, a share of the x-axis, do not extend the y-axis.
    """

    run: int
    is_train: bool
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    start: float = _START


def lines_of(runs: Sequence[TrainingRun], metric: str, axis: XAxis) -> list[Line]:
    """The lines of one metric. Raises TxError if no run has it."""
    lines = []
    for number, run in enumerate(runs):
        if metric == "loss" and run.train.rows:
            lines.append(Line(number, True, *run.train.xy(axis)))
        if metric in run.valid:
            # Error rates are shown from the start: the model before training is the baseline.
            start = 0.0 if metric in ("wer", "cer") else _START
            lines.append(Line(number, False, *run.valid[metric].xy(axis), start))
    if not lines:
        known = sorted({name for run in runs for name in run.valid} | {"loss"})
        raise TxError(f"no run measured {metric}", f"the runs have: {', '.join(known)}")
    return lines


def _y_range(lines: Sequence[Line], right: float) -> tuple[float, float]:
    shown = [line.y[(line.x >= line.start * right) | (line.x == line.x[-1])] for line in lines]
    low, high = min(float(y.min()) for y in shown), max(float(y.max()) for y in shown)
    margin = 0.04 * (high - low) or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float, n: int) -> list[float]:
    """About `n` round numbers within a range."""
    rough = (high - low) / max(n, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


Cell = tuple[str, int | None]  # a character, and the run whose colour it has
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # bits, by row and column in a character


def text_curves(
    lines: Sequence[Line], axis: XAxis, right: float, width: int, height: int
) -> list[list[Cell]]:
    """A plot of `height` rows and at most `width` columns of characters, axes included."""
    low, high = _y_range(lines, right)
    rows = height - 2
    y_ticks = {
        round((high - value) / (high - low) * (rows - 1)): f"{value:g}"
        for value in _ticks(low, high, rows // 3)
    }
    margin = max(map(len, y_ticks.values()), default=1) + 1
    columns = max(width - margin - 1, 10)
    dots: dict[tuple[int, int], int] = {}
    letters: dict[tuple[int, int], Cell] = {}
    owners: dict[tuple[int, int], int] = {}
    for line in sorted(lines, key=lambda line: not line.is_train):
        x = line.x / right * (2 * columns - 1)
        y = (high - line.y) / (high - low) * (4 * rows - 1)
        for column, row in _dots(x, y):
            place = row // 4, column // 2
            dots[place] = dots.get(place, 0) | _BRAILLE[row % 4][column % 2]
            owners[place] = line.run
        if not line.is_train:
            letter = LETTERS[line.run % len(LETTERS)]
            for column, row in zip((x / 2).astype(int), np.floor(y / 4).astype(int), strict=True):
                letters[int(row), int(column)] = letter, line.run
    cells = {place: (chr(0x2800 + bits), owners[place]) for place, bits in dots.items()} | letters
    drawn: list[list[Cell]] = []
    for row in range(rows):
        label = y_ticks.get(row, "")
        margin_cell: Cell = (f"{label:>{margin - 1}} {'┤' if label else '│'}", None)
        drawn.append([margin_cell, *(cells.get((row, column), (" ", None)) for column in range(columns))])
    return [*drawn, *_x_axis(_ticks(0.0, right, columns // 14), axis, right, margin, columns)]


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


def _x_axis(ticks: Sequence[float], axis: XAxis, right: float, margin: int, columns: int) -> list[list[Cell]]:
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


def draw_curves(runs: Sequence[TrainingRun], metrics: Sequence[str], axis: XAxis) -> "Figure":
    """A figure with a panel for each metric; training losses are faint, the best validations are circled."""
    height, gap, below = 3.4, 0.35, 0.55
    total = len(metrics) * height + (len(metrics) - 1) * gap + below + 0.35
    figure = new_figure(8.0, total)
    for row, metric in enumerate(metrics):
        bottom = below + (len(metrics) - 1 - row) * (height + gap)
        axes = add_axes(figure, 0.68, bottom, 5.76, height)
        _draw_panel(axes, runs, metric, axis)
        axes.set_xlim(0, 1.015 * last_x(runs, axis))
        if row == len(metrics) - 1:
            axes.set_xlabel(axis, color=MUTED, fontsize=9)
        else:
            axes.tick_params(labelbottom=False)
    return figure


def _draw_panel(axes: "Axes", runs: Sequence[TrainingRun], metric: str, axis: XAxis) -> None:
    lines = lines_of(runs, metric, axis)
    axes.set_ylim(_y_range(lines, last_x(runs, axis)))
    axes.set_title(METRICS[metric], loc="left", fontsize=10, color=INK, pad=6)
    style_axes(axes)
    labels: dict[int, tuple[float, str, str, str]] = {}
    for line in lines:
        run, color = runs[line.run], LINE_COLORS[line.run % len(LINE_COLORS)]
        if line.is_train:
            axes.plot(line.x, line.y, color=color, linewidth=0.9, alpha=0.4)
            labels[line.run] = float(line.y[-1]), run.name, "training", color
            continue
        marker = "o" if len(line.x) <= 60 else None
        axes.plot(line.x, line.y, color=color, linewidth=1.8, marker=marker, markersize=2.6)
        step, minutes, value = run.best(metric)
        x = step if axis == "steps" else minutes
        axes.plot([x], [value], "o", color="none", markeredgecolor=color, markersize=8, clip_on=False)
        labels[line.run] = float(line.y[-1]), run.name, f"best {value:.4g}", color
    label_lines(axes, labels.values(), gap=0.11)


def draw_lengths(buckets: "Sequence[Bucket]") -> "Figure":
    """A figure of the BLEU of each system in each bucket of lengths; empty buckets are omitted."""
    buckets = [bucket for bucket in buckets if bucket.n_lines]
    figure = new_figure(7.0, 3.8)
    axes = figure.add_axes((0.09, 0.2, 0.66, 0.68))
    axes.set_title("BLEU by the length of the source", loc="left", fontsize=10, color=INK, pad=8)
    style_axes(axes, grid="y")
    labels = []
    for number, name in enumerate(buckets[0].bleu if buckets else {}):
        values = [bucket.bleu[name] or 0.0 for bucket in buckets]
        color = LINE_COLORS[number % len(LINE_COLORS)]
        axes.plot(range(len(buckets)), values, color=color, linewidth=1.8, marker="o", markersize=4)
        labels.append((values[-1], name, "", color))
    axes.set_xlim(-0.25, len(buckets) - 0.75)
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(len(buckets)), [f"{bucket.label}\n{bucket.n_lines} lines" for bucket in buckets])
    axes.set_xlabel("words of the source", color=MUTED, fontsize=9)
    label_lines(axes, labels, gap=0.06)
    return figure
