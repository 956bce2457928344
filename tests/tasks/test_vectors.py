"""Runs of `tx train word2vec`: their results, how they end, and that an interruption changes nothing."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import tx.tasks.vectors.training as training
from tx.cli.app import main
from tx.errors import TxError
from tx.package import Package
from tx.tasks.vectors.training import Word2VecRun, prepare
from tx.training.run_folder import claim
from tx.word2vec.config import Config
from tx.word2vec.gensim_engine import GensimEngine
from word2vec import RecordingListener, home, same_topic_share, small_config, topic_lines, write_lines

ENGINES = ["gensim", "fast"]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Many blocks in a small text, a checkpoint after each of them, and an empty working folder."""
    from tx.word2vec.numba_engine import FastEngine

    for engine in (FastEngine, GensimEngine):
        monkeypatch.setattr(engine, "block", 1000)
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(training, "POLL_SECONDS", 0.001)
    monkeypatch.setenv("TX_HOME", str(home()))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "text", topic_lines(600))


def train(config: Config, out: Path, resume: bool = False) -> tuple[Any, RecordingListener]:
    """Prepare and train a run; return its progress and its listener."""
    listener = RecordingListener()
    with claim(out, resume, overwrite=False):
        return prepare(config, out, resume, listener).train(), listener


def tensors(out: Path) -> dict[str, Any]:
    return load_file(out / "weights.safetensors")


def result(out: Path) -> dict[str, bytes]:
    """The files that must not depend on whether a run was interrupted."""
    return {name: (out / name).read_bytes() for name in ("weights.safetensors", "words.txt")}


def at_block(n: int, action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something just before the training on block number `n` (from 0)."""
    train_block = Word2VecRun._train_block

    def wrapped(self: Any, number: int) -> Any:
        if number == n:
            action()
            if action is interrupt:
                self._halt.wait()  # until the signal has been handled
        return train_block(self, number)

    monkeypatch.setattr(Word2VecRun, "_train_block", wrapped)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_run_writes_a_package(text: Path, tmp_path: Path) -> None:
    progress, listener = train(small_config(text, engine="gensim", epochs=4), tmp_path / "v")
    assert progress.finished and progress.tokens == 4 * 6000 and progress.engine == "gensim"
    package = Package.open(tmp_path / "v", "vectors")
    assert (
        package.arch == "word2vec" and package.config["engine"] == "gensim" and package.config["epochs"] == 4
    )
    assert package.data["words"] == 6000 and package.data["files"] == "text"
    words = (tmp_path / "v" / "words.txt").read_text().split("\n")[:-1]
    found = tensors(tmp_path / "v")
    assert found["vectors"].shape == (len(words), 16) and found["vectors"].dtype == np.float32
    assert words[:2] == ["the", "of"] and found["counts"][:2].tolist() == [600, 600]
    assert same_topic_share(words, found["vectors"]) > 0.9
    assert not (tmp_path / "v" / "run" / "corpus").exists(), "a finished run no longer needs its text"
    log = [json.loads(line) for line in (tmp_path / "v" / "run" / "metrics.jsonl").read_text().splitlines()]
    assert log == listener.records and log[-1]["share"] == 1
    assert [record["step"] for record in log] == sorted({record["step"] for record in log})
    assert all(record["words_per_s"] > 0 and 0 < record["loss"] < 6 for record in log)
    assert "engine: gensim (as configured)" in listener.messages


@pytest.mark.parametrize("engine", ENGINES)
def test_one_thread_and_a_seed_give_the_same_bytes(engine: str, text: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(small_config(text, engine=engine, seed=seed), tmp_path / name)
    assert result(tmp_path / "a") == result(tmp_path / "b")
    assert (tensors(tmp_path / "a")["vectors"] != tensors(tmp_path / "c")["vectors"]).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_several_threads_learn_and_a_message_says_that_runs_differ(
    engine: str, text: Path, tmp_path: Path
) -> None:
    config = small_config(text, engine=engine, threads=3, epochs=4)
    progress, listener = train(config, tmp_path / "v")
    assert progress.finished and progress.tokens == 4 * 6000
    words = (tmp_path / "v" / "words.txt").read_text().split("\n")[:-1]
    assert same_topic_share(words, tensors(tmp_path / "v")["vectors"]) > 0.9
    assert any("3 threads" in message and "--threads 1" in message for message in listener.messages)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupted_run_has_the_same_result(
    engine: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(text, engine=engine)
    train(config, tmp_path / "whole")
    for n in (0, 6, 7, 20):  # among them the last of an epoch and the last of all
        out = tmp_path / f"v{n}"
        with monkeypatch.context() as patch:
            at_block(n, interrupt, patch)
            progress, _ = train(config, out)
        assert progress.step == n + 1
        package = Package.open(out)
        assert package.config["epochs"] == pytest.approx((n + 1) / 7, abs=0.01)
        if n < 20:
            assert tensors(out)["vectors"].shape == tensors(tmp_path / "whole")["vectors"].shape
            text.rename(tmp_path / "away")  # a resumed run does not read it
            progress, _ = train(config, out, resume=True)
            (tmp_path / "away").rename(text)
        assert progress.finished and result(out) == result(tmp_path / "whole")
        log = (out / "run" / "metrics.jsonl").read_text().splitlines()
        assert json.loads(log[-1])["step"] == 21


def test_a_crash_loses_only_what_was_not_saved(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies in block 10; the log has lines from after the checkpoint."""
    config, out = small_config(text, engine="gensim"), tmp_path / "v"
    train(config, tmp_path / "whole")

    def crash() -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        at_block(10, crash, patch)
        with pytest.raises(MemoryError):
            train(config, out)
    assert not (out / "model.json").exists()
    with (out / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99}\n')
    progress, _ = train(config, out, resume=True)
    assert progress.finished and result(out) == result(tmp_path / "whole")
    assert "99" not in [json.loads(line)["step"] for line in (out / "run" / "metrics.jsonl").open()]


def test_a_crash_before_the_package_is_written_loses_nothing(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = small_config(text, engine="gensim"), tmp_path / "v"
    train(config, tmp_path / "whole")

    def crash(*args: Any, **kwargs: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(training, "write_vectors", crash)
        train(config, out)
    assert not (out / "model.json").exists()
    assert train(config, out, resume=True)[0].finished and result(out) == result(tmp_path / "whole")
    (out / "run" / "corpus").mkdir()  # as if it had died while that was removed
    assert "this run is finished" in train(config, out, resume=True)[1].messages[-1]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_worker_ends_the_run(
    threads: int, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gensim's own training hangs in this case."""

    def fail(model: Any, sentences: Any, rate: float, *rest: Any) -> None:
        if rate:  # not in the forecast
            raise ZeroDivisionError("worker")

    monkeypatch.setattr("tx.word2vec.gensim_engine.train_batch_sg", fail)
    with pytest.raises(ZeroDivisionError, match="worker"):
        train(small_config(text, engine="gensim", threads=threads), tmp_path / "v")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_diverges_is_stopped(engine: str, text: Path, tmp_path: Path) -> None:
    with pytest.raises(TxError, match="training diverged: the loss is") as caught:
        train(small_config(text, engine=engine, lr=1e38), tmp_path / "v")
    assert "--lr" in (caught.value.hint or "")
    assert not (tmp_path / "v" / "model.json").exists()


def test_damage_to_the_checkpoint_is_reported(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = small_config(text, engine="gensim"), tmp_path / "v"
    with monkeypatch.context() as patch:
        at_block(3, interrupt, patch)
        train(config, out)
    for name in ("run/corpus/ids", "run/last/matrices.safetensors", "run/last/state.json"):
        content = (out / name).read_bytes()
        (out / name).write_bytes(content[:-3] + b"\0\0\0")
        with pytest.raises(TxError, match="is damaged"):
            train(config, out, resume=True)
        (out / name).write_bytes(content)


# -- the command -----------------------------------------------------------------------------------


def tx(*words: Path | str) -> int:
    """Run a command here; return its exit status."""
    sys.argv = ["tx", *map(str, words)]
    try:
        main()
    except SystemExit as exit:
        return int(exit.code or 0)
    return 0


FLAGS = ["--engine", "gensim", "--dim", "8", "--threads", "1", "--min-count", "2", "--epochs", "2"]


def test_the_command_trains_and_reports(
    text: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tx("train", "word2vec", text, "-o", "v", *FLAGS) == 0
    out, err = capfd.readouterr()
    assert out == "", "none of this is data"
    assert "text: 6,000 words; 74 different words occur 2 times or more" in err
    assert "words/s" in err and "trained on 12,000 words" in err and "tx neighbors WORD --model v" in err
    assert "finished (epochs) after 14 steps" in err
    assert tensors(tmp_path / "v")["vectors"].shape == (74, 8)
    assert tx("train", "word2vec", text, "-o", "v", *FLAGS) == 1
    assert "v exists already" in capfd.readouterr().err
    before = result(tmp_path / "v")
    assert tx("train", "word2vec", text, "-o", "v", *FLAGS, "--overwrite", "--seed", "2", "-q") == 0
    assert capfd.readouterr() == ("", "")
    assert result(tmp_path / "v") != before
    assert tx("train", "--resume", "-o", "v") == 0
    assert "this run is finished" in capfd.readouterr().err


def test_the_command_is_interrupted_and_resumes(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tx("train", "word2vec", text, "-o", "whole", *FLAGS)
    with monkeypatch.context() as patch:
        at_block(4, interrupt, patch)
        assert tx("train", "word2vec", text, "-o", "v", *FLAGS) == 130
    err = capfd.readouterr().err
    assert "v holds the current model" in err and "tx train --resume -o v" in err
    assert tx("train", "--resume", "-o", "v", "--dim", "9") == 1
    assert "word2vec.dim was 8 in this run and is 9 now" in capfd.readouterr().err
    assert tx("train", "--resume", "-o", "v", "--threads", "1") == 0
    assert result(tmp_path / "v") == result(tmp_path / "whole")


def test_a_faulty_text_changes_nothing(text: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad").write_bytes(b"b\xff\n")
    assert tx("train", "word2vec", "bad", "-o", "deep/v", *FLAGS) == 1
    assert "bad:1 is not UTF-8" in capfd.readouterr().err and not (tmp_path / "deep" / "v").exists()
    tx("train", "word2vec", text, "-o", "v", *FLAGS)
    files = {path: path.read_bytes() for path in (tmp_path / "v").rglob("*") if path.is_file()}
    assert tx("train", "word2vec", "bad", "-o", "v", *FLAGS, "--overwrite") == 1
    after = {path: path.read_bytes() for path in (tmp_path / "v").rglob("*") if path.is_file()}
    assert {path.name for path in files if files[path] != after.get(path)} <= {"lock", "process"} and len(
        after
    ) == len(files)


def test_a_configuration_file_does_the_same(text: Path, tmp_path: Path) -> None:
    tx("train", "word2vec", text, "-o", "flags", *FLAGS)
    (tmp_path / "run.toml").write_text(
        f'arch = "word2vec"\n[data]\ntrain = ["{text}"]\n[train]\nthreads = 1\n'
        '[word2vec]\nengine = "gensim"\ndim = 8\nmin_count = 2\nepochs = 2\n'
    )
    assert tx("train", "run.toml", "-o", "file") == 0
    assert result(tmp_path / "file") == result(tmp_path / "flags")


def test_a_dry_run_forecasts_and_writes_nothing(
    text: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tx("train", "word2vec", text, "--dry-run", *FLAGS) == 0
    out, err = capfd.readouterr()
    rows = {key: (value, origin) for key, value, origin in (line.split("\t") for line in out.splitlines())}
    assert rows["word2vec.dim"] == ("8", "flag --dim") and rows["train.lr"] == ("0.025", "recipe word2vec")
    assert "decode.beam_size" not in rows and "train.schedule" not in rows
    assert "1,184 parameters, 12,000 words in 2 epochs" in err and "forecast: 14 steps in" in err
    assert {path.name for path in tmp_path.iterdir()} == {"text"}


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["-o", "v"], 2, "there is no training data"),
        (["none", "-o", "v"], 1, "there is no file none"),
        (["text"], 2, "missing option -o NAME"),
        (["text", "-o", "v", "--batch-size", "3"], 2, "train.batch_size: does not apply to vectors"),
        (["text", "-o", "v", "--set", "decode.beam_size=3"], 2, "does not apply to vectors"),
        (["text", "-o", "v", "--set", "model.d_model=3"], 2, "does not apply to vectors"),
        (["text", "-o", "v", "--valid", "text"], 2, "does not apply to vectors"),
        (["text", "-o", "v", "--window", "0"], 2, "expected a whole number (>= 1), got 0"),
        (["text", "-o", "v", "--engine", "fats"], 2, "'fats' is not one of"),
        (
            ["text", "-o", "v", "--method", "cbow", "--engine", "torch"],
            2,
            "the engine torch supports only skip-gram",
        ),
        (["text", "-o", "v", "--min-count", "9999"], 1, "--min-count 1 uses every word"),
        (["text", "-o", "v", "--resume"], 1, "there is no run to resume in v"),
    ],
)
def test_a_command_that_cannot_work_says_why(
    words: list[str], status: int, said: str, text: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tx("train", "word2vec", *words) == status
    assert said in capfd.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"text"}
