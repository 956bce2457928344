"""A run of fine-tuning, from media and their texts to a package: `tx train whisper DATA... -o NAME`.

Before training, one batch passes through training and decoding, so that what cannot work fails within a minute, and
the untouched model is validated. The model with the best normalised word error rate becomes the package.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tx.config.schema import RunConfig
from tx.errors import TxError
from tx.files import recover_folder
from tx.nn.cores import n_cores
from tx.nn.device import peak_memory
from tx.tasks.speech.data import UnreadableItems, write_table
from tx.tasks.speech.dataset import Collator, SpeechDataset
from tx.tasks.speech.distributed import rank, world_size
from tx.tasks.speech.model import prepare_model, unsuppress_text
from tx.tasks.speech.session import Session, SpeechProgress, open_session
from tx.tasks.speech.validation import transcribe
from tx.train.limits import Limits
from tx.train.run import Forecast, Listener
from tx.train.run_folder import check_inputs, clear, save_inputs

if TYPE_CHECKING:
    from tx.tasks.speech.trainer import TrainingArguments, WhisperTrainer

EPOCHS = 10  # if no limit is set
VALIDATIONS = 8  # in a run, if --eval-every is not set
UNLIMITED = 10**7  # steps, for the trainer
HELD_OUT = "valid.jsonl"


@dataclass(frozen=True)
class Plan:
    """The length of a run, and the number of steps between validations."""

    limits: Limits
    steps_per_epoch: int
    eval_every: int


def plan(config: RunConfig, n_items: int) -> Plan:
    """The plan of a run over `n_items`: ten epochs if no limit is set."""
    train, limits = config.train, Limits.of(config.train)
    batches = math.ceil(n_items / (train.batch_size * world_size()))
    per_epoch = math.ceil(batches / train.grad_accum)
    epochs = train.max_epochs or (0 if train.max_steps or train.max_time else EPOCHS)
    steps = min(filter(None, [train.max_steps, epochs * per_epoch]), default=0)
    eval_every = train.eval_every or (math.ceil(steps / VALIDATIONS) if steps else per_epoch)
    return Plan(replace(limits, max_steps=steps, max_epochs=0), per_epoch, eval_every)


@dataclass
class WhisperRun:
    """A run that is ready to train: see `tx.train.run.Run`."""

    session: Session
    dataset: SpeechDataset
    collator: Collator
    unreadable: UnreadableItems
    plan: Plan
    args: "TrainingArguments"
    out: Path
    progress: SpeechProgress
    resume: bool
    forecast: Forecast | None = None
    clock: Callable[[], float] = time.monotonic
    trainer: "WhisperTrainer | None" = None

    def share(self) -> float:
        return self.plan.limits.share(self.progress)

    def current_loss(self) -> float | None:
        loss, n = self.trainer.sums.tolist() if self.trainer else (0.0, 0.0)
        return loss / n if n else None

    def train(self) -> SpeechProgress:
        """Train until a limit is reached or a signal asks to stop.

        Raises TxError if the loss is not finite, or if something cannot be read or written.
        """
        from tx.tasks.speech.trainer import RunCallback, WhisperTrainer

        session, run = self.session, self.out / "run"
        if self.forecast is None:
            return self.progress
        if not self.resume and rank() == 0:
            clear(run)
        self.trainer = WhisperTrainer(
            session, self.dataset, self.collator, self.args, self.progress, self.plan.limits
        )
        callback = RunCallback(
            self.trainer, session, self.out, self.unreadable, self.plan.eval_every, self.clock
        )
        self.trainer.add_callback(callback)
        if not self.resume:
            if rank() == 0:
                save_inputs(run, session.config, texts=())
            callback.score_untouched()
            if rank() == 0 and session.data.held_out:
                write_table(session.data.valid["valid"], run / HELD_OUT)
        unsuppress_text(session.model)
        callback.train(run / "last" if self.resume else None)
        if self.progress.finished:
            self._compare()
        return self.progress

    def _compare(self) -> None:
        """Report the change of the word error rate."""
        before, after = self.progress.untouched["valid_wer"], -self.progress.best_score
        self.session.listener.info(f"WER {before:.1f} % before training, {after:.1f} % after it")
        if after > before:
            self.session.listener.warn(
                f"{self.out} is worse than the model that it started from: try a lower --lr, more data, or "
                "--freeze-encoder"
            )

    # -- before training -----------------------------------------------------------------------------

    def smoke_test(self) -> None:
        """Pass a batch of the longest items through training and decoding, which changes nothing.

        Raises TxError if a batch does not fit into memory.
        """
        session, rows = self.session, self._by_length()[-self.session.config.train.batch_size :]
        try:
            self._pass(rows)
            transcribe(session.model, session.processor, session.data.valid["valid"][:1], 1)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise TxError(
                f"a batch of {len(rows)} items does not fit into memory",
                "use a smaller --batch-size with --grad-accum, --set finetune.checkpointing=true or --lora 16",
            ) from error

    def measure(self) -> Forecast:
        """A forecast from a batch of medium length, and from a batch of validation items."""
        session, limits = self.session, self.plan.limits
        size, n = session.config.train.batch_size, len(self.dataset)
        middle = max(0, n - size) // 2
        rows = self._by_length()[middle : middle + size]
        valid = list(chain.from_iterable(session.data.valid.values()))
        some = valid[: session.valid_batch_size]
        trials = [self._seconds(lambda: self._pass(rows)) for _ in range(2)]
        memory = peak_memory(self.args.device) + 8 * session.n_trained  # AdamW stores two moments of each
        batch = self._seconds(lambda: transcribe(session.model, session.processor, some, len(some)))
        step = session.config.train.grad_accum * min(trials)
        validation = batch * len(valid) / len(some) / world_size()
        pace = step + validation / self.plan.eval_every
        in_time = limits.max_seconds / pace if limits.max_seconds else math.inf
        steps = max(1, int(min(limits.max_steps or math.inf, in_time)))
        return Forecast(
            step, self.plan.steps_per_epoch, steps, steps * pace, memory, self.plan.eval_every, validation
        )

    def _by_length(self) -> list[int]:
        windows = self.dataset.windows
        return sorted(range(len(windows)), key=lambda i: windows[i].end - windows[i].start)

    def _pass(self, rows: list[int]) -> None:
        """Pass items forward and backward through the model; their gradients are discarded."""
        from tx.tasks.speech.trainer import token_loss

        session, device = self.session, self.args.device
        batch = self.collator([self.dataset[i] for i in rows])
        self.unreadable.add(batch.pop("unreadable", {}))
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        session.model.to(device).train()
        labels, low = inputs.pop("labels"), {"fp16": torch.float16}.get(session.precision, torch.bfloat16)
        with torch.autocast(device.type, low, enabled=session.precision != "float32"):
            logits = session.model(**inputs).logits
        loss, n = token_loss(logits, labels)
        (loss / n).backward()
        session.model.zero_grad()

    def _seconds(self, work: Callable[[], object]) -> float:
        start = self.clock()
        work()
        if self.args.device.type == "cuda":
            torch.cuda.synchronize()
        return self.clock() - start


def prepare(
    config: RunConfig,
    out: Path,
    resume: bool,
    listener: Listener,
    clock: Callable[[], float] = time.monotonic,
) -> WhisperRun:
    """Everything up to the first update. Raises TxError for faults in the data, the model or the configuration."""
    last = out / "run" / "last"
    if resume:
        check_inputs(out / "run", config)
        recover_folder(last)
        resume = last.is_dir()  # a run that was killed before its first checkpoint begins again
    session = open_session(config, listener)
    from tx.tasks.speech.trainer import load_progress

    digest = session.data.digest()
    progress = load_progress(last) if resume else SpeechProgress(data=digest)
    if progress.data != digest:
        raise TxError(
            "the data has changed since the run began", "restore it, or start a new run with another -o"
        )
    torch.manual_seed(config.seed)  # for the initial values of adapters
    session.model = prepare_model(session.model, config.finetune)
    whisper, data, finetune = session.model.config, session.data.train, config.finetune
    length = plan(config, len(data))
    run = WhisperRun(
        session,
        SpeechDataset(data, session.labels, finetune, config.seed),
        Collator(whisper.num_mel_bins, whisper.pad_token_id, finetune.audio_window, finetune.spec_augment),
        UnreadableItems(data, listener.warn),
        length,
        training_arguments(session, length.limits, out),
        out,
        progress,
        resume,
        clock=clock,
    )
    if progress.finished and (limit := length.limits.reached(progress)):
        listener.info(f"this run is finished ({limit}); to continue, raise --{limit.replace('_', '-')}")
        return run
    progress.finished = ""
    total = sum(p.numel() for p in session.model.parameters())
    part = "" if session.n_trained == total else f" of {total:,}"
    listener.info(
        f"{session.n_trained:,}{part} parameters are trained, with a learning rate of {session.lr:g}"
    )
    run.smoke_test()
    run.forecast = run.measure()
    return run


def training_arguments(session: Session, limits: Limits, out: Path) -> "TrainingArguments":
    """The arguments of transformers' trainer; logging, validation and saving are left to `RunCallback`."""
    from tx.tasks.speech.trainer import TrainingArguments

    config, train = session.config, session.config.train
    cpu = session.device.type == "cpu"
    return TrainingArguments(
        output_dir=str(out / "run" / "unfinished"),
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=train.grad_accum,
        learning_rate=session.lr,
        weight_decay=train.weight_decay,
        adam_beta2=train.beta2,
        max_grad_norm=train.clip_norm,
        max_steps=limits.max_steps or UNLIMITED,
        seed=config.seed,
        bf16=session.precision == "bf16",
        fp16=session.precision == "fp16",
        use_cpu=cpu,
        ddp_backend="gloo" if cpu and world_size() > 1 else None,
        dataloader_num_workers=0 if cpu else min(8, max(1, n_cores() - 1)),
        dataloader_pin_memory=not cpu,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        log_level="error",
        log_level_replica="error",
        ddp_find_unused_parameters=False if world_size() > 1 else None,
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
    )
