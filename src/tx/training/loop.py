"""The training loop: one loop for every model, which never asks what the loss is.

An update takes `grad_accum` batches, divides their summed loss once by all their target tokens, clips, and
steps. Its random numbers are seeded from (seed, step) alone and the order of the data from (seed, epoch), so
a run that was stopped anywhere and resumed ends in the same weights as one that was not.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tx.config.schema import LoopTrainConfig
from tx.data.sampler import Position
from tx.errors import TxError
from tx.nn.device import peak_memory, use_bf16
from tx.training.averaging import Snapshots, temporary_weights
from tx.training.checkpoint import load_checkpoint, load_state, save_checkpoint
from tx.training.limits import Limits
from tx.training.log import Log
from tx.training.meters import Meters
from tx.training.optim import Optimizer
from tx.training.run import Listener, Progress
from tx.training.schedule import learning_rate
from tx.training.signals import StopSignal

MAX_COST_OF_SAVING = 0.05  # share of the time that checkpoints between validations may take


@dataclass
class Evaluation:
    """The result of a validation; a higher `score` is better."""

    score: float
    values: dict[str, float]  # valid_loss, valid_ppl, valid_bleu, ...
    samples: list[dict[str, str]] = field(default_factory=list)  # outputs of the model


class BatchSampler(Protocol):
    """An endless supply of training batches: see `tx.data.sampler` and `tx.data.stream`."""

    position: Position

    def next(self) -> Any:
        """The batch at `position`, which then advances."""

    def peek(self, i: int) -> Any:
        """A batch near `position`, which stays."""

    def epochs(self) -> float:
        """The position as a number of epochs."""

    def batches_per_epoch(self) -> int: ...


@dataclass
class LoopProgress(Progress):
    """The numbers that a resumed run of the loop starts from."""

    position: Position = field(default_factory=Position)  # in the training data
    skipped: int = 0  # non-finite updates
    warmup_steps: int = 0
    snapshots: dict[str, str] = field(default_factory=dict)  # weights saved for averaging, with their digests
    limits: list[float] = field(default_factory=list)  # those that the run ended with
    recent: list[float] = field(default_factory=list)  # sums since the last line of the log

    @classmethod
    def of(cls, state: dict[str, Any], limits: Limits) -> "LoopProgress":
        """The progress in a checkpoint; a run that had ended continues if a limit was raised since."""
        known = {key: value for key, value in state.items() if key in cls.__dataclass_fields__}
        progress = cls(**known | {"position": Position(**state["position"])})
        if progress.limits != limits.numbers() and not limits.reached(progress):
            progress.finished = ""
        return progress


State = tuple[Tensor, ...]  # a recurrent state that one batch of contiguous text hands to the next


class Trainer:
    """A model, its data and its run folder; `run` trains until a limit is reached or a signal asks to stop.

    `evaluate()` measures the model with its present weights. `publish(evaluation, step)` writes them to the
    package; it is called at every best validation, and without one if a run stops before the first.
    """

    def __init__(
        self,
        model: nn.Module,
        sampler: BatchSampler,
        config: LoopTrainConfig,
        seed: int,
        folder: Path,
        evaluate: Callable[[], Evaluation],
        publish: Callable[[Evaluation | None, int], None],
        listener: Listener,
    ) -> None:
        self.model: Any = model
        self.sampler, self.config, self.seed, self.folder = sampler, config, seed, folder
        self.evaluate, self.publish, self.listener = evaluate, publish, listener
        self.limits = Limits.of(config)
        self.device = next(model.parameters()).device
        self.stateful = getattr(model, "stateful", False)
        self.state: State = ()  # of a stateful model after the last batch
        self.bf16 = use_bf16(config.precision, self.device)
        self.optimizer = Optimizer(model, config)
        self.progress = LoopProgress(position=sampler.position, warmup_steps=config.warmup_steps)
        self.snapshots = Snapshots(folder / "snapshots", config.average)
        self.log = Log(folder / "metrics.jsonl", config.tensorboard)
        self.meters = Meters(self.device)
        self._compiled = torch.compile(self._loss) if config.compile else self._loss
        self._evaluation_seconds = 0.0  # of the slowest validation
        self._began = 0.0  # the time when an uninterrupted run would have begun

    # -- one update --------------------------------------------------------------------------------

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def _loss(self, batch: Any, state: State) -> tuple[Tensor, State]:
        """The summed loss of a batch; and the recurrent state after it, if the model is stateful."""
        with self._autocast():
            if not self.stateful:
                return self.model.loss(batch, self.config.label_smoothing)[0], ()
            loss, _, state = self.model.loss(batch, self.config.label_smoothing, () if batch.fresh else state)
        return loss, state

    def _fetch(self) -> tuple[list[Any], Position, float]:
        """The batches of the next update, the position after them, and that as a number of epochs."""
        batches = [self.sampler.next() for _ in range(self.config.grad_accum)]
        if self.device.type == "cuda":
            batches = [batch.pin() for batch in batches]
        return batches, replace(self.sampler.position), self.sampler.epochs()

    def gradients(self, batches: list[Any], state: State = ()) -> tuple[Tensor, int, State]:
        """Add the gradient of the mean loss per target token of `batches`.

        Returns the summed loss, the number of target tokens, and the recurrent state after the batches.
        """
        n_tokens = sum(batch.n_tokens for batch in batches)
        total = torch.zeros((), device=self.device)
        for batch in batches:
            loss, state = self._compiled(batch.to(self.device), state)
            (loss / n_tokens).backward()
            total += loss.detach()
        return total, n_tokens, state

    def _update(self, batches: list[Any]) -> tuple[Tensor, Tensor]:
        """One optimizer step; returns the summed loss, and whether the update was skipped (1.0)."""
        progress = self.progress
        torch.manual_seed(((self.seed << 32) + progress.step) % 2**63)
        total, n_tokens, self.state = self.gradients(batches, self.state)
        lr = self.learning_rate()
        progress.step += 1
        progress.tokens += n_tokens
        return total, self.optimizer.step(lr, progress.step)

    def learning_rate(self) -> float:
        """The rate of the next update."""
        config, progress, share = self.config, self.progress, self.limits.share(self.progress)
        return learning_rate(config.schedule, progress.step + 1, share, config.lr, progress.warmup_steps)

    def _detached(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    # -- the loop ----------------------------------------------------------------------------------

    def run(self, eval_every: int) -> LoopProgress:
        """Train to the end, or until a signal asks to stop; then the state is saved and can be resumed.

        Raises TxError after several updates in a row that were not finite; the last good state stays saved.
        """
        progress = self.progress
        if progress.finished:
            return progress
        self._began = time.monotonic() - progress.seconds
        self.model.train()
        with StopSignal() as stop:
            limit = self._train(eval_every, stop)
            if limit and self._conclude(stop):
                progress.finished, progress.limits = limit, self.limits.numbers()
            progress.seconds = time.monotonic() - self._began
            self.save()
            if progress.step and progress.evaluated < 0:
                with temporary_weights(self.model, self.optimizer.averaged()):
                    self.publish(None, progress.step)
        self.log.close()
        return progress

    def _train(self, eval_every: int, stop: StopSignal) -> str:
        """Update and validate until a limit is reached, which is returned, or a signal asks to stop: ""."""
        progress, last_save = self.progress, time.monotonic()
        self.meters.restart_clock()
        with ThreadPoolExecutor(1) as fetcher:
            pending = fetcher.submit(self._fetch)
            while True:
                if progress.step and progress.step % eval_every == 0 and progress.evaluated != progress.step:
                    if self._validate(stop):
                        last_save = self.save()
                    self.meters.restart_clock()
                if stop.requested:
                    return ""
                # The last validation and the comparison of averages take their time, too.
                if limit := self.limits.reached(progress, reserve=2 * self._evaluation_seconds):
                    return limit
                batches, position, epochs = pending.result()
                pending = fetcher.submit(self._fetch)
                self.meters.add(*self._update(batches), batches)
                progress.position, progress.epochs = position, epochs
                progress.seconds = time.monotonic() - self._began
                if progress.step % self.config.log_every == 0 or self.device.type == "cpu":
                    progress.skipped += self.meters.check_finite(progress.step)
                if progress.step % self.config.log_every == 0:
                    self._log_training()
                if time.monotonic() - last_save > self._save_interval:
                    last_save = self.save()

    def current_loss(self) -> float | None:
        """The mean loss since the last line of the log; None where reading it would wait for the device."""
        return (self.meters.mean_loss() or None) if self.device.type == "cpu" else None

    def _log_training(self) -> None:
        progress = self.progress
        record = {
            "step": progress.step,
            "epochs": progress.epochs,
            "loss": self.meters.mean_loss(),
            "lr": self.learning_rate(),
            **self.meters.speed(),
            "seconds": progress.seconds,
            "skipped": progress.skipped,
            "memory": peak_memory(self.device),
        }
        self.log.write(record)
        self.listener.train(record | {"share": self.limits.share(progress)})
        self.meters.reset()

    def _measure(self, weights: dict[str, Tensor], kind: str, stop: StopSignal) -> bool:
        """Evaluate the model with other weights, log the result, and publish them if they are the best so far.

        False if a signal asks to stop: then nothing has happened.
        """
        progress = self.progress
        try:
            with temporary_weights(self.model, weights):
                with stop.at_once(), torch.inference_mode(), self._autocast():
                    evaluation = self.evaluate()
                if best := evaluation.score > progress.best_score:
                    self.publish(evaluation, progress.step)
        except KeyboardInterrupt:
            if not stop.requested:
                raise
            return False
        if best:
            progress.best_score, progress.best_step, progress.stale = evaluation.score, progress.step, 0
            progress.best_values, progress.best_weights = evaluation.values, kind
        else:
            progress.stale += 1
        record = {"step": progress.step, "seconds": progress.seconds, "weights": kind, **evaluation.values}
        self.log.write(record | {"best": best, "samples": evaluation.samples})
        self.listener.validated(record, evaluation.samples, best)
        return True

    def _validate(self, stop: StopSignal) -> bool:
        """Measure the model, and save its weights for averaging; False if a signal came before the end."""
        started, progress = time.monotonic(), self.progress
        if stop.requested:
            return False
        self.snapshots.add(progress.step, self._detached(), progress.snapshots)
        if not self._measure(self.optimizer.averaged(), "ema" if self.optimizer.ema else "last", stop):
            return False
        progress.evaluated = progress.step
        self._evaluation_seconds = max(self._evaluation_seconds, time.monotonic() - started)
        progress.seconds = time.monotonic() - self._began
        return True

    def _conclude(self, stop: StopSignal) -> bool:
        """Validate for the last time, then the mean of the last validated weights; False if a signal came."""
        progress = self.progress
        if progress.evaluated != progress.step and not self._validate(stop):
            return False
        n, stale = len(progress.snapshots), progress.stale
        if n > 1:
            mean = self.snapshots.mean(progress.snapshots, self.device)
            if not self._measure(mean, f"mean of {n}", stop):
                return False
            progress.stale = min(progress.stale, stale)  # the mean does not count for early stopping
        return True

    # -- the state on disk -------------------------------------------------------------------------

    _save_interval = 300.0

    def start(self, warmup_steps: int, seconds: float) -> None:
        """Begin a run that has spent `seconds` on its preparation, and write its first checkpoint."""
        self.progress.warmup_steps, self.progress.seconds = warmup_steps, seconds
        self.save()

    def save(self) -> float:
        """Write the checkpoint; returns the time when that was done."""
        started = time.monotonic()
        self.progress.log_bytes, self.progress.recent = self.log.flush(), self.meters.sums()
        carried = {f"carry/{number}": tensor for number, tensor in enumerate(self.state)}
        tensors = self.optimizer.state() | carried
        save_checkpoint(self.folder / "last", self._detached(), tensors, asdict(self.progress))
        self.snapshots.prune(self.progress.snapshots)
        self._save_interval = max(60.0, ((ended := time.monotonic()) - started) / MAX_COST_OF_SAVING)
        return ended

    def resume(self) -> None:
        """Continue from the checkpoint in the run folder. Raises TxError if there is none, or it is damaged."""
        weights, tensors, state = load_checkpoint(self.folder / "last")
        tensors = {name: value.to(self.device) for name, value in tensors.items()}
        self.progress = LoopProgress.of(state, self.limits)
        self.sampler.position = replace(self.progress.position)
        self.model.load_state_dict(weights, strict=False)
        self.optimizer.load_state(tensors)
        self.state = tuple(tensors[name] for name in sorted(tensors) if name.startswith("carry/"))
        self.snapshots.check(self.progress.snapshots)
        self.meters = Meters(self.device, *self.progress.recent)
        self.log.truncate(self.progress.log_bytes)

    def ended(self) -> str:
        """The limit that ended the run in the folder, or "" if it can be resumed; changes nothing."""
        try:
            return LoopProgress.of(load_state(self.folder / "last"), self.limits).finished
        except TxError:
            return ""  # `resume` repairs the checkpoint, or raises an error that names the damage
