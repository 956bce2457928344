"""A run of fine-tuning, from media with their text to a package: what `tx train whisper DATA... -o NAME` does.

The untouched model is scored first, and one batch goes through training and generation before that: what cannot work
fails within a minute, not at the first validation. The best by normalised word error rate becomes the package.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from tx.config.duration import format_duration, parse_duration
from tx.config.schema import RunConfig
from tx.errors import TxError
from tx.files import recover_folder
from tx.nn.cores import n_cores
from tx.nn.device import peak_memory
from tx.tasks.speech.batch import Collator, Examples, Order
from tx.tasks.speech.data import write_table
from tx.tasks.speech.model import lift_suppression, prepare
from tx.tasks.speech.ranks import rank, world_size
from tx.tasks.speech.session import Session, open_session
from tx.tasks.speech.validate import generate
from tx.train.run import Forecast
from tx.train.run_folder import check_inputs, clear, save_inputs

EPOCHS = 10  # where no limit is given
VALIDATIONS = 8  # in a run, where nothing else is asked for
UNLIMITED = 10**7  # steps, where time is the limit
HELD_OUT = "valid.jsonl"


@dataclass(frozen=True)
class Plan:
    """How long, and how often to look."""

    steps: int
    per_epoch: int
    eval_every: int
    max_seconds: float


def plan(config: RunConfig, n_items: int) -> Plan:
    """The limits of a run over `n_items`: whichever is reached first; ten epochs where none is given."""
    train = config.train
    batches = math.ceil(n_items / (train.batch_size * world_size()))
    per_epoch = math.ceil(batches / train.grad_accum)
    limits = [n for n in (train.max_steps, train.max_epochs * per_epoch) if n]
    steps = min(limits, default=UNLIMITED if train.max_time else EPOCHS * per_epoch)
    chosen = per_epoch if steps == UNLIMITED else math.ceil(steps / VALIDATIONS)
    return Plan(
        steps,
        per_epoch,
        train.eval_every or chosen,
        parse_duration(train.max_time) if train.max_time else 0.0,
    )


def make_trainer(session: Session, out: Path) -> Any:
    """The trainer of a session whose run is in `out`/run."""
    from transformers import Seq2SeqTrainingArguments

    from tx.tasks.speech.trainer import WhisperTrainer

    config, train, finetune = session.config, session.config.train, session.config.finetune
    limits = plan(config, len(session.data.train))
    cpu = session.device.type == "cpu"
    args = Seq2SeqTrainingArguments(
        output_dir=str(out / "run"),
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=train.grad_accum,
        learning_rate=session.lr,
        weight_decay=train.weight_decay,
        adam_beta2=train.beta2,
        max_grad_norm=train.clip_norm,
        max_steps=limits.steps,
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
    args._n_gpu = min(1, args.n_gpu)  # several GPUs are for torchrun, not for threads
    examples = Examples(session.data.train, session.labels, finetune, config.seed)
    spoken = session.model.config
    return WhisperTrainer(
        session.model,
        session.processor,
        examples,
        Collator(spoken.num_mel_bins, spoken.pad_token_id, finetune.audio_window, finetune.spec_augment),
        Order(session.data.train, train.batch_size, config.seed),
        args,
        train,
        out / "run",
        limits.max_seconds,
        limits.eval_every,
        session.validate,
        lambda validations, progress: session.publish(validations, progress, out),
        session.listener,
    )


def smoke(trainer: Any, session: Session) -> None:
    """One batch of the longest items through training and generation: what cannot work fails now, not in an hour.

    Nothing is changed by it. Raises TxError if the machine has too little memory for such a batch.
    """
    rows = _by_length(session)[-session.config.train.batch_size :]
    try:
        _pass(trainer, session, rows)
        generate(session.model, session.processor, session.data.valid["valid"][:1], 1)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TxError(
            f"a batch of {len(rows)} items does not fit into memory",
            "use a smaller --batch-size with --grad-accum, --set finetune.checkpointing=true or --lora 16",
        ) from error


def _by_length(session: Session) -> list[int]:
    windows = session.data.train
    return sorted(range(len(windows)), key=lambda i: windows[i].end - windows[i].start)


def _pass(trainer: Any, session: Session, rows: list[int]) -> None:
    """Items forward and backward through the model; their gradients are forgotten."""
    batch = trainer.data_collator([trainer.train_dataset[i] for i in rows])
    trainer.unheard.add(batch.pop("unheard", {}))
    inputs = {name: tensor.to(session.device) for name, tensor in batch.items()}
    session.model.to(session.device).train()
    labels, low = inputs.pop("labels"), {"fp16": torch.float16}.get(session.precision, torch.bfloat16)
    with torch.autocast(session.device.type, low, enabled=session.precision != "float32"):
        outputs = session.model(**inputs)
    trainer._token_loss(outputs, labels).backward()
    session.model.zero_grad()
    trainer._sums.zero_()


def train_whisper(config: RunConfig, out: Path, resume: bool, listener: Any) -> Any:
    """Fine-tune into the package `out`, whose run folder is claimed, or go on with the run there.

    Returns where the run stands at its end. Raises TxError for faults in the data, the model or the configuration.
    """
    from tx.tasks.speech.trainer import Progress, load_progress

    run = out / "run"
    progress = Progress()
    if resume:
        check_inputs(run, config)
        recover_folder(run / "last")
        resume = (run / "last").is_dir()  # a run that was killed before its first checkpoint begins anew
    if resume:
        progress = load_progress(run / "last")
    session = open_session(config, listener)
    digest = session.data.digest()
    if resume and progress.data != digest:
        raise TxError(
            "the data has changed since the run began", "bring it back, or start a new run with another -o"
        )
    if resume and _is_over(progress, config, len(session.data.train)):
        listener.info(
            "this run is finished; a larger --max-steps, --max-epochs or --patience goes on with it"
        )
        return progress
    torch.manual_seed(config.seed)  # adapters begin at random
    session.model = prepare(session.model, config.finetune)
    trainer = make_trainer(session, out)
    _tell_plan(session, listener)
    if resume:
        progress.finished = ""
        lift_suppression(session.model)
        return trainer.start(run / "last", progress)
    if rank() == 0:
        clear(run)
    smoke(trainer, session)
    progress.data = digest
    trainer.progress = progress
    if rank() == 0:
        save_inputs(run, config, texts=())
    trainer.score_first()
    if rank() == 0 and session.data.held_out:
        write_table(session.data.valid["valid"], run / HELD_OUT)
    lift_suppression(session.model)
    return trainer.start(None, progress)


def _is_over(progress: Any, config: RunConfig, n_items: int) -> bool:
    """Whether a run that had ended would end at once with the limits that it has now."""
    limits, patience = plan(config, n_items), config.train.patience
    impatient = progress.finished == "patience" and 0 < patience <= progress.stale
    late = 0 < limits.max_seconds <= progress.seconds
    return bool(progress.finished) and (progress.step >= limits.steps or late or impatient)


def _tell_plan(session: Session, listener: Any) -> None:
    trained, total = session.n_parameters
    limits = plan(session.config, len(session.data.train))
    share = "" if trained == total else f" of {total:,}"
    steps = "" if limits.steps == UNLIMITED else f"{limits.steps:,} steps, "
    listener.info(
        f"{trained:,}{share} parameters to train at {session.lr:g}; {steps}{limits.per_epoch:,} in an "
        f"epoch, validation every {limits.eval_every:,}"
    )


def forecast(config: RunConfig, listener: Any) -> None:
    """Say what a run would be, how long it would take and in how much memory; nothing is trained or kept.

    Raises TxError as a run does.
    """
    session = open_session(config, listener)
    session.model = prepare(session.model, config.finetune)
    _tell_plan(session, listener)
    with TemporaryDirectory() as folder:
        trainer = make_trainer(session, Path(folder))
        smoke(trainer, session)
        told, validation = _timed(trainer, session)
    listener.info(f"{told}; {format_duration(validation)} a validation")


def _timed(trainer: Any, session: Session) -> tuple[Forecast, float]:
    """A forecast from a batch of middling length, and the seconds of a validation from one batch of its items."""
    train, limits = session.config.train, plan(session.config, len(session.data.train))
    middle = max(0, len(session.data.train) - train.batch_size) // 2
    rows = _by_length(session)[middle : middle + train.batch_size]
    valid = list(chain.from_iterable(session.data.valid.values()))
    some = valid[: session.valid_batch_size]

    def seconds(work: Callable[[], object]) -> float:
        start = time.monotonic()
        work()
        if session.device.type == "cuda":
            torch.cuda.synchronize()
        return time.monotonic() - start

    step = train.grad_accum * min(seconds(lambda: _pass(trainer, session, rows)) for _ in range(2))
    trained = session.n_parameters[0]
    memory = peak_memory(session.device) + 8 * trained  # AdamW keeps two moments of each
    batch = seconds(lambda: generate(session.model, session.processor, some, len(some)))
    validation = batch * len(valid) / len(some) / world_size()
    pace = step + validation / limits.eval_every
    in_time = limits.max_seconds / pace if limits.max_seconds else math.inf
    steps = max(1, int(min(limits.steps, in_time)))
    return Forecast(step, limits.per_epoch, steps, steps * pace, memory), validation
