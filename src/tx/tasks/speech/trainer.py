"""transformers' Seq2SeqTrainer with tx's way around it: schedule, log, validation, checkpoints and signals.

The update itself is the library's: gradients over accumulated batches and all ranks, AdamW, autocast. The loss is
summed and divided once by the labels of the whole update, so that batches of any shape weigh as their tokens do.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

from tx.checksums import damaged_run_file, dump_checked, load_checked
from tx.config.schema import TrainConfig
from tx.errors import TxError
from tx.files import atomic_file, atomic_folder
from tx.nn.device import peak_memory
from tx.tasks.speech.batch import IGNORED, Collator, Examples, Order
from tx.tasks.speech.ranks import gathered
from tx.tasks.speech.unheard import Unheard
from tx.tasks.speech.validate import Validation
from tx.train.log import Log
from tx.train.schedule import learning_rate
from tx.train.signals import StopSignal

PROGRESS = "progress.json"
SAVE_EVERY = 600.0  # seconds between checkpoints where validations are further apart


@dataclass
class Progress:
    """Where a run stands; what else there is of its state is the library's."""

    step: int = 0
    epochs: float = 0.0
    seconds: float = 0.0
    tokens: int = 0
    first: dict[str, float] = field(default_factory=dict)  # the scores of the untouched model
    best_wer: float = math.inf
    best_step: int = 0
    stale: int = 0  # validations since the best
    evaluated: int = 0  # the step of the last validation
    log_bytes: int = 0
    finished: str = ""
    data: str = ""  # the digest of what is trained on


class Listener(Protocol):
    """Hears what happens in a run."""

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def train(self, record: dict[str, Any]) -> None: ...

    def validated(self, record: dict[str, Any], worst: list[dict[str, str]], best: bool) -> None: ...


def load_progress(folder: Path) -> Progress:
    """Where the run with the checkpoint `folder` stands. Raises TxError if there is none, or it is damaged."""
    try:
        return Progress(**load_checked(folder / PROGRESS))
    except FileNotFoundError as error:
        raise TxError(f"there is no checkpoint in {folder}", "start again with --overwrite") from error
    except TypeError as error:
        raise damaged_run_file(folder / PROGRESS) from error


class WhisperTrainer(Seq2SeqTrainer):
    """Trains until a limit, impatience or a signal. `validate` scores the model as it stands; `publish` keeps it."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        examples: Examples,
        collator: Collator,
        order: Order,
        args: Seq2SeqTrainingArguments,
        config: TrainConfig,
        run: Path,
        max_seconds: float,
        eval_every: int,
        validate: Callable[[], list[Validation]],
        publish: Callable[[list[Validation], Progress], None],
        listener: Listener,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=examples,
            data_collator=collator,
            processing_class=processor,
            compute_loss_func=self._token_loss,
            callbacks=[_Watch(self)],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False  # the loss is ours
        self.order, self.config, self.run, self.max_seconds = order, config, run, max_seconds
        self.eval_every, self.validate, self.publish, self.listener = eval_every, validate, publish, listener
        self.progress = Progress()
        self.metrics = Log(run / "metrics.jsonl", config.tensorboard and self.is_world_process_zero())
        self.stop = StopSignal()
        self.unheard = Unheard(examples.windows, listener.warn)
        self._fresh: dict[int, str] = {}  # unheard since the last step
        self._sums = torch.zeros(2, dtype=torch.float64)  # loss and labels since the last line of the log
        self._logged = (0, 0.0)  # step and seconds of that line
        self._aside = 0.0  # seconds since then of what is no step
        self._began = self._saved = time.monotonic()

    # -- the update --------------------------------------------------------------------------------

    def _token_loss(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """The summed loss of a batch over the labels of its whole update."""
        logits = outputs.logits
        loss = F.cross_entropy(
            logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        n = (labels != IGNORED).sum()
        self._sums = self._sums.to(loss.device) + torch.stack([loss.detach().double(), n])
        return loss / (n if num_items_in_batch is None else num_items_in_batch)

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return self.order

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[dict[str, Any]], Any]:
        batches, n_labels = super().get_batch_samples(*args, **kwargs)
        for batch in batches:
            self._fresh |= batch.pop("unheard", {})
        return batches, n_labels

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        config = self.config

        def rate(done: int) -> float:
            return learning_rate(config.schedule, done + 1, self.share(done), 1.0, config.warmup_steps)

        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, rate)  # type: ignore[arg-type]
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def share(self, done: int | None = None) -> float:
        """How much of the run is behind it, 0 to 1, after `done` updates."""
        done = self.progress.step if done is None else done
        by_time = self.progress.seconds / self.max_seconds if self.max_seconds else 0.0
        return min(1.0, max(done / self.args.max_steps, by_time))

    # -- around it ---------------------------------------------------------------------------------

    def start(self, checkpoint: Path | None, progress: Progress) -> Progress:
        """Train, from the state in `checkpoint` if there is one; returns where the run stands at its end.

        Raises TxError if the loss is not finite any more, or something cannot be read or written.
        """
        self.progress, self._logged = progress, (progress.step, progress.seconds)
        if self.is_world_process_zero():
            self.metrics.truncate(progress.log_bytes)
        self._began = time.monotonic() - progress.seconds
        try:
            with self.stop:
                if checkpoint is not None and self.share() >= 1:  # all that is missing is the last validation
                    self._validate_again(checkpoint)
                else:
                    self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
                    if progress.finished:
                        self._save_checkpoint(self.model)
        finally:
            self.metrics.close()
        return progress

    def _validate_again(self, checkpoint: Path) -> None:
        """Score what a signal left without its last score; of the checkpoint only the progress changes by it."""
        progress = self.progress
        self._load_from_checkpoint(str(checkpoint))
        progress.finished = "max_steps" if progress.step >= self.args.max_steps else "max_time"
        self.evaluate()
        if self.is_world_process_zero():
            self._save_progress(checkpoint)
        self.accelerator.wait_for_everyone()

    def before_first_step(self) -> None:
        """A validation that the signal to stop broke off is made up for; the clock of steps starts then."""
        progress = self.progress
        if progress.step and progress.step % self.eval_every == 0 and progress.evaluated != progress.step:
            self.evaluate()
        self._logged, self._aside = (progress.step, time.monotonic() - self._began), 0.0

    def after_step(self) -> None:
        """What follows an update: the log, and what the library is to do next."""
        progress, config, control = self.progress, self.config, self.control
        progress.step, progress.epochs = self.state.global_step, float(self.state.epoch or 0.0)
        progress.seconds = time.monotonic() - self._began
        last = progress.step >= self.args.max_steps
        if progress.step % config.log_every == 0 or last:
            self._log()
        stopped, late, due, unheard = self._agreed(
            self.stop.requested,
            0 < self.max_seconds <= progress.seconds,
            time.monotonic() - self._saved > SAVE_EVERY,
            bool(self._fresh),
        )
        if unheard:  # on any rank, and told by the first
            found = gathered(self._fresh)
            self._fresh = {}
            self.unheard.add({i: reason for part in found for i, reason in part.items()})
        control.should_training_stop = stopped or late or last
        control.should_evaluate = not stopped and (last or late or progress.step % self.eval_every == 0)
        control.should_save = stopped or due
        if last or late:
            progress.finished = "max_time" if late else "max_steps"

    def _agreed(self, *flags: bool) -> list[bool]:
        """The flags as all ranks shall see them: set if any rank has set them."""
        if self.args.world_size == 1:
            return list(flags)
        shared = torch.tensor(flags, dtype=torch.int32, device=self.args.device)
        torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
        return [bool(flag) for flag in shared.tolist()]

    def _log(self) -> None:
        progress, (step, seconds) = self.progress, self._logged
        loss, n = self.accelerator.reduce(self._sums.to(self.args.device)).tolist()
        self._sums.zero_()
        elapsed = max(progress.seconds - seconds - self._aside, 1e-9)
        self._logged, self._aside = (progress.step, progress.seconds), 0.0
        progress.tokens += int(n)
        if not math.isfinite(loss):
            raise TxError(
                f"the loss was not finite at step {progress.step:,}",
                "start again with a lower learning rate (--lr); the best model so far is in the package",
            )
        record = {
            "step": progress.step,
            "epochs": progress.epochs,
            "loss": loss / max(n, 1),
            "lr": self._get_learning_rate(),
            "tokens_per_s": n / elapsed,
            "s_per_step": elapsed / max(progress.step - step, 1),
            "seconds": progress.seconds,
            "memory": peak_memory(self.args.device),
        }
        self._write(record)
        self.listener.train(record | {"share": self.share()})

    def _write(self, record: dict[str, Any]) -> None:
        if self.is_world_process_zero():
            self.metrics.write(record)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The library's own log: tx keeps another."""

    @contextmanager
    def _off_the_clock(self) -> Iterator[None]:
        """Within, time is none of the steps'."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._aside += time.monotonic() - began

    # -- validation --------------------------------------------------------------------------------

    def score_first(self) -> None:
        """Score the untouched model."""
        validations = self.validate()
        self.progress.first = validations[0].record()
        self._tell(validations, best=False)
        self.progress.log_bytes = self.metrics.flush()

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score the model, keep it if it is the best so far, and stop the run if nothing has got better for long."""
        self.control.should_evaluate = False
        try:
            with self._off_the_clock(), self.stop.at_once():
                validations = self.validate()
        except KeyboardInterrupt:
            self.progress.finished = ""
            self.control.should_training_stop = self.control.should_save = True
            return {}
        with self._off_the_clock():
            self._weigh(validations)
        return validations[0].record("eval")

    def _weigh(self, validations: list[Validation]) -> None:
        """Keep the model if it is the best, and decide whether to go on."""
        progress, config = self.progress, self.config
        wer = validations[0].normalized.wer
        best = wer < progress.best_wer
        progress.evaluated, progress.stale = progress.step, 0 if best else progress.stale + 1
        if best:
            progress.best_wer, progress.best_step = wer, progress.step
        progress.seconds = time.monotonic() - self._began
        self._tell(validations, best)
        if 100 * wer > (first := progress.first["valid_wer"]):
            self.listener.warn(f"WER {100 * wer:.1f} % is worse than the untouched model's {first:.1f} %")
        if best and self.is_world_process_zero():
            self.publish(validations, progress)
        if config.patience and progress.stale >= config.patience and not progress.finished:
            progress.finished = "patience"
            self.control.should_training_stop = True
        self.control.should_save = not progress.finished

    def _tell(self, validations: list[Validation], best: bool) -> None:
        progress = self.progress
        record: dict[str, Any] = {
            "step": progress.step,
            "epochs": progress.epochs,
            "seconds": progress.seconds,
        }
        record["weights"] = "current"
        for validation in validations:
            prefix = "valid" if validation is validations[0] else f"also_{validation.name}"
            record |= validation.record(prefix)
        self._write(record)
        self.listener.validated(record, validations[0].worst, best)

    # -- checkpoints -------------------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        """Replace run/last; a run that is killed meanwhile keeps the old one."""
        self._saved = time.monotonic()
        with self._off_the_clock():
            if self.is_world_process_zero():
                with atomic_folder(self.run / "last") as folder:
                    self.save_model(str(folder), _internal_call=True)
                    self._save_optimizer_and_scheduler(str(folder))
                    self._save_scaler(str(folder))
                    self._save_rng_state(str(folder))
                    self.state.save_to_json(str(folder / "trainer_state.json"))
                    self._save_progress(folder)
            self.accelerator.wait_for_everyone()

    def _save_progress(self, folder: Path) -> None:
        self.progress.log_bytes = self.metrics.flush()
        with atomic_file(folder / PROGRESS, "w") as file:
            file.write(dump_checked(asdict(self.progress)))


class _Watch(TrainerCallback):
    """Passes on what the library's loop says."""

    def __init__(self, trainer: WhisperTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.before_first_step()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.order.epoch = int(state.epoch or 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.after_step()
