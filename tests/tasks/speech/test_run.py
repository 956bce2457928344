"""Runs of fine-tuning: their plan and forecast, an update, early stopping, and the command."""

import ast
import inspect
import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Seq2SeqTrainingArguments

from finetuning import Clock, Recorder, configuration, train, weights_of, write_set
from training import Done, fork_tx
from tx.errors import TxError, UsageError
from tx.package import Package
from tx.package.manifest import SPEECH
from tx.tasks.speech import trainer
from tx.tasks.speech.config import Config
from tx.tasks.speech.dataset import EpochSampler
from tx.tasks.speech.encoder import FittedWindowEncoder
from tx.tasks.speech.model import token_loss
from tx.tasks.speech.pretrained import find_pretrained, load_model
from tx.tasks.speech.run import plan, prepare
from tx.tasks.speech.session import open_session
from tx.tasks.speech.trainer import TrainingArguments, WhisperTrainer
from tx.tasks.speech.validation import transcribe
from whisper import write_tiny_whisper


def test_plans() -> None:
    config = Config()
    ten_epochs = plan(config, 80)  # of ten batches of eight
    assert (ten_epochs.limits.max_steps, ten_epochs.steps_per_epoch) == (100, 10)
    config.train.max_steps, config.train.max_epochs, config.train.grad_accum = 40, 9, 3
    nine_epochs = plan(config, 80)
    assert (nine_epochs.limits.max_steps, nine_epochs.steps_per_epoch, nine_epochs.eval_every) == (36, 4, 5)
    config.train.max_steps = config.train.max_epochs = 0
    config.train.max_time = "10m"
    ten_minutes = plan(config, 80)
    assert ten_minutes.limits.max_seconds == 600 and ten_minutes.eval_every == 4


def test_a_run_ends_in_a_package_that_every_tool_opens(tiny: Path, speech: Path, tmp_path: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    listener, out, more = Recorder(), tmp_path / "mine", write_set(tmp_path / "beeps", n=6)
    config = configuration(tiny, speech, finetune_also_valid=[str(more)], train_lr=1e-2)
    progress = train(config, out, listener=listener)
    held_out = [line for line in listener.messages if "held out" in line]
    assert (out / "run/valid.jsonl").exists() == bool(held_out)
    assert progress.finished == "max_steps" and progress.step == 6
    package = Package.open(out, SPEECH)
    assert package.decode == {"language": "de", "task": "transcribe"} and package.arch == "whisper"
    WhisperForConditionalGeneration.from_pretrained(out)
    load_model(find_pretrained(str(out)))  # training can start from a package, too
    log = [json.loads(line) for line in (out / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [0, 2, 3, 4, 6, 6]
    assert all("valid_wer" in row and "also_beeps_cer" in row for row in log if row["step"] in (0, 3))
    losses = [row["loss"] for row in log if "loss" in row]
    assert losses[-1] < losses[0] < 1.1 * np.log(1769) * 1.5
    assert {score["metric"] for score in package.scores} == {"wer", "cer"}
    data = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(TxError, match="SHA-256"):
        Package.open(out, SPEECH)


def test_validation_is_not_part_of_the_seconds_per_step(
    tiny: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validations of 100 s each are part of the seconds of the run, and not of those of its steps."""
    listener, clock = Recorder(), Clock()
    monkeypatch.setattr("tx.tasks.speech.session.transcribe", clock.slow_down(transcribe, 100))
    monkeypatch.setattr(WhisperTrainer, "training_step", clock.slow_down(WhisperTrainer.training_step, 2))
    config = configuration(tiny, speech, train_max_steps=8, train_log_every=3, train_eval_every=2)
    train(config, tmp_path / "mine", listener=listener, clock=clock)
    assert [row["s_per_step"] for row in listener.trained] == [2, 2, 2]
    assert [row["seconds"] for row in listener.trained] == [3 * 2 + 100, 6 * 2 + 200, 8 * 2 + 300]
    assert [record["seconds"] for record, _ in listener.validations] == [0, 104, 208, 312, 416]


def test_two_small_batches_make_the_update_of_one_large(tiny: Path, speech: Path, tmp_path: Path) -> None:
    """Their loss is divided once, by all their tokens, although the texts differ in length."""
    one = configuration(tiny, speech, train_batch_size=4, train_max_steps=1, finetune_audio_window=3.0)
    two = configuration(tiny, speech, train_grad_accum=2, train_max_steps=1, finetune_audio_window=3.0)
    for name, config in (("one", one), ("two", two)):
        config.train.schedule, config.train.warmup_steps = "constant", 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(EpochSampler, "__iter__", lambda self: iter(range(len(self))))
            train(config, tmp_path / name, listener=Recorder())
    first, second, start = (weights_of(folder) for folder in (tmp_path / "one", tmp_path / "two", tiny))
    moved = {name: (weight - start[name]).abs().max() for name, weight in first.items()}
    assert max(moved.values()) > 5e-4
    name = "model.decoder.layers.0.fc1.weight"  # Adam's first step is the sign of the gradient, so few may differ
    assert ((first[name] - second[name]).abs() > 1e-5).float().mean() < 0.01


def test_patience_and_a_warning_where_it_gets_worse(
    tiny: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Recorder()
    config = configuration(tiny, speech, train_lr=0.0, train_eval_every=1, train_patience=2)
    config.train.lr = 1e-12
    texts = iter(["beep hoho 5", "beep", "beep x", "y", "z"])
    monkeypatch.setattr(
        "tx.tasks.speech.session.transcribe", lambda *args: ([next(texts)] * len(args[2]), {})
    )
    monkeypatch.setattr("tx.tasks.speech.run.transcribe", lambda *args: ([], {}))
    progress = train(config, tmp_path / "worse", listener=listener)
    assert progress.finished == "patience" and progress.best_step == 1 and progress.step == 3
    assert [best for _, best in listener.validations] == [False, True, False, False]
    assert Package.open(tmp_path / "worse", SPEECH).scores[0]["data"] == "validation, step 1"
    assert listener.warnings and "worse than the untouched model" in listener.warnings[0]
    assert train(config, tmp_path / "worse", resume=True, listener=listener).step == 3
    assert "this run is finished" in listener.messages[-1]


def test_the_forecast_counts_steps_and_validations(
    tiny: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three seconds a batch, and one second for each of the two items of a validation."""
    clock = Clock()
    monkeypatch.setattr("tx.tasks.speech.run.token_loss", clock.slow_down(token_loss, 3))
    monkeypatch.setattr(
        "tx.tasks.speech.run.transcribe", clock.slow_down(transcribe, lambda *args: len(args[2]))
    )
    config = configuration(tiny, speech, data_valid=[str(write_set(tmp_path / "other", 2))])
    found = prepare(config, tmp_path / "mine", False, Recorder(), clock=clock).forecast
    assert found and (found.seconds_per_step, found.seconds_per_validation) == (3, 2)
    assert (found.steps, found.steps_per_epoch, found.eval_every) == (6, 4, 3)
    assert found.seconds == pytest.approx(6 * 3 + 2 * 2) and found.memory > 8 * 300_000
    config.train.max_steps, config.train.max_time, config.train.grad_accum = 0, "60s", 2
    found = prepare(config, tmp_path / "mine", False, Recorder(), clock=clock).forecast
    assert found and found.seconds_per_step == 6 and found.steps == int(60 / (6 + 2 / 3))


def test_a_batch_that_does_not_fit_into_memory_is_found_before_training(
    tiny: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*args: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("tx.tasks.speech.run.token_loss", out_of_memory)
    with pytest.raises(TxError, match="a batch of 2 items does not fit into memory"):
        prepare(configuration(tiny, speech), tmp_path / "mine", False, Recorder())


def test_a_process_uses_one_gpu_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers would use all of them by threads."""
    monkeypatch.setattr(Seq2SeqTrainingArguments, "n_gpu", 4)
    args = TrainingArguments(output_dir=str(tmp_path), per_device_train_batch_size=8, use_cpu=True)
    assert args.n_gpu == 1 and args.train_batch_size == 8


def test_a_dry_run_prints_the_forecast(tiny: Path, speech: Path) -> None:
    words = ["train", "whisper", str(speech), "--init-from", str(tiny), "--language", "de", "--dry-run"]
    done = fork_tx(words)
    assert done.status == 0 and "forecast: 10 steps in" in done.err, done.err


def test_the_command_reports_on_stderr(tiny: Path, speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    words = [
        "train",
        "whisper",
        str(speech),
        "--init-from",
        str(tiny),
        "--language",
        "German",
        "-o",
        str(out),
    ]
    done = fork_tx([*words, "--max-steps", "1", "--batch-size", "2", "--precision", "float32"])
    assert done.status == 0 and done.out == "", done.err
    assert "before training" in done.err and "step 1  epoch 0.25  loss" in done.err
    assert f"try: tx transcribe -m {out}" in done.err and "Warning" not in done.err
    again = fork_tx(words)
    assert again.status == 1 and "exists already" in again.err
    resumed = fork_tx(["train", "--resume", "-o", str(out)])
    assert resumed.status == 0 and "this run is finished" in resumed.err


def test_an_english_only_model_and_a_time_limit(speech: Path, tmp_path: Path) -> None:
    english = write_tiny_whisper(tmp_path / "english", multilingual=False, max_length=12)
    config = configuration(english, speech, finetune_language="", train_max_steps=0, train_max_time="0.001s")
    progress = train(config, tmp_path / "mine", listener=Recorder())
    assert progress.finished == "max_time" and progress.step == 1
    written = json.loads((tmp_path / "mine/generation_config.json").read_text())
    assert not written.get("language") and not written.get("task")
    with pytest.raises(UsageError, match="cannot translate"):
        open_session(
            configuration(english, speech, finetune_language="", finetune_task="translate"), Recorder()
        )


def test_two_processes_make_the_update_of_one(tiny: Path, tmp_path: Path) -> None:
    """With the environment that torchrun sets: each has half of the items, and the first one alone writes."""
    data, valid = write_set(tmp_path / "set", 4), write_set(tmp_path / "valid", 3)
    words = ["train", "whisper", str(data), "--valid", str(valid), "--init-from", str(tiny)]
    words += ["--language", "de", "--max-steps", "1", "--lr", "1e-3", "--precision", "float32"]
    words += ["--set=train.schedule=constant", "--set=train.warmup_steps=0", "--set=finetune.audio_window=3"]
    words += ["--set=finetune.spec_augment=false", "--set=finetune.speed=0"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert fork_tx([*words, "--batch-size", "4", "-o", str(one)]).status == 0
    words += ["--batch-size", "2", "-o", str(two)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def environment(rank: int) -> Callable[[], None]:
        values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        values |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return lambda: os.environ.update({name: str(value) for name, value in values.items()})

    done: list[Done] = []
    first_process = fork_tx(
        words, environment(0), meanwhile=lambda child: done.append(fork_tx(words, environment(1)))
    )
    assert first_process.status == done[0].status == 0, first_process.err + done[0].err
    assert "finished (max_steps) after 1 step" in first_process.err and done[0].err == ""
    first, second, start = (weights_of(folder) for folder in (one, two, tiny))
    assert max(float((weight - start[name]).abs().max()) for name, weight in first.items()) > 5e-4
    name = "model.decoder.layers.0.fc1.weight"  # Adam's first step is the sign of the gradient
    assert ((first[name] - second[name]).abs() > 1e-5).float().mean() < 0.01
    logs = [[json.loads(line) for line in (out / "run/metrics.jsonl").open()] for out in (one, two)]
    assert [[row["step"] for row in log] for log in logs] == [[0, 1, 1]] * 2
    assert logs[0][0]["valid_cer"] == logs[1][0]["valid_cer"]
    assert logs[0][1]["loss"] == pytest.approx(logs[1][1]["loss"], rel=1e-4)


def test_transformers_is_used_by_its_public_names() -> None:
    """No private attribute of another object is read or set, and none of a base class is overridden."""
    modules = list(Path(str(trainer.__file__)).parent.glob("*.py"))
    assert len(modules) > 8
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and re.match("_(?!_)|__class__", node.attr):
                assert ast.unparse(node.value) == "self", f"{module.name}:{node.lineno}"
    for kind in (WhisperTrainer, TrainingArguments, FittedWindowEncoder):
        assert "self._" not in inspect.getsource(kind)
        assert not [name for name in vars(kind) if re.match("_(?!_)", name)]
