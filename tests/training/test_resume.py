"""`tx train --resume`: wherever a run was stopped or killed, it ends in the same bytes as one that was not."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from training import (
    KILL,
    arguments,
    at_operation,
    at_step,
    at_validation,
    count_operations,
    differences,
    fork_tx,
    published_at,
    save_always,
    send,
    shared,
)
from tx.errors import TxError
from tx.package import Package
from tx.training.run_folder import has_begun

SAMPLED = {"data__sampling": 0.2, "train__batch_tokens": 650}  # about six updates an epoch


@cache
def straight() -> Path:
    """A run that nothing interrupts."""
    out = shared() / "straight"
    done = fork_tx(arguments(out, **SAMPLED))
    assert done.status == 0, done.err
    return out


def state_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "run" / "last" / "state.json").read_text())  # type: ignore[no-any-return]


def start_or_resume(out: Path, before: Callable[[], object] = lambda: None, **changes: Any) -> Any:
    return fork_tx(arguments(out, *["--resume"] * has_begun(out / "run"), **SAMPLED | changes), before)


def check_same(out: Path) -> None:
    assert differences(straight(), out) == []
    assert [p.name for p in out.rglob(".*")] == [], "litter"


@cache
def epoch_end() -> int:
    """The step that ends the first epoch."""
    log = (straight() / "run" / "metrics.jsonl").read_text().splitlines()
    return round(3 / next(json.loads(line)["epochs"] for line in log if json.loads(line)["step"] == 3))


def moments() -> dict[str, int]:
    return {
        "mid-epoch": 2,
        "before an epoch ends": epoch_end() - 1,
        "epoch end": epoch_end(),
        "later": 10,
        "end": 12,
    }


def test_the_moments_are_what_they_are_called() -> None:
    assert 4 < epoch_end() < 9 and epoch_end() % 4
    ended = state_of(straight())
    assert ended["step"] == 12 and ended["position"]["epoch"] >= 1 and ended["finished"] == "max_steps"


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("mid-epoch", signal.SIGINT),
        ("before an epoch ends", signal.SIGTERM),
        ("epoch end", signal.SIGINT),
        ("epoch end", signal.SIGTERM),
        ("later", signal.SIGTERM),
        ("end", signal.SIGINT),
    ],
)
def test_after_a_signal(tmp_path: Path, moment: str, number: int) -> None:
    step, out = moments()[moment], tmp_path / "m"
    stopped = start_or_resume(out, at_step(step, send(number)))
    assert stopped.status == 130
    assert f"stopped at step {step}; continue with: tx train --resume -o {out}" in stopped.err
    assert state_of(out)["step"] == step
    assert bool(Package.open(out).scores) == (step > 4), "a model is there, if only validation scores it"
    assert (state_of(out)["position"]["batch"] == 0) == (step % epoch_end() == 0)
    resumed = fork_tx(["train", "--resume", "-o", str(out)])  # nothing else need be said again
    assert resumed.status == 0, resumed.err
    check_same(out)


@pytest.mark.parametrize("step", [2, 6, 9, 12])
def test_after_kill_9_between_saves(tmp_path: Path, step: int) -> None:
    out = tmp_path / "m"
    assert start_or_resume(out, at_step(step, KILL)).status == -9
    assert state_of(out)["step"] == (step - 1) // 4 * 4
    assert start_or_resume(out).status == 0
    check_same(out)


def test_after_kill_9_where_every_step_is_saved(tmp_path: Path) -> None:
    out = tmp_path / "m"
    for step in (3, epoch_end() + 1, 11):

        def before(step: int = step) -> None:
            save_always()
            at_step(step, KILL)()

        assert start_or_resume(out, before).status == -9
        assert state_of(out)["step"] == step - 1
    assert start_or_resume(out).status == 0
    check_same(out)


@pytest.mark.parametrize("validation", [1, 3, 4])  # at step 4, at the end, and of the average
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_after_a_signal_in_a_validation(tmp_path: Path, validation: int, number: int) -> None:
    out = tmp_path / "m"
    stopped = start_or_resume(out, at_validation(validation, send(number)))
    assert stopped.status == (130 if number == signal.SIGTERM else -9)
    assert start_or_resume(out).status == 0
    check_same(out)


N_KILLS = 8


@pytest.mark.parametrize("part", range(N_KILLS))
def test_after_kill_9_at_any_file_operation(tmp_path: Path, part: int) -> None:
    """A few of the hundreds of operations, spread evenly and moved a little from test to test."""
    out = tmp_path / "m"
    n = 1 + int((part + random.random()) * operations() / N_KILLS)
    assert start_or_resume(out, at_operation(n, out, KILL)).status == -9, f"operation {n}"
    resumed = start_or_resume(out)
    assert resumed.status == 0, f"after operation {n}: {resumed.err}"
    check_same(out)


@cache
def operations() -> int:
    out = shared() / "counted"
    return count_operations(arguments(out, **SAMPLED), out) - 1


def test_after_one_kill_after_another(tmp_path: Path) -> None:
    """Each life is a little longer than the one before, until one lasts to the end."""
    out, n, status = tmp_path / "m", 5, -9
    while status == -9:
        status = start_or_resume(out, at_operation(n, out, KILL)).status
        n += 23
        assert n < 400, "no progress"
    assert status == 0
    check_same(out)


def test_after_kill_9_at_any_time(tmp_path: Path) -> None:
    """By the clock instead of by the operation."""
    out, started = tmp_path / "m", time.monotonic()
    whole = fork_tx(arguments(tmp_path / "whole", **SAMPLED)).seconds
    for _ in range(4):
        fork_tx(
            arguments(out, *["--resume"] * has_begun(out / "run"), **SAMPLED),
            meanwhile=lambda child: (
                time.sleep(random.uniform(0.3, 1) * whole),
                os.kill(child, signal.SIGKILL),
            ),
        )
    assert start_or_resume(out).status == 0, time.monotonic() - started
    check_same(out)


# -- a full disk ------------------------------------------------------------------------------------


N_FAILURES = 4


def no_space() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("part", range(N_FAILURES))
def test_after_any_file_operation_failed(tmp_path: Path, part: int) -> None:
    out = tmp_path / "m"
    n = 1 + int((part + random.random()) * operations() / N_FAILURES)
    failed = start_or_resume(out, at_operation(n, out, no_space))
    if failed.status != 0:  # what only tidies up may fail
        assert failed.status == 1 and "escaped" not in failed.err and "bug in tx" not in failed.err, (
            f"{n}: {failed.err}"
        )
        assert failed.err.count("tx: error: ") == 1 and "No space left on device" in failed.err
    if (out / "model.json").exists():
        Package.open(out)
    assert start_or_resume(out).status == 0, f"after operation {n}"
    check_same(out)


@pytest.mark.parametrize(
    "limit", [1000, 20_000]
)  # no weights fit; weights do, the optimizer's state does not
def test_after_a_full_disk(tmp_path: Path, limit: int) -> None:
    out = tmp_path / "m"

    def fill_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    failed = start_or_resume(out, at_step(6, fill_disk))
    assert failed.status == 1
    assert "tx: error: cannot write" in failed.err and "File too large" in failed.err
    assert "the old content is unchanged" in failed.err and "Traceback" not in failed.err
    assert published_at(out) in (4, 8)
    assert start_or_resume(out).status == 0
    check_same(out)


# -- refusals ---------------------------------------------------------------------------------------


@cache
def stopped() -> tuple[Path, Path]:
    """A run stopped at step 6, and its text."""
    data = shared() / "text"
    data.mkdir()
    for file in shared().glob("*.??"):
        shutil.copy(file, data)
    out = shared() / "stopped"
    assert fork_tx(arguments(out, data=data), at_step(6, send(signal.SIGINT))).status == 130
    return out, data


def resume(out: Path, *extra: str, before: Callable[[], object] = lambda: None) -> Any:
    return fork_tx(["train", "--resume", "-o", str(out), *extra], before)


@pytest.mark.parametrize("name", ["train.en", "train.de", "valid.de"])
def test_changed_text_is_refused(name: str) -> None:
    out, data = stopped()
    before = (data / name).read_bytes()
    changed = bytearray(before)
    changed[100] ^= 1
    try:
        (data / name).write_bytes(changed)
        refused = resume(out)
        (data / name).unlink()
        missing = resume(out)
    finally:
        (data / name).write_bytes(before)
    assert refused.status == 1 and f"{data / name} has changed since the run began" in refused.err
    assert missing.status == 1 and f"there is no file {data / name}" in missing.err


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        (["--lr", "0.5"], "train.lr"),
        (["--seed", "9"], "seed"),
        (["--set", "model.dropout=0.3"], "model.dropout"),
        (["--set", "data.sampling=0.5"], "data.sampling"),
        (["transformer-xs"], "data."),
    ],
)
def test_changed_options_are_refused(extra: list[str], key: str) -> None:
    refused = resume(stopped()[0], *extra)
    assert refused.status == 1 and f"tx: error: {key}" in refused.err and "in this run" in refused.err


def test_changed_options_are_refused_wherever_they_come_from(tmp_path: Path) -> None:
    out = stopped()[0]
    by_environment = resume(out, before=lambda: os.environ.update(TX_TRAIN_LR="0.5"))
    assert by_environment.status == 1 and "train.lr was" in by_environment.err
    config = out / "run" / "config.toml"
    text = config.read_text()
    try:
        config.write_text(text.replace("clip_norm = 1.0", "clip_norm = 2.0"))
        by_hand = resume(out)
    finally:
        config.write_text(text)
    assert by_hand.status == 1 and "train.clip_norm was 1.0 in this run and is 2.0 now" in by_hand.err


def test_the_same_command_resumes(tmp_path: Path) -> None:
    out, data = stopped()
    copy = tmp_path / "m"
    shutil.copytree(out, copy)
    done = fork_tx(arguments(copy, "--resume", data=data))
    assert done.status == 0, done.err


def test_any_damage_to_a_run_is_refused(tmp_path: Path) -> None:
    out, _ = stopped()
    copy = tmp_path / "m"
    shutil.copytree(out, copy)
    files = [p for p in sorted((copy / "run").rglob("*")) if p.is_file()]
    for file in files:
        if file.name in ("lock", "process", "metrics.jsonl", "README.md", "config.toml"):
            continue
        data = file.read_bytes()
        flipped = bytearray(data)
        flipped[data.index(b'"') + 1 if file.suffix == ".json" else len(data) // 2] ^= 1
        for harm in (bytes(flipped), None):
            file.unlink() if harm is None else file.write_bytes(harm)
            refused = resume(copy)
            assert refused.status == 1 and "bug in tx" not in refused.err, f"{file.name}: {refused.err}"
            assert str(file.parent) in refused.err
        file.write_bytes(data)
    assert resume(copy).status == 0


def test_there_must_be_a_run(tmp_path: Path) -> None:
    for out in (tmp_path / "nothing", tmp_path):
        missing = resume(out)
        assert missing.status == 1 and f"there is no run to resume in {out}" in missing.err
    assert list(tmp_path.iterdir()) == []
    both = resume(stopped()[0], "--overwrite")
    assert both.status == 2 and "omit one of them" in both.err


def test_a_second_process_is_refused_and_a_dead_one_forgotten(tmp_path: Path) -> None:
    out = tmp_path / "m"
    marker = tmp_path / "waiting"

    def wait() -> None:
        marker.touch()
        time.sleep(60)

    def second(child: int) -> None:
        while not marker.exists():
            time.sleep(0.02)
        started = time.monotonic()
        for extra in (["--resume"], ["--overwrite"]):
            refused = fork_tx(arguments(out, *extra, **SAMPLED))
            assert refused.status == 1 and f"{out} is being trained by process {child}" in refused.err
        assert time.monotonic() - started < 10
        os.kill(child, signal.SIGKILL)

    first = fork_tx(arguments(out, **SAMPLED), at_step(6, wait), meanwhile=second)
    assert first.status == -9
    assert start_or_resume(out).status == 0
    check_same(out)


# -- finished runs ----------------------------------------------------------------------------------


def test_a_finished_run_says_so_and_goes_on_when_a_limit_is_raised(tmp_path: Path) -> None:
    out = tmp_path / "m"
    shutil.copytree(straight(), out)
    again = resume(out)
    assert (
        again.status == 0
        and "this run is finished (max_steps); to continue, raise --max-steps\n" in again.err
        and "forecast" not in again.err
    )
    looked = resume(out, "--dry-run")
    assert looked.status == 0 and "this run is finished" in looked.err and "forecast" not in looked.err
    assert "forecast" in resume(out, "--dry-run", "--max-steps", "16").err
    assert differences(straight(), out) == []
    further = resume(out, "--max-steps", "16", before=at_step(14, send(signal.SIGINT)))
    assert further.status == 130 and state_of(out)["step"] == 14
    last = resume(out)  # the raised limit is remembered
    assert last.status == 0 and state_of(out)["step"] == 16 and state_of(out)["finished"] == "max_steps"
    steps = [json.loads(line)["step"] for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


# -- the same bytes ---------------------------------------------------------------------------------


def test_the_same_command_gives_the_same_bytes_in_another_place(tmp_path: Path) -> None:
    """Other processes, folders, hash seeds and caches; and tokenizers that are fitted anew."""
    processes = []
    for seed in ("1", "2"):
        place = tmp_path / seed
        place.mkdir()
        fitted = {"data__tokenizer": '""', "data__vocab_size": 400}
        command = [sys.executable, "-m", "tx", *arguments(place / "m", "-q", **fitted)]
        environment = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "TX_HOME": str(place)}
        processes.append(subprocess.Popen(command, cwd=place, env=environment))
    assert [process.wait() for process in processes] == [0, 0]
    assert differences(tmp_path / "1" / "m", tmp_path / "2" / "m") == []


@pytest.mark.xfail(strict=True, reason="SentencePiece salts its seed in every process anew")
def test_another_process_samples_the_same_segmentations() -> None:
    code = """
import sys
from tx.package import Package
from tx.text.load_tokenizer import open_tokenizer
print(open_tokenizer(Package.open(sys.argv[1])).sample_batch(["They will eat a cake."] * 9, 7, 0.2))
"""
    command = [sys.executable, "-c", code, str(shared() / "tokenizer")]
    one, two = (subprocess.run(command, capture_output=True, check=True).stdout for _ in range(2))
    assert one == two


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    assert fork_tx(arguments(tmp_path / "m", "--seed", "2", **SAMPLED)).status == 0
    assert "weights.safetensors" in differences(tmp_path / "m", straight())


def test_a_package_read_while_it_is_trained_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "m"
    seen = set()

    def read(child: int) -> None:
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            try:
                seen.add(published_at(out))
            except TxError as error:
                assert "no package" in error.message or "no model.json" in error.message, error.message

    done = fork_tx(arguments(out, **SAMPLED), meanwhile=read)
    assert done.status == 0 and seen
