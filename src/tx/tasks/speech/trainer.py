"""transformers' Seq2SeqTrainer, extended by its documented arguments, overridable methods and callbacks.

`WhisperTrainer` defines an update: the order of the data, the loss, the learning rate. The loss is summed and divided
once by the number of labels of the whole update, over accumulated batches and all processes, so that every token has
the same weight. `WhisperRun` is the callback that does the rest: log, validation, checkpoints, the end of a run.

A checkpoint is the one that transformers writes and resumes from, moved to run/last once it is complete.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from tx.checksums import damaged_run_file, dump_checked, load_checked
from tx.errors import TxError
from tx.files import atomic_file, atomic_folder, remove, write_errors
from tx.nn.cores import n_cores
from tx.nn.device import peak_memory
from tx.tasks.speech.data import write_table
from tx.tasks.speech.dataset import EpochSampler
from tx.tasks.speech.distributed import all_gather, all_max, world_size
from tx.tasks.speech.model import token_loss, unsuppress_text
from tx.tasks.speech.session import Session, SpeechProgress
from tx.tasks.speech.validation import Validation
from tx.training.limits import Limits
from tx.training.log import Log
from tx.training.run import Forecast
from tx.training.run_folder import clear, save_inputs
from tx.training.schedule import learning_rate
from tx.training.signals import StopSignal

PROGRESS = "progress.json"
HELD_OUT, UNFINISHED = "valid.jsonl", "unfinished"
SAVE_EVERY = 600.0  # seconds between checkpoints where validations are further apart
UNLIMITED = 10**7  # steps, for transformers


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


def training_arguments(session: Session, max_steps: int, folder: Path) -> TrainingArguments:
    """The arguments of a trainer that saves checkpoints to `folder`, and whose log and schedule are tx's."""
    config, train = session.config, session.config.train
    cpu, distributed = session.device.type == "cpu", world_size() > 1
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=train.grad_accum,
        learning_rate=session.lr,
        weight_decay=train.weight_decay,
        adam_beta2=train.beta2,
        max_grad_norm=train.clip_norm,
        max_steps=max_steps,
        seed=config.seed,
        bf16=session.precision == "bf16",
        fp16=session.precision == "fp16",
        use_cpu=cpu,
        ddp_backend="gloo" if cpu and distributed else None,
        ddp_find_unused_parameters=False if distributed else None,
        dataloader_num_workers=0 if cpu else min(8, max(1, n_cores() - 1)),
        dataloader_pin_memory=not cpu,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        log_level="error",
        log_level_replica="error",
        disable_tqdm=True,
        remove_unused_columns=False,
    )


class WhisperTrainer(Seq2SeqTrainer):
    """A Seq2SeqTrainer with tx's data order, loss and learning-rate schedule."""

    def __init__(
        self, session: Session, args: TrainingArguments, limits: Limits, progress: SpeechProgress
    ) -> None:
        super().__init__(
            model=session.model,
            args=args,
            train_dataset=session.dataset,
            data_collator=session.collator,
            processing_class=session.processor,
            compute_loss_func=self.scaled_loss,
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False  # the model does not compute the loss
        self.session, self.limits, self.progress = session, limits, progress
        self.sampler = EpochSampler(session.data.train, args.per_device_train_batch_size, args.seed)
        self.sums = torch.zeros(2, dtype=torch.float64)  # loss and labels since the last line of the log
        self.unreadable: dict[int, str] = {}  # found since the last update

    def scaled_loss(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """The loss of a batch, divided by the number of labels of its whole update."""
        loss, n = token_loss(outputs.logits, labels)
        self.sums = self.sums.to(loss.device) + torch.stack([loss.detach().double(), n])
        return loss / (n if num_items_in_batch is None else num_items_in_batch)

    def get_train_dataloader(self) -> DataLoader:
        args = self.args
        loader = DataLoader(
            self.session.dataset,
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
        config = self.session.config.train

        def factor(step: int) -> float:
            share = self.limits.share(replace(self.progress, step=step))
            return learning_rate(config.schedule, step + 1, share, 1.0, config.warmup_steps)

        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)  # type: ignore[arg-type]
        return self.lr_scheduler


@dataclass(eq=False)
class WhisperRun(TrainerCallback):
    """A `Run` that is ready to train: it logs, validates, saves and stops after the updates of the trainer."""

    session: Session
    limits: Limits
    eval_every: int
    out: Path
    progress: SpeechProgress
    resume: bool
    forecast: Forecast | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.folder, self.config = self.out / "run", self.session.config
        self.listener = self.session.listener
        args = training_arguments(self.session, self.limits.max_steps or UNLIMITED, self.folder / UNFINISHED)
        self.trainer = WhisperTrainer(self.session, args, self.limits, self.progress)
        self.trainer.add_callback(self)
        remove(self.folder / UNFINISHED)  # created by the trainer, and needed only for checkpoints
        self.is_main = self.trainer.is_world_process_zero()
        self.log = Log(self.folder / "metrics.jsonl", self.config.train.tensorboard and self.is_main)
        self.stop = StopSignal()
        self._began = self._saved = self._step_ended = 0.0
        self._excluded = 0.0  # seconds of validation and saving, which are not part of a step
        self._logged = (0, 0.0)  # step, and seconds without the excluded ones, of the last line of the log

    def share(self) -> float:
        return self.limits.share(self.progress)

    def current_loss(self) -> float | None:
        loss, n = self.trainer.sums.tolist()
        return loss / n if n else None

    def train(self) -> SpeechProgress:
        """Train until a limit is reached or a signal asks to stop.

        Raises TxError if the loss is not finite, or if something cannot be read or written.
        """
        if self.forecast is None:
            return self.progress
        last = str(self.folder / "last") if self.resume else None
        try:
            if not self.resume:
                self._start()
            elif self.is_main:
                self.log.truncate(self.progress.log_bytes)
            unsuppress_text(self.session.model)
            self._saved = self.clock()
            self._began = self._saved - self.progress.seconds
            with self.stop, write_errors(self.folder, inside=self.folder):
                self.trainer.train(resume_from_checkpoint=last)
                if self.progress.finished and self.is_main:
                    self._save_progress(self.folder / "last")
        finally:
            self.log.close()
        if self.progress.finished:
            before, after = self.progress.untouched["valid_wer"], -self.progress.best_score
            self.listener.info(f"WER {before:.1f} % before training, {after:.1f} % after it")
            if after > before:
                advice = "try a lower --lr, more data, or --freeze-encoder"
                self.listener.warn(f"{self.out} is worse than the model that it started from: {advice}")
        return self.progress

    def _start(self) -> None:
        """Begin the run in its folder, and validate the untouched model."""
        if self.is_main:
            clear(self.folder)
            save_inputs(self.folder, self.config)
        validations = self.session.validate()
        self.progress.untouched = validations[0].record()
        self._report(validations, best=False)
        self.progress.log_bytes = self.log.flush()
        if self.is_main and self.session.data.held_out:
            write_table(self.session.data.valid["valid"], self.folder / HELD_OUT)

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
        if progress.step % self.config.train.log_every == 0 or progress.step == self.limits.max_steps:
            self._log(kwargs["lr_scheduler"].get_last_lr()[0])
        found, self.trainer.unreadable = self.trainer.unreadable, {}
        # The same in all processes, which must agree on what to do next.
        stopped, progress.seconds, unsaved, unreadable = all_max(
            [self.stop.requested, progress.seconds, now - self._saved, bool(found)], args.device
        )
        limit = self.limits.reached(progress)
        if unreadable:
            self.session.unreadable.add({i: why for part in all_gather(found) for i, why in part.items()})
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
            with atomic_folder(self.folder / "last") as folder:
                for file in Path(str(get_last_checkpoint(str(self.folder / UNFINISHED)))).iterdir():
                    file.replace(folder / file.name)
                self._save_progress(folder)
            remove(self.folder / UNFINISHED)
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
        self.listener.train(record | {"share": self.share()})

    # -- validation ----------------------------------------------------------------------------------

    def _validate(self, control: Any) -> None:
        """Validate the model and publish it if it is the best so far; a signal stops the run at once."""
        began = self.clock()
        try:
            with self.stop.at_once():
                validations = self.session.validate()
        except KeyboardInterrupt:
            control.should_training_stop = control.should_save = True
            return
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
        control.should_save, control.should_training_stop = True, bool(progress.finished)
        self._excluded += self.clock() - began

    def _report(self, validations: list[Validation], best: bool) -> None:
        progress = self.progress
        record: dict[str, Any] = {"step": progress.step, "epochs": progress.epochs}
        record |= {"seconds": progress.seconds, "weights": "current"}
        for validation in validations:
            is_first = validation is validations[0]
            record |= validation.record("valid" if is_first else f"also_{validation.name}")
        if self.is_main:
            self.log.write(record)
        self.listener.validated(record, validations[0].worst, best)
