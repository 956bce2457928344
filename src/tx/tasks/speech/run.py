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

import torch

from tx.errors import TxError
from tx.files import recover_folder
from tx.nn.device import peak_memory
from tx.tasks.speech.config import Config
from tx.tasks.speech.distributed import world_size
from tx.tasks.speech.model import token_loss
from tx.tasks.speech.session import Session, SpeechProgress, open_session
from tx.tasks.speech.validation import transcribe
from tx.training.limits import Limits
from tx.training.run import Forecast, Listener, Run
from tx.training.run_folder import check_inputs

EPOCHS = 10  # if no limit is set
VALIDATIONS = 8  # in a run, if --eval-every is not set


@dataclass(frozen=True)
class Plan:
    """The length of a run, and the number of steps between validations."""

    limits: Limits
    steps_per_epoch: int
    eval_every: int


def plan(config: Config, n_items: int) -> Plan:
    """The plan of a run over `n_items`: ten epochs if no limit is set."""
    train, limits = config.train, Limits.of(config.train)
    batches = math.ceil(n_items / (train.batch_size * world_size()))
    per_epoch = math.ceil(batches / train.grad_accum)
    epochs = train.max_epochs or (0 if train.max_steps or train.max_time else EPOCHS)
    steps = min(filter(None, [train.max_steps, epochs * per_epoch]), default=0)
    eval_every = train.eval_every or (math.ceil(steps / VALIDATIONS) if steps else per_epoch)
    return Plan(replace(limits, max_steps=steps, max_epochs=0), per_epoch, eval_every)


def prepare(
    config: Config,
    out: Path,
    resume: bool,
    listener: Listener,
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Everything up to the first update. Raises TxError for faults in the data, the model or the configuration."""
    last = out / "run" / "last"
    if resume:
        check_inputs(out / "run", config)
        recover_folder(last)
        resume = last.is_dir()  # a run that was killed before its first checkpoint begins again
    session = open_session(config, listener)
    from tx.tasks.speech.trainer import WhisperRun, load_progress  # they need transformers

    digest = session.data.digest()
    progress = load_progress(last) if resume else SpeechProgress(data=digest)
    if progress.data != digest:
        raise TxError(
            "the data has changed since the run began", "restore it, or start a new run with another -o"
        )
    length = plan(config, len(session.dataset))
    run = WhisperRun(session, length.limits, length.eval_every, out, progress, resume, clock=clock)
    if progress.finished and (limit := length.limits.reached(progress)):
        listener.info(f"this run is finished ({limit}); to continue, raise --{limit.replace('_', '-')}")
        return run
    progress.finished = ""
    trained, total = session.n_trained, sum(p.numel() for p in session.model.parameters())
    part = "" if trained == total else f" of {total:,}"
    listener.info(f"{trained:,}{part} parameters are trained, with a learning rate of {session.lr:g}")
    smoke_test(session)
    run.forecast = measure(session, length, clock)
    return run


def smoke_test(session: Session) -> None:
    """Pass a batch of the longest items through training and decoding, which changes nothing.

    Raises TxError if a batch does not fit into memory.
    """
    rows = _by_length(session)[-session.config.train.batch_size :]
    try:
        _pass(session, rows)
        transcribe(session.model, session.processor, session.data.valid["valid"][:1], 1)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TxError(
            f"a batch of {len(rows)} items does not fit into memory",
            "use a smaller --batch-size with --grad-accum, --set finetune.checkpointing=true or --lora 16",
        ) from error


def measure(session: Session, plan: Plan, clock: Callable[[], float]) -> Forecast:
    """A forecast from a batch of medium length, and from a batch of validation items."""

    def seconds(work: Callable[[], object]) -> float:
        start = clock()
        work()
        if session.device.type == "cuda":
            torch.cuda.synchronize()
        return clock() - start

    train, limits = session.config.train, plan.limits
    middle = max(0, len(session.dataset) - train.batch_size) // 2
    rows = _by_length(session)[middle : middle + train.batch_size]
    valid = list(chain.from_iterable(session.data.valid.values()))
    some = valid[: session.valid_batch_size]
    step = train.grad_accum * min(seconds(lambda: _pass(session, rows)) for _ in range(2))
    memory = peak_memory(session.device) + 8 * session.n_trained  # AdamW stores two moments of each
    batch = seconds(lambda: transcribe(session.model, session.processor, some, len(some)))
    validation = batch * len(valid) / len(some) / world_size()
    pace = step + validation / plan.eval_every
    in_time = limits.max_seconds / pace if limits.max_seconds else math.inf
    steps = max(1, int(min(limits.max_steps or math.inf, in_time)))
    return Forecast(step, plan.steps_per_epoch, steps, steps * pace, memory, plan.eval_every, validation)


def _by_length(session: Session) -> list[int]:
    windows = session.data.train
    return sorted(range(len(windows)), key=lambda i: windows[i].end - windows[i].start)


def _pass(session: Session, rows: list[int]) -> None:
    """Pass items forward and backward through the model; their gradients are discarded."""
    device = next(session.model.parameters()).device
    batch = session.collator([session.dataset[i] for i in rows])
    session.unreadable.add(batch.pop("unreadable", {}))
    inputs = {name: tensor.to(device) for name, tensor in batch.items()}
    session.model.train()
    labels, low = inputs.pop("labels"), {"fp16": torch.float16}.get(session.precision, torch.bfloat16)
    with torch.autocast(device.type, low, enabled=session.precision != "float32"):
        logits = session.model(**inputs).logits
    loss, n = token_loss(logits, labels)
    (loss / n).backward()
    session.model.zero_grad()
