"""`tx train` on the command line: what it refuses, what it says, how it ends, and what it leaves behind."""

import importlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import tx.training.loop as loop
from training import TINY, arguments, at_step, fork_tx, inside, model, published_at, send, shared, write
from tx.cli import console
from tx.package import Package


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]


def sets(**changes: Any) -> list[str]:
    settings = TINY | {"data.tokenizer": shared() / "tokenizer"}
    settings |= {key.replace("__", "."): value for key, value in changes.items()}
    return [f"--set={key}={value}" for key, value in settings.items()]


TEXT = ["train.en", "train.de"]


# -- a run ------------------------------------------------------------------------------------------


def test_without_a_recipe_one_is_chosen_and_told_and_text_is_held_out(tmp_path: Path) -> None:
    with inside(shared()):
        done = fork_tx(["train", *TEXT, "-o", str(tmp_path / "m"), *sets(train__max_steps=4)])
    assert done.status == 0, done.err
    assert "recipe: transformer-xs, for 60 pairs" in done.err
    assert "held out 4 pairs for validation" in done.err
    package = Package.open(tmp_path / "m")
    assert package.task == "translation" and package.data["held_out"] == 4
    assert done.out == "", "nothing of this is data"
    assert f"try: tx translate -m {tmp_path / 'm'}" in done.err


def test_what_is_said_off_a_terminal_is_plain(tmp_path: Path) -> None:
    done = fork_tx(arguments(tmp_path / "m"))
    assert "\x1b" not in done.err and "\r" not in done.err
    assert "12 steps" in done.err and "validation every 4 steps" in done.err
    assert "finished (max_steps) after 12 steps: best BLEU 0.00, loss " in done.err
    assert "of the weights, which the package holds " in done.err
    assert "(BLEU is still 0, so the lowest loss was chosen)\n" in done.err
    quiet = fork_tx(arguments(tmp_path / "q", "-q"))
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")


def test_on_a_terminal_there_is_a_bar(tmp_path: Path) -> None:
    def before() -> None:
        os.environ["TERM"] = "xterm"
        importlib.reload(console)  # which looks at its terminal when it is imported

    done = fork_tx(arguments(tmp_path / "m"), before, terminal=True)
    assert done.status == 0, done.err
    assert "\x1b[" in done.err and "━" in done.err and "finished (max_steps)" in done.err


def test_the_live_line_follows_the_steps_before_the_first_line_of_the_log(tmp_path: Path) -> None:
    def before() -> None:
        os.environ["TERM"] = "xterm"
        importlib.reload(console)
        at_step(2, lambda: time.sleep(0.5))()  # the line is drawn ten times a second

    done = fork_tx(arguments(tmp_path / "m", train__log_every=50), before, terminal=True)
    assert done.status == 0, done.err
    assert re.search(r"step 2  loss [5-9]\.\d{3} ", done.err), done.err


def test_the_package_tells_what_it_was_made_from(tmp_path: Path) -> None:
    package = Package.open(model())
    assert package.data["pairs"] == 60 and [f["name"] for f in package.data["files"]] == TEXT
    values = {score["metric"]: score["value"] for score in package.scores}
    assert list(values) == ["BLEU", "loss", "perplexity"]
    best = [record for record in metrics(model()) if record.get("best")][-1]
    assert values["loss"] == pytest.approx(best["valid_loss"], abs=1e-4)
    assert published_at(model()) == best["step"]


def test_others_may_read_the_package() -> None:
    assert all(p.stat().st_mode & 0o444 == 0o444 for p in model().iterdir() if p.is_file())


def test_epochs_and_patience_end_a_run(tmp_path: Path) -> None:
    epochs = fork_tx(arguments(tmp_path / "e", "--max-epochs", "1", train__max_steps=0))
    assert epochs.status == 0 and "finished (max_epochs)" in epochs.err
    still = {"train__lr": 0, "train__max_steps": 100, "train__patience": 2}
    patience = fork_tx(arguments(tmp_path / "p", **still))
    assert patience.status == 0 and "finished (patience) after 12 steps" in patience.err


def test_a_run_keeps_to_its_time(tmp_path: Path) -> None:
    """By a clock that only updates advance, each by a tenth of a second."""
    now = 0.0

    def before() -> None:
        update, time.monotonic = loop.Trainer._update, lambda: now

        def wrapped(self: Any, batches: Any) -> Any:
            nonlocal now
            now += 0.1
            return update(self, batches)

        loop.Trainer._update = wrapped  # type: ignore[method-assign]

    limits = {"train__max_steps": 0, "train__eval_every": 10}
    done = fork_tx(arguments(tmp_path / "m", "--max-time", "4s", **limits), before)
    assert done.status == 0 and "finished (max_time) after 40 steps" in done.err, done.err
    assert Package.open(tmp_path / "m").task == "translation"


def test_no_time_for_a_step_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    done = fork_tx(arguments(tmp_path / "m", "--max-time", "0.001s", train__max_steps=0))
    assert done.status == 1 and "of the 0.001 s of --max-time; no step was made" in done.err
    assert list(tmp_path.iterdir()) == []


# -- a dry run --------------------------------------------------------------------------------------


def test_a_dry_run_tells_all_and_writes_nothing(tmp_path: Path) -> None:
    with inside(tmp_path):
        named = fork_tx(arguments("m", "--dry-run", "--lr", "0.125"))
        nameless = fork_tx([word for word in arguments("m", "--dry-run") if word not in ("-o", "m")])
    assert (named.status, nameless.status) == (0, 0), named.err + nameless.err
    rows = [line.split("\t") for line in named.out.splitlines()]
    assert {len(row) for row in rows} == {3}
    table = {key: (value, origin) for key, value, origin in rows}
    assert table["train.lr"] == ("0.125", "flag --lr")
    assert table["model.d_model"] == ("8", "--set") and table["train.beta2"][1] == "default"
    assert "forecast: 12 steps in" in named.err and "parameters" in named.err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_leaves_an_existing_run_alone(tmp_path: Path) -> None:
    out = tmp_path / "m"
    shutil.copytree(model(), out)
    before = tree(out)
    for extra in ([], ["--resume"], ["--overwrite"]):
        assert fork_tx(arguments(out, "--dry-run", *extra)).status == 0
    assert tree(out) == before


# -- what is in the way -----------------------------------------------------------------------------


def test_what_exists_is_replaced_only_on_demand(tmp_path: Path) -> None:
    out = tmp_path / "m"
    shutil.copytree(model(), out)
    before = tree(out)
    refused = fork_tx(arguments(out))
    assert refused.status == 1 and f"{out} exists already" in refused.err
    assert "--resume" in refused.err and "--overwrite" in refused.err
    assert tree(out) == before
    done = fork_tx(arguments(out, "--overwrite", "--seed", "5", train__average=1))
    assert done.status == 0, done.err
    assert tree(out)["weights.safetensors"] != before["weights.safetensors"]
    assert metrics(out)[0]["step"] == 3 and len(metrics(out)) == 7, "the log begins anew"
    assert not list((out / "run").glob("snapshots/*"))


def test_what_is_no_package_is_refused_at_once_and_for_good(tmp_path: Path) -> None:
    for name in ("data", "foreign/run"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "train.de").write_text("mine")
    for out in (tmp_path / "data", tmp_path / "foreign", tmp_path / "data" / "train.de"):
        refused = fork_tx(arguments(out))
        assert refused.status == 1 and f"{out} exists and is not a package" in refused.err
        assert refused.err.endswith("hint: choose another -o\n")
        refused = fork_tx(arguments(out, "--overwrite"))
        assert refused.status == 1 and "--overwrite only replaces packages" in refused.err
    kinds = ["train", "word", str(shared() / "train.en"), "-o", str(tmp_path / "data"), "--vocab-size", "300"]
    assert "exists and is not a package" in fork_tx(kinds).err
    assert set(tree(tmp_path)) == {"data/train.de", "foreign/run/train.de"}


def no_line_break(folder: Path) -> None:
    (folder / "train.de").write_bytes((folder / "train.de").read_bytes().replace(b"\n", b" ", 1))


def not_text(folder: Path) -> None:
    (folder / "train.en").write_bytes(b"a\0b\n" * 60)


def not_utf8(folder: Path) -> None:
    (folder / "valid.de").write_bytes(b"caf\xe9\n" * 6)


def nothing_left(folder: Path) -> None:
    for name in TEXT:
        write(folder / name, [""] * 60)


FAULTS: list[tuple[Callable[[Path], None], str]] = [
    (no_line_break, "train.de has 59"),
    (not_text, "train.en:1 contains a NUL byte"),
    (not_utf8, "valid.de:1 is not UTF-8"),
    (nothing_left, "can be used"),
]


@pytest.mark.parametrize(("spoil", "said"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_failed_start_leaves_nothing_and_harms_nothing(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    data, old = tmp_path / "data", tmp_path / "old"
    data.mkdir()
    for file in shared().glob("*.??"):
        shutil.copy(file, data)
    spoil(data)
    new = fork_tx(arguments(tmp_path / "deep" / "m", data=data))
    assert new.status == 1 and said in new.err and "bug in tx" not in new.err, new.err
    assert not (tmp_path / "deep" / "m").exists()
    shutil.copytree(model(), old)
    before = tree(old)
    assert fork_tx(arguments(old, "--overwrite", data=data)).status == 1
    ours = {"run/lock", "run/process"}
    after = tree(old)
    assert {name: after[name] for name in after.keys() - ours} == {
        name: before[name] for name in before.keys() - ours
    }


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["transformer", *TEXT], 2, "missing option -o NAME"),
        (["-o", "m"], 2, "nothing to train"),
        (["transfromer", *TEXT, "-o", "m"], 2, "did you mean 'transformer'"),
        (["transformer", "train.en", "-o", "m"], 2, "a source and a target file"),
        (["transformer", *TEXT, "--valid", "valid.en", "-o", "m"], 2, "validation text, not 1 file\n"),
        (
            ["transformer", "train.en", "train.fr", "-o", "m"],
            1,
            "there is no file train.fr\n  hint: check the path",
        ),
        (
            ["bpe", "train.en", "--vocab-size", "-4", "-o", "m"],
            2,
            "flag --vocab-size: data.vocab_size: expected",
        ),
        (["bpe", "train.en", "--seed", "-4", "-o", "m"], 2, "flag --seed: seed: expected"),
        (["transformer", "train.en", "-", "-o", "m"], 2, "cannot read it from a pipe"),
        (["bpe", "train.en", "--dry-run", "-o", "m"], 2, "do not apply to a tokenizer"),
        (["bpe", "train.en", "--valid", "train.de", "-o", "m"], 2, "do not apply to a tokenizer"),
        (["transformer", *TEXT, "--set", "train.lrr=1", "-o", "m"], 2, "did you mean 'lr'"),
        (["transformer", *TEXT, "--set", "model.n_heads=3", "--set", "model.d_model=8", "-o", "m"], 1, "3"),
        (["transformer", *TEXT, "--device", "cuda:7", "-o", "m"], 1, "cuda:7"),
        (["transformer", *TEXT, "--tokenizer", "nowhere", "-o", "m"], 1, "nowhere"),
        (["bpe", "train.en", "--lr", "1", "-o", "m"], 2, "--lr does not apply to a tokenizer"),
        (["bpe", "-o", "m"], 2, "there is no training text"),
    ],
)
def test_a_command_that_cannot_work_says_why(
    tmp_path: Path, words: list[str], status: int, said: str
) -> None:
    for name in (*TEXT, "valid.en"):
        shutil.copy(shared() / name, tmp_path)
    before = sorted(tmp_path.iterdir())
    with inside(tmp_path):
        refused = fork_tx(["train", *words])
    assert refused.status == status and said in refused.err, refused.err
    assert "bug in tx" not in refused.err and "Traceback" not in refused.err
    assert sorted(tmp_path.iterdir()) == before


# -- losses that are not finite ---------------------------------------------------------------------


def spoiled(first: int, last: int) -> Callable[[], None]:
    """Make the loss of some updates infinite."""

    def before() -> None:
        loss = loop.Trainer._loss

        def wrapped(self: Any, batch: Any, state: Any) -> Any:
            bad = first <= self.progress.step + 1 <= last
            value, state = loss(self, batch, state)
            return value * (float("inf") if bad else 1.0), state

        loop.Trainer._loss = wrapped  # type: ignore[method-assign]

    return before


def test_one_bad_batch_is_skipped_and_told(tmp_path: Path) -> None:
    done = fork_tx(arguments(tmp_path / "m"), spoiled(5, 5))
    assert done.status == 0 and "1 skipped" in done.err
    assert [r["skipped"] for r in metrics(tmp_path / "m") if "skipped" in r] == [0, 1, 1, 1]
    assert all((v == v).all() for v in load_file(tmp_path / "m" / "weights.safetensors").values())


def test_bad_batches_only_end_the_run_with_the_package_intact(tmp_path: Path) -> None:
    out = tmp_path / "m"
    done = fork_tx(arguments(out), spoiled(6, 99))
    assert done.status == 1
    assert (
        "tx: error: training diverged: the loss was not finite for 5 updates in a row, up to step 10"
        in done.err
    )
    assert "--lr" in done.err
    assert published_at(out) in (4, 8)
    state = json.loads((out / "run" / "last" / "state.json").read_text())
    assert state["step"] == 8
    weights = load_file(out / "run" / "last" / "weights.safetensors")
    assert all((v == v).all() and abs(v).max() < 1e6 for v in weights.values())


# -- signals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_preparation_leaves_nothing(tmp_path: Path, number: int) -> None:
    def before() -> None:
        import tx.tasks.translation.training as translation

        open_data = translation.open_data

        def interrupted(*args: Any) -> Any:
            send(number)()
            return open_data(*args)

        translation.open_data = interrupted

    done = fork_tx(arguments(tmp_path / "m"), before)
    assert done.status == 130 and done.err.endswith("stopped before the first step; nothing was saved\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_at_once(tmp_path: Path, number: int) -> None:
    def twice() -> None:
        send(number)()
        send(number)()

    done = fork_tx(arguments(tmp_path / "m"), at_step(6, twice))
    assert done.status == 130 and "stopped at" not in done.err and "Traceback" not in done.err
    state = json.loads((tmp_path / "m" / "run" / "last" / "state.json").read_text())
    assert state["step"] == 4, "nothing was saved after the second"
