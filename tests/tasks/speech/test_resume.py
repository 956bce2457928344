"""Runs that were stopped and resumed end as if they had not been stopped."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from finetuning import Clock, Recorder, configuration, train, weights_of
from tx.checksums import dump_checked
from tx.errors import TxError
from tx.package import Package
from tx.package.manifest import SPEECH
from tx.tasks.speech.pretrained import find_pretrained, load_model
from tx.tasks.speech.trainer import WhisperTrainer, load_progress
from tx.tasks.speech.validation import transcribe


def test_a_run_that_was_stopped_ends_in_the_same_weights(tiny: Path, speech: Path, tmp_path: Path) -> None:
    """Stopped in the middle of an epoch, between two validations."""
    config = configuration(tiny, speech, finetune_speed=0.1, finetune_noise=0.5, train_eval_every=6)
    train(config, tmp_path / "whole", listener=Recorder())

    class Interrupting(Recorder):
        def train(self, record: dict[str, Any]) -> None:
            os.kill(os.getpid(), 2)  # as Ctrl-C does

    stopped = train(config, tmp_path / "parts", listener=Interrupting())
    assert stopped.step == 2 and not stopped.finished
    resumed = train(config, tmp_path / "parts", resume=True, listener=Recorder())
    assert resumed.step == 6 and resumed.finished == "max_steps"
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    for name, weight in whole.items():
        assert torch.equal(parts[name], weight), name
    logs = [(tmp_path / name / "run/metrics.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    steps = [[json.loads(line)["step"] for line in log] for log in logs]
    assert steps[0] == steps[1] == [0, 2, 4, 6, 6]
    with pytest.raises(TxError, match=r"train\.lr"):
        train(configuration(tiny, speech, train_lr=0.5), tmp_path / "parts", True, Recorder())


@pytest.mark.parametrize("lora", [0, 2])
def test_an_interrupted_last_validation_is_repeated(
    lora: int, tiny: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a run has only to score the model and to publish it; a higher limit continues it."""
    out, listener, calls = tmp_path / "mine", Recorder(), []

    def stopped_at_second(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            os.kill(os.getpid(), 2)  # as Ctrl-C does
        return transcribe(*args)

    config = configuration(tiny, speech, train_max_steps=2, train_eval_every=2, finetune_lora=lora)
    config.finetune.spec_augment, config.finetune.speed, config.finetune.noise = False, 0.05, 0.1
    monkeypatch.setattr("tx.tasks.speech.session.transcribe", stopped_at_second)
    stopped = train(config, out, listener=listener)
    assert stopped.step == 2 and not stopped.finished and not (out / "model.json").exists()
    assert train(config, out, resume=True, listener=listener).finished == "max_steps"
    package = Package.open(out, SPEECH)
    assert package.scores[0]["data"] == "validation, step 2"
    n = sum(p.numel() for p in load_model(find_pretrained(str(tiny))).parameters())
    expected = {"parameters": n, "lora": lora, "precision": "float32", "speed": 0.05, "noise": 0.1}
    expected |= {"spec_augment": False, "previous_text": 0.0}
    assert expected.items() <= package.config.items()
    train(config, out, resume=True, listener=listener)
    assert "this run is finished" in listener.messages[-1]
    config.train.max_steps = 4
    assert train(config, out, resume=True, listener=listener).step == 4
    log = [json.loads(line) for line in (out / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [0, 2, 2, 4, 4]


def test_checkpoints_are_saved_every_ten_minutes(
    tiny: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With steps of 400 s and no validation before the end, that is after every second step."""
    clock, saved = Clock(), []

    class Watching(Recorder):
        def train(self, record: dict[str, Any]) -> None:
            last = tmp_path / "mine/run/last"
            saved.append(load_progress(last).step if last.is_dir() else 0)

    monkeypatch.setattr(WhisperTrainer, "training_step", clock.slow_down(WhisperTrainer.training_step, 400))
    config = configuration(tiny, speech, train_log_every=1, train_eval_every=6)
    train(config, tmp_path / "mine", listener=Watching(), clock=clock)
    assert saved == [0, 0, 2, 2, 4, 4]
    assert {path.name for path in (tmp_path / "mine/run").iterdir()} >= {
        "last",
        "config.toml",
        "metrics.jsonl",
    }
    assert not (tmp_path / "mine/run/unfinished").exists()


def test_checkpoints_of_earlier_versions_are_read(tmp_path: Path) -> None:
    values = {"step": 7, "first": {"valid_wer": 50.0}, "best_wer": 0.25, "evaluated": 6, "data": "digest"}
    (tmp_path / "progress.json").write_text(dump_checked(values))
    progress = load_progress(tmp_path)
    assert (progress.step, progress.best_score, progress.untouched) == (7, -25.0, {"valid_wer": 50.0})
    (tmp_path / "progress.json").write_text(dump_checked(values | {"unknown": 1}))
    with pytest.raises(TxError, match="damaged"):
        load_progress(tmp_path)
