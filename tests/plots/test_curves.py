"""Learning curves: reading logs, the positions of points in plots, and the command."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal import on_terminal
from tx.cli.app import main
from tx.errors import TxError
from tx.inspect.learning_curves import default_metrics, last_x, read_run
from tx.plots.curves import Line, draw_curves, lines_of, text_curves
from tx.plots.curves import _ticks as ticks


def log(path: Path, n: int = 20, bleu: bool = False, worse: float = 0.0) -> Path:
    """A run of `n` records whose loss is 1 + worse + 100 / step, with a validation after every fifth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for step in range(10, 10 * n + 1, 10):
            loss = 1 + worse + 100 / step
            record: dict[str, Any] = {"step": step, "seconds": 6.0 * step, "loss": loss, "lr": 0.1}
            file.write(json.dumps(record) + "\n")
            if step % 50 == 0:
                valid = {"valid_loss": loss + 0.5, "valid_ppl": math.exp(loss + 0.5)}
                valid |= {"valid_bleu": float(step % 150)} if bleu else {}
                record = {"step": step, "seconds": 6.0 * step, "weights": "ema", **valid, "samples": []}
                file.write(json.dumps(record) + "\n")
        record = {"step": step, "seconds": 9.0 * step, "weights": "mean of 3", "valid_loss": 0.0}
        file.write(json.dumps(record) + "\n")
    return path


@pytest.fixture
def tx(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tx", "plot", "curves", *words])
        status = 0
        try:
            main()
        except SystemExit as exit:
            status = int(exit.code or 0)
        return status, *capsys.readouterr()

    return run


def test_runs_of_speech_show_the_word_error_rate_and_lower_is_better(tx: Any, tmp_path: Path) -> None:
    rows = [{"step": 0, "seconds": 0.0, "weights": "current", "valid_wer": 58.0, "valid_cer": 28.0}]
    for step, wer in ((10, 30.0), (20, 20.0), (30, 25.0)):
        rows.append({"step": step, "seconds": 6.0 * step, "loss": 30.0 / step})
        rows.append(
            {
                "step": step,
                "seconds": 6.0 * step,
                "weights": "current",
                "valid_wer": wer,
                "valid_cer": wer / 2,
            }
        )
    path = tmp_path / "mine" / "run" / "metrics.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = read_run(str(path))
    assert default_metrics([run]) == ["loss", "wer"]
    assert run.best("wer") == (20, 2.0, 20.0) and run.best("cer")[2] == 10.0
    status, out, _ = tx("mine")
    assert status == 0 and "word error rate, %" in out
    (curve,) = lines_of([run], "wer", "steps")
    axes = draw_curves([run], ["wer"], "steps").axes[0]
    assert axes.get_ylim()[1] > 58 and list(curve.y) == [58, 30, 20, 25]  # the untouched model is seen


def test_a_run_is_found_by_its_package_its_folder_or_its_log(tmp_path: Path) -> None:
    path = log(tmp_path / "bard" / "run" / "metrics.jsonl")
    for name in (tmp_path / "bard", tmp_path / "bard" / "run", path):
        run = read_run(str(name))
        assert run.name == "bard"
        steps, losses = run.train.xy("steps")
        assert np.array_equal(steps, np.arange(10, 201, 10)) and np.allclose(losses, 1 + 100 / steps)
        assert [row[0] for row in run.valid["loss"].rows] == [50, 100, 150, 200]  # the mean is no point of it
        assert np.allclose(run.valid["loss"].xy("minutes")[0], [5, 10, 15, 20])
        assert run.best("loss") == pytest.approx((200, 20, 2.0))
        assert default_metrics([run]) == ["loss"]
    other = read_run(str(log(tmp_path / "copy.jsonl", bleu=True)))
    assert other.name == "copy" and default_metrics([run, other]) == ["loss", "bleu"]
    assert other.best("bleu")[0] == 100


def test_the_unfinished_last_line_of_a_log_is_ignored(tmp_path: Path) -> None:
    path = log(tmp_path / "metrics.jsonl")
    whole = read_run(str(path))
    with path.open("a") as file:
        file.write('{"step": 210, "sec')
    assert read_run(str(path)) == whole
    with path.open("a") as file:
        file.write("\n{}\n")
    with pytest.raises(TxError, match=r"metrics.jsonl:26 is not a record of a run"):
        read_run(str(path))
    path.write_text('{"step": 5, "seconds": 1, "loss": NaN}\n')
    with pytest.raises(TxError, match="has no values yet"):
        read_run(str(path))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_ticks_are_round_and_within_the_range(low: float, width: float, n: int) -> None:
    values = ticks(low, low + width, n)
    assert all(low - 1e-6 * width <= v <= low + width * (1 + 1e-6) for v in values)
    assert len(values) <= n + 1
    steps = np.diff(values)
    assert len(values) < 2 or np.allclose(steps, steps[0], rtol=1e-3)
    assert len(values) < 2 or f"{steps[0]:.0e}"[0] in "125"


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.integers(20, 120), st.integers(5, 30))
@settings(max_examples=100, deadline=None)
def test_letters_are_at_the_values(values: list[float], width: int, height: int) -> None:
    x, y = np.arange(1.0, len(values) + 1), np.array(values)
    lines = text_curves([Line(0, False, x, y)], "steps", float(x[-1]), width, height)
    rows = ["".join(text for text, _ in line) for line in lines]
    assert len(rows) == height and len(set(map(len, rows))) == 1
    margin = len(lines[0][0][0])
    letters = {
        (column, row)
        for row, line in enumerate(rows[:-2])
        for column, character in enumerate(line[margin:])
        if character == "a"
    }
    kept = y[x >= 0.1 * x[-1]]
    space = 0.04 * float(np.ptp(kept)) or abs(float(kept[0])) * 0.1 or 1.0
    low, high = kept.min() - space, kept.max() + space
    n_rows, n_columns = height - 2, len(rows[0]) - margin
    for at, value in zip(x, y, strict=True):
        if low <= value <= high:
            column, row = at / x[-1] * (n_columns - 0.5), (high - value) / (high - low) * (n_rows - 0.25)
            assert any(abs(c - column) <= 1 and abs(r - row) <= 1 for c, r in letters)
    assert 1 <= len(letters) <= len(values)


def test_lines_have_no_gaps() -> None:
    x = np.arange(1.0, 9.0)
    curve = Line(0, True, x, np.array([0, 9, 0, 9, 0, 9, 0, 9.0]))
    lines = text_curves([curve], "steps", 8.0, 60, 12)
    columns = list(zip(*(line[1:] for line in lines[:-2]), strict=True))
    first = next(i for i, column in enumerate(columns) if any(run == 0 for _, run in column))
    assert first > 0
    for column in columns[first:]:
        drawn = [row for row, (_, run) in enumerate(column) if run == 0]
        assert drawn and drawn == list(range(drawn[0], drawn[-1] + 1))


def test_panels_share_their_axis_and_runs_their_colour(tmp_path: Path) -> None:
    runs = [
        read_run(str(log(tmp_path / "a.jsonl", 20))),
        read_run(str(log(tmp_path / "b.jsonl", 40, bleu=True, worse=0.2))),
    ]
    assert last_x(runs, "steps") == 400 and last_x(runs, "minutes") == 40
    figure = draw_curves(runs, ["loss", "bleu"], "steps")
    loss, bleu = figure.axes
    assert loss.get_xlim() == bleu.get_xlim()
    ends = {
        round(float(line.get_ydata()[-1]), 2): line.get_color()
        for line in loss.lines
        if len(line.get_ydata()) > 1
    }
    assert len(ends) == 4 and ends[2.0] == ends[1.5] != ends[1.45]
    assert [curve.run for curve in lines_of(runs, "bleu", "steps")] == [1]
    told = [text.get_text() for text in loss.texts]
    assert sorted(told) == ["a", "b", "best 1.95", "best 2"]


def test_the_command(tx: Any, tmp_path: Path) -> None:
    log(tmp_path / "a" / "run" / "metrics.jsonl")
    log(tmp_path / "b" / "a" / "run" / "metrics.jsonl", bleu=True)
    status, out, err = tx("a", "b/a")
    assert (status, err) == (0, "")
    assert "a a  best 2 at step 200, 20.0 min" in out and "b b/a" in out and "BLEU" in out
    assert "\x1b" not in out
    status, out, _ = tx("a", "b/a", "--json")
    document = json.loads(out)
    assert [run["name"] for run in document["runs"]] == ["a", "b/a"]
    assert document["runs"][1]["valid"]["bleu"][1] == {"step": 100, "minutes": 10.0, "value": 100.0}
    assert tx("a", "--by", "minutes", "-o", "c.png")[0] == 0
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    for words, status, told in (
        (["nothing"], 1, "there is no training log for nothing"),
        (["a", "--metric", "bleu"], 1, "no run measured bleu"),
        (["a", "--metric", "blue"], 2, "did you mean 'bleu'?"),
        (["a", "--by", "weeks"], 2, "'steps', 'minutes'"),
        (["a", "-o", "c.pdf"], 2, "c.pdf"),
    ):
        found = tx(*words)
        assert found[0] == status and told in found[2]


def test_on_a_terminal_it_has_colours_and_fits(tmp_path: Path) -> None:
    log(tmp_path / "a" / "run" / "metrics.jsonl")
    shown = on_terminal("plot", "curves", "a", columns=60, cwd=tmp_path, COLORTERM="truecolor")
    assert "\x1b[38;2;0;114;178m" in shown
    plain = on_terminal("plot", "curves", "a", columns=60, cwd=tmp_path, NO_COLOR="1")
    assert "\x1b[3" not in plain
    assert max(map(len, plain.splitlines())) <= 60
