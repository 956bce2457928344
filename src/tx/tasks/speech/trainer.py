"""transformers' Seq2SeqTrainer, extended by its documented arguments, overridable methods and callbacks.

`WhisperTrainer` defines an update: the order of the data, the loss, the learning rate. The loss is summed and divided
once by the number of labels of the whole update, over accumulated batches and all processes, so that every token has
the same weight. `RunCallback` does what follows an update: log, validation, checkpoints, and the end of the run.

A checkpoint is the one that transformers writes and resumes from, moved to run/last once it is complete.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from tx.checksums import damaged_run_file, dump_checked, load_checked
from tx.errors import TxError
from tx.files import atomic_file, atomic_folder, remove, write_errors
from tx.nn.device import peak_memory
from tx.tasks.speech.data import UnreadableItems
from tx.tasks.speech.dataset import IGNORED, Collator, EpochSampler, SpeechDataset
from tx.tasks.speech.distributed import all_gather, all_max
from tx.tasks.speech.session import Session, SpeechProgress
from tx.tasks.speech.validation import Validation
from tx.train.limits import Limits
from tx.train.log import Log
from tx.train.schedule import learning_rate
from tx.train.signals import StopSignal

PROGRESS = "progress.json"
SAVE_EVERY = 600.0  # seconds between checkpoints where validations are further apart


def load_progress(folder: Path) -> SpeechProgress:
    """The progress in a checkpoint. Raises TxError if there is none, or it is damaged."""
    try:
        values = load_checked(folder / PROGRESS)
        if "best_wer" in values:  # the names of earlier versions
            values |= {"untouched": values.pop("first"), "best_score": -100 * values.pop("best_wer")}
        return SpeechProgress(**values)
    except FileNotFoundError as error:
        raise TxError(f"there is no checkpoint in {folder}", "start again with --overwrite") from error
    except TypeError as error:
        raise damaged_run_file(folder / PROGRESS) from error


class TrainingArguments(Seq2SeqTrainingArguments):
    """Arguments for at most one GPU in a process: several GPUs need torchrun, and are not used by threads."""

    @property
    def n_gpu(self) -> int:
        return min(1, int(super().n_gpu))


def token_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The summed cross-entropy loss of a batch, and the number of its labels."""
    logits = logits.flatten(0, 1).float()
    loss = F.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED, reduction="sum")
    return loss, (labels != IGNORED).sum()


class WhisperTrainer(Seq2SeqTrainer):
    """A Seq2SeqTrainer with tx's data order, loss and learning-rate schedule."""

    def __init__(
        self,
        session: Session,
        dataset: SpeechDataset,
        collator: Collator,
        args: TrainingArguments,
        progress: SpeechProgress,
        limits: Limits,
    ) -> None:
        super().__init__(
            model=session.model,
            args=args,
            train_dataset=dataset,
            data_collator=collator,
            processing_class=session.processor,
            compute_loss_func=self._loss,
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False  # the model does not compute the loss
        self.config, self.dataset = session.config.train, dataset
        self.progress, self.limits = progress, limits
        self.sampler = EpochSampler(dataset.windows, args.per_device_train_batch_size, args.seed)
        self.sums = torch.zeros(2, dtype=torch.float64)  # loss and labels since the last line of the log
        self.unreadable: dict[int, str] = {}  # found since the last update

    def _loss(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """The loss of a batch, divided by the number of labels of its whole update."""
        loss, n = token_loss(outputs.logits, labels)
        self.sums = self.sums.to(loss.device) + torch.stack([loss.detach().double(), n])
        return loss / (n if num_items_in_batch is None else num_items_in_batch)

    def get_train_dataloader(self) -> DataLoader:
        args = self.args
        loader = DataLoader(
            self.dataset,
            batch_size=args.per_device_train_batch_size,
            sampler=self.sampler,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[dict[str, Any]], Any]:
        """The batches of an update, without the items that prove unreadable; none once training should stop."""
        if self.control.should_training_stop:
            return [], None
        batches, n_labels = super().get_batch_samples(*args, **kwargs)
        for batch in batches:
            self.unreadable |= batch.pop("unreadable", {})
        return batches, n_labels

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        def factor(step: int) -> float:
            share = self.limits.share(replace(self.progress, step=step))
            return learning_rate(self.config.schedule, step + 1, share, 1.0, self.config.warmup_steps)

        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)  # type: ignore[arg-type]
        return self.lr_scheduler


class RunCallback(TrainerCallback):
    """Logs, validates, saves and ends the run of a trainer; writes to the folder `run` of the package `out`."""

    def __init__(
        self,
        trainer: WhisperTrainer,
        session: Session,
        out: Path,
        unreadable: UnreadableItems,
        eval_every: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trainer, self.session, self.out, self.run = trainer, session, out, out / "run"
        self.unreadable, self.eval_every, self.clock = unreadable, eval_every, clock
        self.progress, self.limits, self.listener = trainer.progress, trainer.limits, session.listener
        self.is_main = trainer.is_world_process_zero()
        config = session.config.train
        self.config, self.log = config, Log(self.run / "metrics.jsonl", config.tensorboard and self.is_main)
        self.stop = StopSignal()
        self._began = self._saved = self._step_ended = clock()
        self._excluded = 0.0  # seconds of validation and saving, which are no part of a step
        self._logged = (0, 0.0)  # step, and seconds without the excluded ones, of the last line of the log

    def train(self, checkpoint: Path | None) -> None:
        """Train, from the state in `checkpoint` if there is one.

        Raises TxError if the loss is not finite, or if something cannot be read or written.
        """
        if self.is_main:
            self.log.truncate(self.progress.log_bytes)
        self._saved = self.clock()
        self._began = self._saved - self.progress.seconds
        try:
            with self.stop, write_errors(self.run, inside=self.run):
                self.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
                if self.progress.finished and self.is_main:
                    self._save_progress(self.run / "last")
        finally:
            self.log.close()

    # -- events of the trainer -----------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Repeat a validation that a signal interrupted; it may be all that is missing."""
        progress = self.progress
        limit = self.limits.reached(progress)
        due = limit or progress.step % self.eval_every == 0
        if due and progress.step and progress.evaluated != progress.step:
            self._validate(control)
        if limit:
            control.should_training_stop = True
        self._logged = (progress.step, self._step_seconds())

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.sampler.set_epoch(int(state.epoch or 0))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        progress, now = self.progress, self.clock()
        progress.step, progress.epochs = state.global_step, float(state.epoch or 0.0)
        progress.seconds = now - self._began
        if progress.step % self.config.log_every == 0 or progress.step == self.limits.max_steps:
            self._log(kwargs["lr_scheduler"].get_last_lr()[0])
        found, self.trainer.unreadable = self.trainer.unreadable, {}
        # The same in all processes, which must agree on what to do next.
        stopped, progress.seconds, unsaved, unreadable = all_max(
            [self.stop.requested, progress.seconds, now - self._saved, bool(found)], args.device
        )
        limit = self.limits.reached(progress)
        if unreadable:
            self.unreadable.add({i: why for part in all_gather(found) for i, why in part.items()})
        if stopped:
            control.should_training_stop = control.should_save = True
        elif limit or progress.step % self.eval_every == 0:
            self._validate(control)
        else:
            control.should_save = unsaved > SAVE_EVERY
        self._step_ended = self.clock()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Replace run/last by the checkpoint that the trainer has written; a run that is killed keeps the old one."""
        self.trainer.accelerator.wait_for_everyone()
        if self.is_main:
            with atomic_folder(self.run / "last") as folder:
                for file in Path(str(get_last_checkpoint(args.output_dir))).iterdir():
                    file.replace(folder / file.name)
                self._save_progress(folder)
            remove(Path(args.output_dir))
        self.trainer.accelerator.wait_for_everyone()
        self._saved = self.clock()
        self._excluded += self._saved - self._step_ended

    def _save_progress(self, folder: Path) -> None:
        self.progress.log_bytes = self.log.flush()
        with atomic_file(folder / PROGRESS, "w") as file:
            file.write(dump_checked(asdict(self.progress)))

    # -- the log -------------------------------------------------------------------------------------

    def _step_seconds(self) -> float:
        return self.clock() - self._began - self._excluded

    @contextmanager
    def _exclude_from_steps(self) -> Iterator[None]:
        began = self.clock()
        try:
            yield
        finally:
            self._excluded += self.clock() - began

    def _log(self, lr: float) -> None:
        progress, (step, seconds), now = self.progress, self._logged, self._step_seconds()
        loss, n = self.trainer.accelerator.reduce(self.trainer.sums.to(self.trainer.args.device)).tolist()
        self.trainer.sums.zero_()
        self._logged, elapsed = (progress.step, now), max(now - seconds, 1e-9)
        progress.tokens += int(n)
        if not math.isfinite(loss):
            raise TxError(
                f"the loss is not finite at step {progress.step:,}",
                "start again with a lower learning rate (--lr); the best model so far is in the package",
            )
        record = {
            "step": progress.step,
            "epochs": progress.epochs,
            "loss": loss / max(n, 1),
            "lr": lr,
            "tokens_per_s": n / elapsed,
            "s_per_step": elapsed / max(progress.step - step, 1),
            "seconds": progress.seconds,
            "memory": peak_memory(self.trainer.args.device),
        }
        if self.is_main:
            self.log.write(record)
        self.listener.train(record | {"share": self.limits.share(progress)})

    # -- validation ----------------------------------------------------------------------------------

    def score_untouched(self) -> None:
        """Validate the model before training."""
        validations = self.session.validate()
        self.progress.untouched = validations[0].record()
        self._report(validations, best=False)
        self.progress.log_bytes = self.log.flush()

    def _validate(self, control: Any) -> None:
        """Validate the model and publish it if it is the best so far; a signal stops the run at once."""
        try:
            with self._exclude_from_steps(), self.stop.at_once():
                validations = self.session.validate()
        except KeyboardInterrupt:
            control.should_training_stop = control.should_save = True
            return
        with self._exclude_from_steps():
            self._evaluate(validations)
        control.should_save = True
        control.should_training_stop = bool(self.progress.finished)

    def _evaluate(self, validations: list[Validation]) -> None:
        progress, values = self.progress, validations[0].record()
        wer, untouched = values["valid_wer"], progress.untouched["valid_wer"]
        best = -wer > progress.best_score
        progress.evaluated, progress.stale = progress.step, 0 if best else progress.stale + 1
        if best:
            progress.best_score, progress.best_step, progress.best_values = -wer, progress.step, values
            progress.best_weights = "current"
        [progress.seconds] = all_max([self.clock() - self._began], self.trainer.args.device)
        progress.finished = self.limits.reached(progress)
        self._report(validations, best)
        if wer > untouched:
            self.listener.warn(f"WER {wer:.1f} % is worse than the untouched model's {untouched:.1f} %")
        if best and self.is_main:
            self.session.publish(validations, progress, self.out)

    def _report(self, validations: list[Validation], best: bool) -> None:
        progress = self.progress
        record: dict[str, Any] = {"step": progress.step, "epochs": progress.epochs}
        record |= {"seconds": progress.seconds, "weights": "current"}
        for validation in validations:
            prefix = "valid" if validation is validations[0] else f"also_{validation.name}"
            record |= validation.record(prefix)
        if self.is_main:
            self.log.write(record)
        self.listener.validated(record, validations[0].worst, best)
