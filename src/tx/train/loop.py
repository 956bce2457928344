"""The training loop: one loop for every model, which never asks what the loss is.

An update takes `grad_accum` batches, divides their summed loss once by all their target tokens, clips, and
steps. Its random numbers are seeded from (seed, step) alone and the order of the data from (seed, epoch), so
a run that was stopped anywhere and resumed ends in the same weights as one that was not.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tx.config.schema import TrainConfig
from tx.data.sampler import Position
from tx.errors import TxError
from tx.nn.device import peak_memory, use_bf16
from tx.train.averaging import Snapshots
from tx.train.checkpoint import load_checkpoint, load_state, save_checkpoint
from tx.train.log import Log
from tx.train.meters import Recent
from tx.train.optim import Optimizer
from tx.train.schedule import learning_rate
from tx.train.signals import StopSignal
from tx.train.task import Evaluation, Source

MAX_BAD_STEPS = 5  # non-finite updates in a row before the run stops
MAX_COST_OF_SAVING = 0.05  # share of the time that checkpoints between validations may take


@dataclass
class Progress:
    """The part of a run's state that is numbers."""

    step: int = 0
    position: Position = field(default_factory=Position)
    epochs: float = 0.0  # the position as a number
    seconds: float = 0.0  # of training, over all its parts
    tokens: int = 0  # target tokens seen
    best_score: float = float("-inf")
    best_step: int = 0
    stale: int = 0  # validations since the best
    evaluated: int = -1  # step of the last validation
    skipped: int = 0  # non-finite updates
    warmup_steps: int = 0
    snapshots: dict[str, str] = field(default_factory=dict)  # weights kept for averaging, with their digests
    log_bytes: int = 0  # length of metrics.jsonl: what follows was written by a run that was killed
    finished: str = ""  # why the run ended
    limits: list[float] = field(default_factory=list)  # with which it ended
    recent: list[float] = field(default_factory=list)  # sums since the last line of the log


class Listener(Protocol):
    """Whoever shows a run to its user."""

    def train(self, record: dict[str, Any]) -> None: ...

    def evaluated(self, record: dict[str, Any], samples: list[dict[str, str]], best: bool) -> None: ...

    def say(self, message: str) -> None: ...


class Trainer:
    """A model, its data and its run folder; `run` trains until something ends it.

    `evaluate()` measures the model as it stands. `publish(evaluation, step)` makes the present weights the
    package's; it is called at every best validation, and without one where a run stops before the first.
    """

    def __init__(
        self,
        model: nn.Module,
        source: Source,
        config: TrainConfig,
        seed: int,
        folder: Path,
        max_seconds: float,
        evaluate: Callable[[], Evaluation],
        publish: Callable[[Evaluation | None, int], None],
        listener: Listener,
    ) -> None:
        self.model: Any = model
        self.source, self.config, self.seed, self.folder = source, config, seed, folder
        self.max_seconds = max_seconds
        self.evaluate, self.publish, self.listener = evaluate, publish, listener
        self.device = next(model.parameters()).device
        self.bf16 = use_bf16(config.precision, self.device)
        self.optimizer = Optimizer(model, config)
        self.progress = Progress(position=source.position, warmup_steps=config.warmup_steps)
        self.snapshots = Snapshots(folder / "snapshots", config.average)
        self.log = Log(folder / "metrics.jsonl", config.tensorboard)
        self._compiled = torch.compile(self._loss) if config.compile else self._loss
        self._recent = Recent(self.device)
        self._evaluation_seconds = 0.0
        self._began = 0.0  # when training would have begun, had it not been interrupted

    # -- one update --------------------------------------------------------------------------------

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def _loss(self, batch: Any) -> Tensor:
        with self._autocast():
            loss, _ = self.model.loss(batch, self.config.label_smoothing)
        return loss  # type: ignore[no-any-return]

    def _fetch(self) -> tuple[list[Any], Position, float]:
        """The batches of the next update, the position after them, and that as a number of epochs."""
        batches = [self.source.next() for _ in range(self.config.grad_accum)]
        if self.device.type == "cuda":
            batches = [batch.pin() for batch in batches]
        return batches, replace(self.source.position), self.source.epochs()

    def gradients(self, batches: list[Any]) -> tuple[Tensor, int]:
        """Add the gradient of the mean loss of a target token in `batches`; returns the sum and the count."""
        n_tokens = sum(batch.n_tokens for batch in batches)
        total = torch.zeros((), device=self.device)
        for batch in batches:
            loss = self._compiled(batch.to(self.device))
            (loss / n_tokens).backward()
            total += loss.detach()
        return total, n_tokens

    def _update(self, batches: list[Any]) -> tuple[Tensor, Tensor]:
        """One optimizer step; returns the summed loss, and whether the update was skipped (1.0)."""
        progress = self.progress
        torch.manual_seed(((self.seed << 32) + progress.step) % 2**63)
        total, n_tokens = self.gradients(batches)
        lr = self.learning_rate()
        progress.step += 1
        progress.tokens += n_tokens
        return total, self.optimizer.step(lr, progress.step)

    def learning_rate(self) -> float:
        """The rate of the next update."""
        progress = self.progress
        return learning_rate(
            self.config.schedule, progress.step + 1, self.share(), self.config.lr, progress.warmup_steps
        )

    # -- how far -----------------------------------------------------------------------------------

    def share(self) -> float:
        """How much of the run is behind it, 0 to 1, by whichever limit is nearest."""
        config, progress, shares = self.config, self.progress, [0.0]
        if config.max_steps:
            shares.append(progress.step / config.max_steps)
        if config.max_epochs:
            shares.append(progress.epochs / config.max_epochs)
        if self.max_seconds:
            shares.append(progress.seconds / self.max_seconds)
        return min(1.0, max(shares))

    def _limits(self) -> list[float]:
        config = self.config
        return [config.max_steps, config.max_epochs, self.max_seconds, config.patience]

    def _reason_to_stop(self, stop: StopSignal) -> str:
        config, progress = self.config, self.progress
        if stop.requested:
            return "interrupted"
        if config.max_steps and progress.step >= config.max_steps:
            return "max_steps"
        if config.max_epochs and progress.position.epoch >= config.max_epochs:
            return "max_epochs"
        # The last validation and the comparison of averages need their time, too.
        if self.max_seconds and progress.seconds >= self.max_seconds - 2 * self._evaluation_seconds:
            return "max_time"
        if config.patience and progress.stale >= config.patience:
            return "patience"
        return ""

    # -- the loop ----------------------------------------------------------------------------------

    def run(self, eval_every: int) -> Progress:
        """Train to the end, or until a signal asks to stop; then the state is saved and can be resumed.

        Raises TxError after several updates in a row that were not finite; the last good state is kept.
        """
        progress = self.progress
        if progress.finished:
            return progress
        self._began = time.monotonic() - progress.seconds
        self.model.train()
        with StopSignal() as stop:
            reason = self._train(eval_every, stop)
            if reason != "interrupted" and self._conclude(stop):
                progress.finished, progress.limits = reason, self._limits()
            progress.seconds = time.monotonic() - self._began
            self.save()
            if progress.step and progress.evaluated < 0:
                with self._weights(self.optimizer.averaged()):
                    self.publish(None, progress.step)
        self.log.close()
        return progress

    def _train(self, eval_every: int, stop: StopSignal) -> str:
        """Update and validate until there is a reason to stop, and return it."""
        progress, recent, last_save = self.progress, self._recent, time.monotonic()
        recent.start()
        with ThreadPoolExecutor(1) as fetcher:
            pending = fetcher.submit(self._fetch)
            while True:
                if progress.step and progress.step % eval_every == 0 and progress.evaluated != progress.step:
                    if self._validate(stop):
                        last_save = self.save()
                    recent.start()
                if reason := self._reason_to_stop(stop):
                    return reason
                batches, position, epochs = pending.result()
                pending = fetcher.submit(self._fetch)
                recent.add(*self._update(batches), batches)
                progress.position, progress.epochs = position, epochs
                progress.seconds = time.monotonic() - self._began
                if progress.step % self.config.log_every == 0 or self.device.type == "cpu":
                    self._check_finite()
                if progress.step % self.config.log_every == 0:
                    self._log_training()
                if time.monotonic() - last_save > self._save_interval:
                    last_save = self.save()

    def _conclude(self, stop: StopSignal) -> bool:
        """The last validation, and the comparison with the average; False if a signal came before its end."""
        validated = self.progress.evaluated == self.progress.step or self._validate(stop)
        return validated and self._compare_average(stop)

    def _check_finite(self) -> None:
        in_a_row = self._recent.bad_in_a_row()
        self.progress.skipped += self._recent.take_skipped()
        if in_a_row >= MAX_BAD_STEPS:
            raise TxError(
                f"the loss was not finite for {in_a_row} updates in a row, up to step {self.progress.step:,}",
                "start again with a lower learning rate (--lr); the best model so far is in the package",
            )

    def loss_so_far(self) -> float | None:
        """The mean loss since the last line of the log; None where reading it would hold up the device."""
        return (self._recent.mean_loss() or None) if self.device.type == "cpu" else None

    def _log_training(self) -> None:
        progress = self.progress
        record = {
            "step": progress.step,
            "epochs": progress.epochs,
            "loss": self._recent.mean_loss(),
            "lr": self.learning_rate(),
            **self._recent.speed(),
            "seconds": progress.seconds,
            "skipped": progress.skipped,
            "memory": peak_memory(self.device),
        }
        self.log.write(record)
        self.listener.train(record | {"share": self.share()})
        self._recent.forget()

    # -- validation --------------------------------------------------------------------------------

    @contextmanager
    def _weights(self, weights: dict[str, Tensor]) -> Iterator[None]:
        """Let the model have other weights for a while, and be in evaluation mode."""
        own = {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}
        self.model.load_state_dict(weights, strict=False)
        self.model.eval()
        try:
            yield
        finally:
            self.model.load_state_dict(own, strict=False)
            self.model.train()

    def _measure(self, weights: dict[str, Tensor], stop: StopSignal) -> Evaluation | None:
        """Evaluate the model with other weights, and publish them if they are the best so far.

        None if a signal asks to stop: then nothing has happened.
        """
        try:
            with self._weights(weights):
                with stop.at_once(), torch.inference_mode(), self._autocast():
                    evaluation = self.evaluate()
                if evaluation.score > self.progress.best_score:
                    self.publish(evaluation, self.progress.step)
        except KeyboardInterrupt:
            if not stop.requested:
                raise
            return None
        return evaluation

    def _record(self, evaluation: Evaluation, kind: str) -> bool:
        progress = self.progress
        best = evaluation.score > progress.best_score
        if best:
            progress.best_score, progress.best_step, progress.stale = evaluation.score, progress.step, 0
        else:
            progress.stale += 1
        record = {"step": progress.step, "seconds": progress.seconds, "weights": kind, **evaluation.values}
        self.log.write(record | {"best": best, "samples": evaluation.samples})
        self.listener.evaluated(record, evaluation.samples, best)
        return best

    def _validate(self, stop: StopSignal) -> bool:
        """Measure the model, and keep its weights for the average; False if a signal came before the end."""
        started, progress = time.monotonic(), self.progress
        if stop.requested:
            return False
        weights = {name: p.detach() for name, p in self.model.named_parameters()}
        self.snapshots.add(progress.step, weights, progress.snapshots)
        evaluation = self._measure(self.optimizer.averaged(), stop)
        if evaluation is None:
            return False
        self._record(evaluation, "ema" if self.optimizer.ema else "last")
        progress.evaluated = progress.step
        ended = time.monotonic()
        self._evaluation_seconds = max(self._evaluation_seconds, ended - started)
        progress.seconds = ended - self._began
        return True

    def _compare_average(self, stop: StopSignal) -> bool:
        """Try the mean of the last evaluated weights: the better of both becomes the package."""
        if len(self.progress.snapshots) < 2:
            return True
        stale = self.progress.stale
        evaluation = self._measure(self.snapshots.mean(self.progress.snapshots, self.device), stop)
        if evaluation is None:
            return False
        if not self._record(evaluation, f"mean of {len(self.progress.snapshots)}"):
            self.progress.stale = stale
        return True

    # -- the state on disk -------------------------------------------------------------------------

    _save_interval = 300.0

    def save(self) -> float:
        """Write the checkpoint; returns the time when that was done."""
        started = time.monotonic()
        self.progress.log_bytes, self.progress.recent = self.log.flush(), self._recent.sums()
        weights = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        tensors = self.optimizer.state() | self.source.state()
        save_checkpoint(self.folder / "last", weights, tensors, asdict(self.progress))
        self.snapshots.prune(self.progress.snapshots)
        ended = time.monotonic()
        self._save_interval = max(60.0, (ended - started) / MAX_COST_OF_SAVING)
        return ended

    def resume(self) -> None:
        """Take up the state in the run folder. Raises TxError if there is none, or it is damaged."""
        weights, tensors, state = load_checkpoint(self.folder / "last")
        tensors = {name: value.to(self.device) for name, value in tensors.items()}
        self._take_up(state)
        self.source.position = replace(self.progress.position)
        self.model.load_state_dict(weights, strict=False)
        self.optimizer.load_state(tensors)
        self.source.load_state(tensors)
        self.snapshots.check(self.progress.snapshots)
        self._recent = Recent(self.device, *self.progress.recent)
        self.log.truncate(self.progress.log_bytes)

    def ended(self) -> str:
        """Why the run in the folder has ended, if it has and no limit was raised since; changes nothing."""
        own = self.progress
        try:
            self._take_up(load_state(self.folder / "last"))
            return self.progress.finished
        except TxError:
            return ""  # `resume` repairs the checkpoint, or says what is wrong with it
        finally:
            self.progress = own

    def _take_up(self, state: dict[str, Any]) -> None:
        """Set `progress` to that of a checkpoint; a run that had ended goes on where a limit was raised."""
        known = {key: value for key, value in state.items() if key in Progress.__dataclass_fields__}
        self.progress = Progress(**known | {"position": Position(**state["position"])})
        raised = self._limits() != self.progress.limits and not self._reason_to_stop(StopSignal())
        if self.progress.finished and raised:
            self.progress.finished = ""
