"""From a configuration to a run of the training loop, for every task that trains a model of tx with it.

The order: device, data and model (which the task sets up), forecast, the loop. Faults in the data are found before
anything is written; then all that a resumed run needs is stored in the package's run/ folder, and the package itself
holds the best model so far.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from torch import nn

from tx.config.schema import LoopConfig
from tx.errors import TxError
from tx.models import model_config, weights_of
from tx.nn.device import choose_device, keep_freed_memory, prefer_fast_matmul, set_threads
from tx.package import WEIGHTS, Package, update_package
from tx.package.write import Saveable
from tx.training.forecast import TRIALS, forecast
from tx.training.loop import BatchSampler, Evaluation, LoopProgress, Trainer
from tx.training.run import Forecast, Listener
from tx.training.run_folder import check_inputs, clear, save_config, save_inputs

C = TypeVar("C", bound=LoopConfig)
TOKENIZER = "tokenizer"  # in the run folder: a package with the tokenizers, for `--resume`


@dataclass
class TrainingSetup:
    """A model, its data, and the description of both for the package."""

    tokenizers: Mapping[str, Saveable]  # by their names in the package
    model: nn.Module
    sampler: BatchSampler
    evaluate: Callable[[], Evaluation]
    report: dict[str, Any]  # on the training data
    # Values of an evaluation that the package lists: {"valid_loss": "loss"}, the most important first.
    scores: Mapping[str, str]
    measured_on: str  # "validation, greedy"
    decode: dict[str, Any] = field(default_factory=dict)  # options of the search that the package stores
    evaluation_cost: float = 0.0  # of a validation, in updates; 0: unknown


@dataclass
class LoopRun:
    """A run of the loop that is ready to train: see `tx.training.run.Run`."""

    config: LoopConfig
    setup: TrainingSetup
    trainer: Trainer
    forecast: Forecast | None
    warmup_steps: int
    resume: bool
    started: float  # when the preparation began

    @property
    def progress(self) -> LoopProgress:
        return self.trainer.progress

    def share(self) -> float:
        return self.trainer.limits.share(self.trainer.progress)

    def current_loss(self) -> float | None:
        return self.trainer.current_loss()

    def train(self) -> LoopProgress:
        """Begin the run in its folder, or resume it there, and train; raises what `Trainer.run` does."""
        folder, trainer = self.trainer.folder, self.trainer
        if self.resume:
            trainer.resume()
            save_config(folder, self.config)  # its limits may have been raised
        else:
            clear(folder)
            update_package(folder / TOKENIZER, task="tokenizer", tokenizers=self.setup.tokenizers)
            trainer.start(self.warmup_steps, time.monotonic() - self.started)
            save_inputs(folder, self.config, [*self.config.data.train, *self.config.data.valid])
        return trainer.run(self.forecast.eval_every if self.forecast else 0)


def prepare(
    config: C,
    out: Path,
    resume: bool,
    listener: Listener,
    set_up: Callable[[C, Package | None, torch.device, Listener], TrainingSetup],
) -> LoopRun:
    """Everything up to the first update. Raises TxError for faults in the data or the configuration.

    `set_up(config, package, device, listener)` reads the data and builds the model of the task; the package holds the
    tokenizers of a run that is resumed.
    """
    started = time.monotonic()
    device = choose_device(config.train.device)
    threads = set_threads(config.train.threads)
    keep_freed_memory()
    prefer_fast_matmul()
    folder, saved = out / "run", None
    if resume:
        check_inputs(folder, config)
        saved = Package.open(folder / TOKENIZER)
    setup = set_up(config, saved, device, listener)
    publish = publish_to(out, setup, config)
    trainer = Trainer(
        setup.model, setup.sampler, config.train, config.seed, folder, setup.evaluate, publish, listener
    )
    n_parameters = sum(p.numel() for p in setup.model.parameters())
    listener.info(
        f"{config.arch}: {n_parameters:,} parameters on {device}, {threads} thread{'s' * (threads != 1)}"
    )
    if resume and (limit := trainer.ended()):
        option = "--" + limit.replace("_", "-")
        listener.info(f"this run is finished ({limit}); to continue, raise {option}")
        return LoopRun(config, setup, trainer, None, 0, resume, started)
    max_seconds = trainer.limits.max_seconds
    left = max_seconds if resume else _time_left(max_seconds, started)
    steps_per_epoch = setup.sampler.batches_per_epoch() / config.train.grad_accum
    plan = forecast(trainer, [setup.sampler.peek(i) for i in range(TRIALS)], steps_per_epoch, left)
    if not resume:
        _time_left(max_seconds, started)  # the trials took some, too
    usual = config.train.warmup_steps  # made for a longer run, it would take most of a short one
    warmup_steps = min(usual, plan.steps // 8 or usual)
    plan.eval_every = _eval_every(config, plan, setup.evaluation_cost)
    plan.add_validation(setup.evaluation_cost / plan.eval_every, left)
    return LoopRun(config, setup, trainer, plan, warmup_steps, resume, started)


def _time_left(max_seconds: float, started: float) -> float:
    """The seconds that are left of a limit, of which 0 is none. Raises TxError if there are none."""
    used = time.monotonic() - started
    if max_seconds and used >= max_seconds:
        raise TxError(
            f"setting up took {used:.0f} s of the {max_seconds:g} s of --max-time; no step was made",
            "raise --max-time; text that is encoded already need not be encoded again",
        )
    return max_seconds - used if max_seconds else 0.0


def publish_to(
    out: Path, setup: TrainingSetup, config: LoopConfig
) -> Callable[[Evaluation | None, int], None]:
    """A function that writes the weights of the model to the package at `out`, with its scores if known."""

    def publish(evaluation: Evaluation | None, step: int) -> None:
        values = evaluation.values if evaluation else {}
        scores: list[dict[str, Any]] = [
            {"metric": metric, "value": round(values[name], 4), "data": f"{setup.measured_on}, step {step}"}
            for name, metric in setup.scores.items()
            if name in values
        ]
        update_package(
            out,
            lambda folder: (folder / WEIGHTS).write_bytes(save(weights_of(setup.model))),
            task=config.task,
            arch=config.arch,
            config=model_config(setup.model),
            tokenizers=setup.tokenizers,
            decode=setup.decode,
            data=setup.report,
            scores=scores,
        )

    return publish


def _eval_every(config: LoopConfig, plan: Forecast, cost: float) -> int:
    """Half an epoch, but at least 250 updates, and about 20 validations in a run that is shorter than that.

    Fewer if a validation costs many updates: they take a tenth of the time, but any run has four.
    """
    if config.train.eval_every:
        return config.train.eval_every
    usual = max(250, round(plan.steps_per_epoch / 2))
    if plan.steps:
        usual = min(usual, plan.steps // 20 or usual)
    if cost and plan.steps:
        usual = min(max(usual, round(10 * cost)), plan.steps // 4)
    return max(1, usual)
