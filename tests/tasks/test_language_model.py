"""`tx train` for language models: what a run says, keeps and measures, and that it resumes in the same bytes."""

import json
import math
import os
import signal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from training import at_step, differences, fork_tx, save_always, send, shared
from tx.data.stream import StreamBatch
from tx.demo.corpus import generate
from tx.models import load_model
from tx.package import Package
from tx.text.incremental import decode_text, encode_text
from tx.text.load_tokenizer import open_tokenizer

TINY = {
    "train.batch_size": 4,
    "train.seq_len": 8,
    "train.max_steps": 12,
    "train.eval_every": 4,
    "train.log_every": 3,
    "train.average": 2,
    "train.threads": 1,
    "train.warmup_steps": 2,
}
SHAPES: dict[str, dict[str, Any]] = {
    "rnn-lm": {"model.d_model": 9, "model.dropout": 0.2},
    "nplm": {"model.d_model": 9, "model.d_embedding": 3, "data.tokenizer_kind": "alphabet"},
    "transformer-lm": {"model.d_model": 8, "model.d_ff": 8, "model.n_heads": 2, "model.n_layers": 1},
}


@cache
def text() -> Path:
    path = shared() / "language.txt"
    path.write_text("".join(f"{pair.english}\n\n" for pair in generate(30, seed=5)), encoding="utf-8")
    return path


def arguments(arch: str, out: Path, *extra: str, **changes: Any) -> list[str]:
    settings = TINY | SHAPES[arch] | {key.replace("__", "."): value for key, value in changes.items()}
    words = ["train", arch, str(text()), "-o", str(out)]
    return [*words, *(f"--set={key}={value}" for key, value in settings.items()), *extra]


@cache
def straight(arch: str) -> tuple[Path, str]:
    """A run that nothing interrupts, and what it said."""
    out = shared() / f"straight-{arch}"
    done = fork_tx(arguments(arch, out))
    assert done.status == 0, done.err
    return out, done.err


def log_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]


every_arch = pytest.mark.parametrize("arch", SHAPES)


# -- resumption --------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 4, 7])
@every_arch
def test_a_resumed_run_ends_in_the_same_bytes(arch: str, step: int, tmp_path: Path) -> None:
    out = tmp_path / "m"
    stopped = fork_tx(arguments(arch, out), at_step(step, send(signal.SIGINT)))
    assert stopped.status == 130 and f"stopped at step {step}" in stopped.err
    resumed = fork_tx(["train", "--resume", "-o", str(out)])
    assert resumed.status == 0, resumed.err
    assert differences(straight(arch)[0], out) == []


def test_what_is_carried_survives_the_end_of_an_epoch_and_kill_9(tmp_path: Path) -> None:
    """An epoch of this run has a few steps, so some stops fall on its end, where nothing is carried on."""
    changes = {"train__batch_size": 12, "train__seq_len": 20, "train__max_steps": 9}
    assert fork_tx(arguments("rnn-lm", tmp_path / "whole", **changes)).status == 0
    epochs = [round(record["epochs"], 3) for record in log_of(tmp_path / "whole") if "epochs" in record]
    assert epochs[-1] > 1.5
    out, before = tmp_path / "m", lambda: None
    for step in range(1, 9):

        def kill(step: int = step) -> None:
            save_always()
            at_step(step, send(signal.SIGKILL))()

        words = arguments("rnn-lm", out, *["--resume"] * (out / "run" / "config.toml").exists(), **changes)
        assert fork_tx(words, kill).status == -9
    assert fork_tx(["train", "--resume", "-o", str(out)], before).status == 0
    assert differences(tmp_path / "whole", out) == []


def test_the_carried_state_matters(tmp_path: Path) -> None:
    """Else the tests above would not see it being lost."""

    def forget() -> None:
        from tx.training.loop import Trainer

        resume = Trainer.resume

        def resume_without_state(self: Trainer) -> None:
            resume(self)
            self.state = ()

        Trainer.resume = resume_without_state  # type: ignore[method-assign]

    out = tmp_path / "m"
    assert fork_tx(arguments("rnn-lm", out), at_step(7, send(signal.SIGINT))).status == 130
    assert fork_tx(["train", "--resume", "-o", str(out)], forget).status == 0
    assert "weights.safetensors" in differences(straight("rnn-lm")[0], out)


def test_a_changed_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(text().read_bytes())
    words = arguments("rnn-lm", tmp_path / "m")
    words[2] = str(path)
    assert fork_tx(words, at_step(2, send(signal.SIGINT))).status == 130
    path.write_bytes(text().read_bytes() + b"more\n")
    refused = fork_tx(["train", "--resume", "-o", str(tmp_path / "m")])
    assert refused.status == 1 and f"{path} has changed since the run began" in refused.err


# -- what a run says and keeps -------------------------------------------------------------------------


@every_arch
def test_a_run_says_what_it_does(arch: str) -> None:
    out, said = straight(arch)
    n = len(text().read_text())
    assert f"{int(0.9 * n):,} tokens to train on; {n - int(0.9 * n):,} held out" in said
    assert "forecast: 12 steps in" in said and "validation every 4 steps" in said
    assert "bits/char" in said and "ppl" in said and "BLEU" not in said
    assert "finished (max_steps) after 12 steps: best loss" in said and f"try: tx generate -m {out}" in said


@every_arch
def test_the_log_has_the_measures_and_a_sample(arch: str) -> None:
    records = [record for record in log_of(straight(arch)[0]) if "valid_loss" in record]
    assert [record["step"] for record in records] == [4, 8, 12, 12]  # the last is of the averaged weights
    for record in records:
        assert record["valid_ppl"] == pytest.approx(math.exp(record["valid_loss"]))
        assert record["valid_bpc"] == pytest.approx(record["valid_loss"] / math.log(2))
        (sample,) = record["samples"]
        assert len(sample["sample"]) == 200 and set(sample["sample"]) <= {*text().read_text()}
    assert all("src_tokens_per_s" not in record for record in log_of(straight(arch)[0]))


@every_arch
def test_the_package_holds_the_best_model(arch: str) -> None:
    package = Package.open(straight(arch)[0])
    assert (package.task, package.arch) == ("language-model", arch.replace("-", "_"))
    assert [score["metric"] for score in package.scores] == ["loss", "bits per character", "perplexity"]
    assert package.decode == {} and package.data["held_out"] > 0
    assert package.data["files"][0]["name"] == "language.txt"
    best = min(record["valid_loss"] for record in log_of(package.path) if "valid_loss" in record)
    assert package.scores[0]["value"] == round(best, 4)
    assert ("max_len" in package.config) == (arch == "transformer-lm")
    assert package.config.get("max_len", 8) == 8, "the context is train.seq_len"


@torch.inference_mode()
def loss_of(package: Package, ids: list[int], seq_len: int) -> float:
    """Nats of all of `ids` after the first, read with all the model can remember, by torch's own loss."""
    model: Any = load_model(package, torch.device("cpu"))
    total = torch.zeros(())
    tensor = torch.tensor([ids])
    step = seq_len if package.arch == "transformer_lm" else len(ids)
    for at in range(0, len(ids) - 1, step):
        x, y = tensor[:, at : at + step][:, : len(ids) - 1 - at], tensor[:, at + 1 : at + 1 + step]
        total += F.cross_entropy(model(StreamBatch(x, y))[0][0], y[0], reduction="sum")
    return float(total)


@pytest.mark.parametrize("kind", ["alphabet", "bpe"])
@every_arch
def test_the_validation_is_the_loss_of_the_text(arch: str, kind: str, tmp_path: Path) -> None:
    """One stream only, so that nothing begins in the middle: a text as short as four times seq_len."""
    valid = tmp_path / "valid.txt"
    valid.write_text("She eats a cake.\n\nThey see the old house .\n")
    changes: dict[str, Any] = {"data__tokenizer_kind": kind, "data__vocab_size": 300, "train__average": 1}
    done = fork_tx(arguments(arch, tmp_path / "m", "--valid", str(valid), **changes))
    assert done.status == 0, done.err
    package = Package.open(tmp_path / "m")
    tokenizer = open_tokenizer(package)
    ids = encode_text(valid.read_text(), tokenizer)
    loss = loss_of(package, ids, 8)
    values = {score["metric"]: score["value"] for score in package.scores}
    assert values["loss"] == pytest.approx(loss / (len(ids) - 1), rel=1e-3)
    characters = len(decode_text(ids[1:], tokenizer))
    assert values["bits per character"] == pytest.approx(loss / characters / math.log(2), rel=1e-3)
    assert package.data["held_out"] == 0


def test_validation_tokens_are_limited(tmp_path: Path) -> None:
    few = fork_tx(arguments("nplm", tmp_path / "few", train__eval_tokens=40, data__valid_fraction=0.5))
    assert few.status == 0 and f"{len(text().read_text()) // 2:,} held out" in few.err
    all_of_it = fork_tx(arguments("nplm", tmp_path / "all", data__valid_fraction=0.5))
    losses = [log_of(tmp_path / name)[1]["valid_loss"] for name in ("few", "all")]
    assert all_of_it.status == 0 and losses[0] != losses[1]


@pytest.mark.parametrize("content", ["an endless line " * 100, "größer\t日本語 Ω\u2028 " * 60])
def test_any_text_will_do(content: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text(content, encoding="utf-8")
    words = arguments("rnn-lm", tmp_path / "m")
    words[2] = str(path)
    done = fork_tx(words)
    assert done.status == 0, done.err
    tokenizer = open_tokenizer(Package.open(tmp_path / "m"))
    assert decode_text(encode_text(content, tokenizer), tokenizer) == content


# -- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["rnn-lm"], 2, "there is no training data"),
        (["char-rnn", "nowhere.txt"], 1, "there is no file nowhere.txt"),
        (
            ["char-rnn", "TEXT", "--batch-tokens", "9"],
            2,
            "batch_tokens: does not apply to language-model",
        ),
        (["char-rnn", "TEXT", "--set", "decode.beam_size=2"], 2, "beam_size: does not apply to"),
        (["char-rnn", "TEXT", "--set", "model.n_heads=2"], 2, "model.n_heads: no such key"),
        (["transformer-lm", "TEXT", "--set", "model.max_len=9"], 2, "model.max_len: is derived"),
        (
            ["char-rnn", "TEXT", "--batch-size", "900"],
            1,
            "tokens of training text are too few for a batch of 900",
        ),
        (["char-rnn", "TEXT", "--set", "data.valid_fraction=0.0"], 1, "there is no text to validate on"),
        (
            ["gpt-cpu", "TEXT", "--set", "model.n_heads=3"],
            1,
            "a d_model of 128 is not a multiple of n_heads, 3",
        ),
    ],
)
def test_what_cannot_work_is_told_in_a_sentence(
    words: list[str], status: int, message: str, tmp_path: Path
) -> None:
    words = [str(text()) if word == "TEXT" else word for word in words]
    done = fork_tx(["train", *words, "-o", str(tmp_path / "m")])
    assert done.status == status and message in done.err, done.err
    assert done.err.count("tx: error") == 1 and "Traceback" not in done.err
    assert not (tmp_path / "m").exists()


def test_a_translators_key_in_the_environment_is_passed_over(tmp_path: Path) -> None:
    def before() -> None:
        os.environ["TX_TRAIN_BATCH_TOKENS"] = "1000"

    assert fork_tx(arguments("nplm", tmp_path / "m"), before).status == 0


@pytest.mark.parametrize("recipe", ["char-rnn", "char-lstm-big", "nplm", "gpt-cpu", "gpt"])
def test_every_recipe_fits_its_task(recipe: str, tmp_path: Path) -> None:
    done = fork_tx(["train", recipe, str(text()), "--dry-run", "--batch-size", "1", "--seq-len", "9"])
    assert done.status == 0 and "forecast:" in done.err, done.err
    assert "train.batch_size\t1\tflag --batch-size" in done.out and "beam_size" not in done.out
