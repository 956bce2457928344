"""The training loop and its parts, on a model small enough to check by hand: a unigram language model."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tx.checksums import dump_checked, load_checked
from tx.config.duration import format_duration
from tx.config.schema import LoopTrainConfig
from tx.data.batch import Batch, make_batch
from tx.data.sampler import Position
from tx.data.stream import StreamBatch
from tx.errors import TxError
from tx.models.transformer import Config, Transformer
from tx.training.averaging import Snapshots, mean_of
from tx.training.checkpoint import load_checkpoint, save_checkpoint
from tx.training.forecast import forecast
from tx.training.limits import Limits
from tx.training.loop import Evaluation, Trainer
from tx.training.meters import MAX_BAD_STEPS
from tx.training.optim import Optimizer
from tx.training.run import Forecast
from tx.training.run_folder import claim
from tx.training.signals import StopSignal

torch.set_num_threads(1)
CPU = torch.device("cpu")
V = 12


class Unigram(nn.Module):
    """A distribution over V tokens that looks at nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(V))
        self.factor: Callable[[], float] = lambda: 1.0  # of the loss, to spoil it

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, int]:
        scores = self.logits.expand(batch.n_tokens, V)
        loss = F.cross_entropy(scores, batch.tgt_out, reduction="sum", label_smoothing=label_smoothing)
        return loss * self.factor(), batch.n_tokens


class Cycle:
    """A sampler that hands out the same batches in every epoch."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches, self.position = batches, Position()

    def next(self) -> Batch:
        batch = self.batches[self.position.batch]
        self.position.batch += 1
        if self.position.batch == len(self.batches):
            self.position = Position(self.position.epoch + 1)
        return batch

    def epochs(self) -> float:
        return self.position.epoch + self.position.batch / len(self.batches)


class Listener:
    """Keeps what the loop says."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def train(self, record: dict[str, Any]) -> None:
        self.records.append(record)

    def validated(self, record: dict[str, Any], samples: list[dict[str, str]], best: bool) -> None:
        self.records.append(record | {"best": best})

    def info(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass


def rows(n: int, seed: int, low: int = 1, high: int = 9) -> list[list[int]]:
    """Random ids; never 0, which is `</s>`, nor V - 1, which is `<pad>`."""
    rng = np.random.default_rng(seed)
    return [rng.integers(1, V - 1, size=rng.integers(low, high)).tolist() for _ in range(n)]


def batch_of(src: Sequence[list[int]], tgt: Sequence[list[int]]) -> Batch:
    return make_batch(src, tgt, V - 1, V - 1)


BATCHES = [batch_of(rows(n, n), rows(n, n + 50)) for n in (2, 7, 4)]


class Bench:
    """A trainer with its surroundings: scores to be had from validation, and what was published."""

    def __init__(
        self, folder: Path, scores: Sequence[float] = (), batches: Sequence[Batch] = BATCHES, **options: Any
    ) -> None:
        defaults = {
            "max_steps": 12,
            "log_every": 2,
            "warmup_steps": 1,
            "device": "cpu",
            "precision": "float32",
            "label_smoothing": 0.0,
        }
        self.model, self.listener = Unigram(), Listener()
        self.scores = iter(scores)
        self.evaluated: list[Tensor] = []
        self.published: list[tuple[float, int, Tensor]] = []
        self.unmeasured: dict[int, Tensor] = {}
        config = LoopTrainConfig(**defaults | options)
        self.trainer = Trainer(
            self.model,
            Cycle(batches),  # type: ignore[arg-type]
            config,
            seed=1,
            folder=folder,
            evaluate=self.evaluate,
            publish=self.publish,
            listener=self.listener,
        )

    def evaluate(self) -> Evaluation:
        self.evaluated.append(self.model.logits.detach().clone())
        return Evaluation(next(self.scores, 0.0), {"valid_loss": 1.0})

    def publish(self, evaluation: Evaluation | None, step: int) -> None:
        if evaluation is None:
            self.unmeasured[step] = self.model.logits.detach().clone()
        else:
            self.published.append((evaluation.score, step, self.model.logits.detach().clone()))

    def trace(self) -> list[Tensor]:
        """The weights after each update, as far as the run has gone."""
        weights: list[Tensor] = []
        update = self.trainer._update

        def traced(batches: list[Batch]) -> tuple[Tensor, Tensor]:
            done = update(batches)
            weights.append(self.model.logits.detach().clone())
            return done

        self.trainer._update = traced  # type: ignore[method-assign]
        return weights


# -- gradients and losses ---------------------------------------------------------------------------


def transformer() -> Transformer:
    torch.manual_seed(3)
    sizes = {"src_vocab_size": V, "tgt_vocab_size": V, "d_model": 16, "d_ff": 24, "n_heads": 2}
    return Transformer(Config(**sizes, n_encoder_layers=2, n_decoder_layers=2, dropout=0.0))  # type: ignore[arg-type]


def gradient(folder: Path, model: nn.Module, batches: list[Batch]) -> Tensor:
    bench = Bench(folder, label_smoothing=0.1)
    bench.trainer.model = model
    model.zero_grad()
    bench.trainer.gradients(batches)
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_a_stateful_model_gets_the_state_of_the_batch_before_but_at_the_start_of_the_streams(
    tmp_path: Path,
) -> None:
    received: list[list[float]] = []

    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def loss(self, batch: StreamBatch, smoothing: float, state: tuple[Tensor, ...]) -> Any:
            received.append([float(tensor) for tensor in state])
            return self.weight.sum(), batch.n_tokens, (torch.tensor(float(len(received))),)

    trainer = Bench(tmp_path).trainer
    trainer.model, trainer.stateful = Stateful(), True
    ids = torch.zeros(1, 2, dtype=torch.long)
    batches = [StreamBatch(ids, ids, fresh) for fresh in (True, False, False, True, False)]
    *_, state = trainer.gradients(batches)
    assert received == [[], [1], [2], [], [4]] and [float(tensor) for tensor in state] == [5]


def test_accumulated_gradients_are_those_of_one_big_batch(tmp_path: Path) -> None:
    parts = [(rows(n, n, 1, high), rows(n, n + 9, 1, high)) for n, high in ((3, 4), (5, 9), (1, 20))]
    small = [batch_of(src, tgt) for src, tgt in parts]
    big = batch_of([row for src, _ in parts for row in src], [row for _, tgt in parts for row in tgt])
    model = transformer()
    whole = gradient(tmp_path, model, [big])
    summed = gradient(tmp_path, model, small)
    assert (summed - whole).norm() < 1e-6 * whole.norm()
    mean_of_means = sum(gradient(tmp_path, model, [batch]) for batch in small) / 3
    assert (mean_of_means - whole).norm() > 1e-3 * whole.norm(), "the test would not see a mean of means"


def test_accumulation_over_a_run_ends_in_the_weights_of_big_batches(tmp_path: Path) -> None:
    parts = [(rows(n, n), rows(n, n + 50)) for n in (2, 7, 4)]
    big = batch_of([r for src, _ in parts for r in src], [r for _, tgt in parts for r in tgt])
    one = Bench(tmp_path / "one", batches=[big], grad_accum=1)
    three = Bench(tmp_path / "three", grad_accum=3)
    one.trainer.run(100)
    three.trainer.run(100)
    assert torch.allclose(one.model.logits, three.model.logits, atol=1e-6)
    assert three.trainer.progress.position.epoch == 12


def test_the_log_has_the_mean_loss_of_a_target_token(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lr=0.0, max_steps=6)  # nothing is learned: every token costs log V
    bench.trainer.run(100)
    losses = [record["loss"] for record in bench.listener.records if "loss" in record]
    assert losses == pytest.approx([np.log(V)] * 3)


def test_the_model_learns_the_frequencies(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_steps=400, lr=0.05, schedule="constant", grad_accum=3, weight_decay=0.0)
    bench.trainer.run(1000)
    counts = sum(torch.bincount(batch.tgt_out, minlength=V) for batch in BATCHES).float()
    assert torch.allclose(bench.model.logits.softmax(0), counts / counts.sum(), atol=0.01)


# -- the optimizer ----------------------------------------------------------------------------------


def test_an_update_is_adamw_after_clipping() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    config = LoopTrainConfig(clip_norm=0.5, weight_decay=0.1, beta2=0.9)
    optimizer = Optimizer(model, config)
    before = {name: p.detach().double().numpy().copy() for name, p in model.named_parameters()}
    moments = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in before.items()}
    for step in range(1, 4):
        grads = {name: torch.randn_like(p) * 3 for name, p in model.named_parameters()}
        for name, p in model.named_parameters():
            p.grad = grads[name].clone()
        optimizer.step(0.01, step)
        norm = np.sqrt(sum(float((grad.double() ** 2).sum()) for grad in grads.values()))
        for name, weight in before.items():
            grad = grads[name].double().numpy() * min(1.0, 0.5 / (norm + 1e-6))
            first, second = moments[name]
            first, second = 0.9 * first + 0.1 * grad, 0.9 * second + 0.1 * grad**2
            moments[name] = first, second
            decay = 0.1 if weight.ndim > 1 else 0.0  # biases are left alone
            update = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.9**step)) + 1e-9)
            before[name] = weight * (1 - 0.01 * decay) - 0.01 * update
    for name, p in model.named_parameters():
        assert np.allclose(p.detach().numpy(), before[name], atol=1e-6)


@pytest.mark.parametrize("decay", [0.2, 0.999])
def test_the_moving_average_follows_its_recurrence(tmp_path: Path, decay: float) -> None:
    bench = Bench(tmp_path, ema=decay, max_steps=15, lr=0.1)
    weights = bench.trace()
    bench.trainer.run(100)
    average = np.zeros(V)
    assert not any(value.requires_grad for value in bench.trainer.optimizer.ema), "no graph grows behind it"
    for step, weight in enumerate(weights, start=1):
        d = min(decay, (1 + step) / (10 + step))
        average = d * average + (1 - d) * weight.double().numpy()
    assert np.allclose(bench.trainer.optimizer.averaged()["logits"].numpy(), average, atol=1e-6)
    assert not np.allclose(average, weights[-1].numpy(), atol=1e-3)


def test_without_a_moving_average_the_weights_themselves_are_evaluated(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ema=0.0, average=1, max_steps=4)
    weights = bench.trace()
    bench.trainer.run(2)
    assert [torch.equal(a, b) for a, b in zip(bench.evaluated, weights[1::2], strict=True)] == [True, True]


# -- averaging and publishing -----------------------------------------------------------------------


def test_the_mean_of_files_is_the_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 3, 5)).astype(np.float32)
    snapshots, kept = Snapshots(tmp_path, 3), dict[str, str]()
    for step, value in enumerate(values):
        snapshots.add(step, {"w": torch.from_numpy(value)}, kept)
    assert len(kept) == 3
    assert np.allclose(snapshots.mean(kept, CPU)["w"].numpy(), values[1:].mean(axis=0), atol=1e-6)
    assert len(list(tmp_path.iterdir())) == 4, "files stay until the state that forgets them is safe"
    snapshots.prune(kept)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(kept)
    assert torch.equal(mean_of([tmp_path / next(iter(kept))], CPU)["w"], torch.from_numpy(values[1]))


def test_a_snapshot_written_again_keeps_its_place(tmp_path: Path) -> None:
    snapshots, kept = Snapshots(tmp_path, 2), dict[str, str]()
    for step in (4, 8, 8, 12):
        snapshots.add(step, {"w": torch.full((2,), float(step))}, kept)
    assert snapshots.mean(kept, CPU)["w"].tolist() == [10.0, 10.0]


@pytest.mark.parametrize("mean_score", [9.0, 2.5])
def test_the_better_of_best_validation_and_average_is_published(tmp_path: Path, mean_score: float) -> None:
    bench = Bench(tmp_path, scores=[1.0, 3.0, 2.0, mean_score], max_steps=12, average=2, ema=0.5, lr=0.1)
    weights = bench.trace()
    bench.trainer.run(4)
    mean = (weights[7] + weights[11]) / 2
    assert torch.allclose(bench.evaluated[-1], mean, atol=1e-6), "the last two of three"
    assert [(score, step) for score, step, _ in bench.published[:2]] == [(1.0, 4), (3.0, 8)]
    if mean_score > 3:
        assert torch.equal(bench.published[-1][2], bench.evaluated[3])
        assert bench.trainer.progress.best_score == mean_score
    else:
        assert len(bench.published) == 2
    assert torch.equal(bench.published[1][2], bench.evaluated[1]), "what was measured is what was published"
    assert torch.equal(bench.model.logits, weights[-1]), "training goes on with its own weights"
    kinds = [r["weights"] for r in bench.listener.records if "weights" in r]
    assert kinds == ["ema", "ema", "ema", "mean of 2"]


def test_a_score_that_is_not_a_number_is_never_the_best(tmp_path: Path) -> None:
    bench = Bench(tmp_path, scores=[float("nan"), 1.0, float("nan")], max_steps=12, average=1)
    bench.trainer.run(4)
    assert [(score, step) for score, step, _ in bench.published] == [(1.0, 8)]


# -- when to end ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason", "steps"),
    [
        ({"max_steps": 5}, "max_steps", 5),
        ({"max_steps": 0, "max_epochs": 2}, "max_epochs", 6),
        ({"max_steps": 50, "max_epochs": 1}, "max_epochs", 3),
        ({"max_steps": 50, "patience": 3}, "patience", 8),
    ],
)
def test_a_run_ends_at_its_first_limit(
    tmp_path: Path, options: dict[str, Any], reason: str, steps: int
) -> None:
    bench = Bench(tmp_path, scores=[5.0], **options)
    progress = bench.trainer.run(2)
    assert (progress.finished, progress.step) == (reason, steps)


def test_a_run_of_no_steps_still_publishes_a_model(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_steps=0, max_epochs=1, max_time="1s")
    bench.trainer.start(warmup_steps=1, seconds=1.0)
    progress = bench.trainer.run(2)
    assert (progress.finished, progress.step, len(bench.published)) == ("max_time", 0, 1)


def test_the_end_is_validated_once(tmp_path: Path) -> None:
    aligned, apart = (
        Bench(tmp_path / "a", max_steps=6, average=1),
        Bench(tmp_path / "b", max_steps=7, average=1),
    )
    aligned.trainer.run(3)
    apart.trainer.run(3)
    assert (len(aligned.evaluated), len(apart.evaluated)) == (2, 3)


@pytest.mark.parametrize(("limit", "goes_on"), [(12, False), (8, False), (20, True)])
def test_a_finished_run_goes_on_if_its_limit_is_raised(tmp_path: Path, limit: int, goes_on: bool) -> None:
    Bench(tmp_path, max_steps=12).trainer.run(4)
    again = Bench(tmp_path, max_steps=limit)
    again.trainer.resume()
    assert again.trainer.progress.finished == ("" if goes_on else "max_steps")
    assert again.trainer.run(4).step == (20 if goes_on else 12)


def test_a_run_that_its_time_ended_is_finished(tmp_path: Path) -> None:
    steps = Bench(tmp_path, max_steps=0, max_time="0.05s").trainer.run(10**9).step
    again = Bench(tmp_path, max_steps=0, max_time="0.05s")
    again.trainer.resume()
    assert again.trainer.progress.finished == "max_time"
    assert again.trainer.run(10**9).step == steps


# -- losses that are not finite ---------------------------------------------------------------------


def spoil(bench: Bench, steps: set[int], by: float = float("inf")) -> None:
    """Multiply the loss of some updates, counted from 1."""
    bench.model.factor = lambda: by if bench.trainer.progress.step + 1 in steps else 1.0


@pytest.mark.parametrize("by", [float("inf"), float("nan")])
def test_a_single_bad_update_changes_nothing_and_is_counted(tmp_path: Path, by: float) -> None:
    bench = Bench(tmp_path, max_steps=8, lr=0.1)
    weights = bench.trace()
    spoil(bench, {4}, by)
    progress = bench.trainer.run(100)
    assert progress.skipped == 1
    assert torch.equal(weights[3], weights[2]) and not torch.equal(weights[4], weights[3])
    assert all(value.isfinite().all() for value in bench.trainer.optimizer.state().values())
    losses = [record["loss"] for record in bench.listener.records if "loss" in record]
    assert all(0 < loss < 2 * np.log(V) for loss in losses), "what was skipped has no part in the mean"
    assert losses[1] > 0.5 * losses[0]


def test_the_moments_forget_a_bad_update(tmp_path: Path) -> None:
    """Skipping the update for a batch is as if only its turn had passed."""
    spoiled = Bench(tmp_path / "a", max_steps=4, lr=0.1, schedule="constant", ema=0.0, batches=BATCHES[:1])
    spoil(spoiled, {3})
    spoiled.trainer.run(100)
    plain = Bench(tmp_path / "b", max_steps=3, lr=0.1, schedule="constant", ema=0.0, batches=BATCHES[:1])
    plain.trainer.run(100)
    assert torch.equal(spoiled.model.logits, plain.model.logits)


def test_many_bad_updates_in_a_row_stop_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, scores=[1.0], max_steps=50)
    spoil(bench, set(range(6, 100)))
    with pytest.raises(TxError, match=f"not finite for {MAX_BAD_STEPS} updates in a row, up to step 10"):
        bench.trainer.run(4)
    weights, _, state = load_checkpoint(tmp_path / "last")
    assert state["step"] == 8 and weights["logits"].isfinite().all()
    assert [step for _, step, _ in bench.published] == [4]


def test_bad_updates_with_good_ones_between_do_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_steps=40)
    spoil(bench, {step for step in range(1, 41) if step % MAX_BAD_STEPS})
    assert bench.trainer.run(100).skipped == 32


# -- interruptions ----------------------------------------------------------------------------------


def interrupt_at(bench: Bench, step: int, number: int) -> None:
    update = bench.trainer._update

    def wrapped(batches: list[Batch]) -> tuple[Tensor, Tensor]:
        done = update(batches)
        if bench.trainer.progress.step == step:
            os.kill(os.getpid(), number)
        return done

    bench.trainer._update = wrapped  # type: ignore[method-assign]


def comparable(folder: Path) -> list[Any]:
    """A run's log and state, times left out."""
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    weights, optimizer, state = load_checkpoint(folder / "last")
    for record in [*log, state]:
        for key in ("seconds", "tokens_per_s", "src_tokens_per_s", "memory", "log_bytes", "digests"):
            record.pop(key, None)
    return [log, state, {name: value.tolist() for name, value in (weights | optimizer).items()}]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", range(1, 12))
def test_a_run_may_be_stopped_and_resumed_after_any_step(tmp_path: Path, step: int, number: int) -> None:
    scores = [3.0, 1.0, 2.0, 2.5]
    straight = Bench(tmp_path / "straight", scores=scores, max_steps=11, log_every=3, average=2)
    straight.trainer.run(4)
    stopped = Bench(tmp_path / "stopped", scores=scores, max_steps=11, log_every=3, average=2)
    interrupt_at(stopped, step, number)
    progress = stopped.trainer.run(4)
    assert (progress.finished, progress.step) == ("", step)
    assert list(stopped.unmeasured) == ([step] if step <= 4 else []), "until a validation nothing is the best"
    for weights in stopped.unmeasured.values():
        assert torch.equal(weights, stopped.trainer.optimizer.averaged()["logits"])
    again = Bench(tmp_path / "stopped", max_steps=11, log_every=3, average=2)
    again.scores = stopped.scores
    again.trainer.resume()
    assert again.trainer.run(4).finished == "max_steps"
    assert comparable(tmp_path / "stopped") == comparable(tmp_path / "straight")
    assert [p[:2] for p in stopped.published + again.published] == [p[:2] for p in straight.published]


def test_a_validation_that_is_interrupted_is_done_again(tmp_path: Path) -> None:
    straight = Bench(tmp_path / "straight", scores=[3.0, 1.0, 2.0, 2.5], max_steps=11, average=2)
    straight.trainer.run(4)
    for validation in (1, 2, 3, 4):
        folder = tmp_path / str(validation)
        bench = Bench(folder, scores=[3.0, 1.0, 2.0, 2.5], max_steps=11, average=2)
        plain, count = bench.trainer.evaluate, 0

        def evaluate(plain: Any = plain, validation: int = validation) -> Evaluation:
            nonlocal count
            count += 1
            if count == validation:
                os.kill(os.getpid(), signal.SIGINT)
            return plain()  # type: ignore[no-any-return]

        bench.trainer.evaluate = evaluate
        assert bench.trainer.run(4).finished == ""
        assert bench.trainer.progress.step == min(4 * validation, 11)
        assert len(bench.evaluated) == validation - 1, "a signal ends a validation at once"
        again = Bench(folder, max_steps=11, average=2)
        again.scores = bench.scores
        again.trainer.resume()
        again.trainer.run(4)
        assert comparable(folder) == comparable(tmp_path / "straight")


def test_the_first_signal_is_a_request_and_the_second_is_not() -> None:
    with pytest.raises(KeyboardInterrupt), StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_impatient_work_ends_with_the_first_signal() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) is before


# -- checkpoints ------------------------------------------------------------------------------------


def checkpoint(folder: Path) -> Path:
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}
    save_checkpoint(folder / "last", tensors, {"m/a": torch.zeros(2, 3)}, {"step": 3, "best": float("-inf")})
    return folder / "last"


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    weights, optimizer, state = load_checkpoint(checkpoint(tmp_path))
    assert weights["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and optimizer["m/a"].shape == (2, 3)
    assert state["step"] == 3 and state["best"] == float("-inf")


@pytest.mark.parametrize("name", ["state.json", "weights.safetensors", "optimizer.safetensors"])
def test_any_damage_to_a_checkpoint_is_found(tmp_path: Path, name: str) -> None:
    file = checkpoint(tmp_path) / name
    data = file.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(data), 40, replace=False):
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.integers(8)
        file.write_bytes(flipped)
        try:
            state = load_checkpoint(file.parent)[2]
        except TxError as error:
            assert str(file) in error.message
        else:  # white space between the parts of a JSON text means nothing
            assert name == "state.json" and data[place : place + 1].isspace() and state["step"] == 3
    for cut in (0, 1, len(data) // 2, len(data) - 2):
        file.write_bytes(data[:cut])
        with pytest.raises(TxError, match="is damaged"):
            load_checkpoint(file.parent)
    file.unlink()
    with pytest.raises(TxError, match=r"cannot read|no checkpoint"):
        load_checkpoint(file.parent)


def test_what_is_sealed_says_whether_it_was_changed(tmp_path: Path) -> None:
    file = tmp_path / "sealed.json"
    content = {"b": [1, 2.5, None], "a": {"ü": "x"}, "sha": ""}
    file.write_text(dump_checked(content))
    assert load_checked(file) == content
    for text in ("", "[]", "3", "{}", '{"sha256": "0"}', file.read_text().replace("2.5", "2.6")):
        file.write_text(text)
        with pytest.raises(TxError, match="is damaged"):
            load_checked(file)


@pytest.mark.parametrize("harm", ["flip", "remove"])
def test_a_damaged_snapshot_stops_the_resumption(tmp_path: Path, harm: str) -> None:
    bench = Bench(tmp_path, max_steps=9, average=2)
    interrupt_at(bench, 9, signal.SIGINT)
    bench.trainer.run(4)
    file = tmp_path / "snapshots" / "step-00000008.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data) if harm == "flip" else file.unlink()
    with pytest.raises(TxError, match=r"step-00000008\.safetensors"):
        Bench(tmp_path, max_steps=9, average=2).trainer.resume()


# -- the folder -------------------------------------------------------------------------------------


def test_a_folder_is_claimed_once_and_left_clean(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "model"
    refused = pytest.raises(TxError, match=f"by process {os.getpid()}")
    with claim(out, False, False), refused, claim(out, True, False):
        raise AssertionError
    assert not out.exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_tx_did_not_write_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    project = tmp_path / "project"
    (project / "run").mkdir(parents=True)
    (project / "run" / "mine.txt").write_text("mine")
    file = tmp_path / "file"
    file.write_text("mine")
    (tmp_path / "only" / "run" / "mine").mkdir(parents=True)
    for place in (project, project / "run", file, tmp_path / "only", tmp_path):
        with pytest.raises(TxError), claim(place, False, overwrite):
            raise AssertionError
    assert (project / "run" / "mine.txt").read_text() == "mine" and file.read_text() == "mine"


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    with claim(tmp_path, False, False):
        assert (tmp_path / "run" / "lock").exists()


def test_a_start_that_was_killed_is_no_obstacle(tmp_path: Path) -> None:
    out = tmp_path / "m"
    (out / "run" / "tokenizer").mkdir(parents=True)
    (out / "run" / "lock").write_text("1")
    with claim(out, False, False):
        pass
    assert not out.exists()


# -- the rest ---------------------------------------------------------------------------------------


def test_a_forecast_leaves_no_trace_in_the_model(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_steps=100, grad_accum=2)

    def plan_of(max_seconds: float = 0.0, **limits: Any) -> Forecast:
        bench.trainer.limits = Limits.of(replace(bench.trainer.config, **limits))
        return forecast(bench.trainer, list(BATCHES), 10.0, max_seconds)

    plan = plan_of()
    assert torch.equal(bench.model.logits, torch.zeros(V)) and bench.model.logits.grad is None
    assert plan.steps == 100 and plan.seconds == pytest.approx(100 * plan.seconds_per_step)
    assert "100 steps" in str(plan) and "10.0 epochs" in str(plan)
    assert plan_of(max_steps=0).steps == 0
    assert plan_of(max_epochs=3).steps == 30
    assert plan_of(max_seconds=1e-9).steps == 1
    plan.add_validation(0.25, 0.0)
    assert plan.steps == 100 and plan.seconds == pytest.approx(125 * plan.seconds_per_step)
    plan.add_validation(0.0, 50 * plan.seconds_per_step)
    assert plan.steps == 40 and plan.seconds == pytest.approx(50 * plan.seconds_per_step)


def test_durations_are_told_as_people_do() -> None:
    assert [format_duration(s) for s in (0, 45.4, 119, 120, 3600, 7200, 86400)] == [
        *("0 s", "45 s", "119 s", "2 min", "60 min", "2.0 h", "24.0 h"),
    ]
