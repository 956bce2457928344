"""From a configuration to a package, for every task: what `tx train RECIPE FILE...` does.

The order: device, what the task brings (`tx.train.task`), forecast, the loop. Whatever can be wrong with the data
shows before anything is written; then everything is kept under the package's run/ folder, and the package
itself holds the best model so far.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from tx.config.duration import parse_duration
from tx.config.schema import RunConfig, decode_options
from tx.errors import TxError
from tx.models import model_config, weights_of
from tx.nn.device import choose_device, keep_freed_memory, prefer_fast_products, set_threads
from tx.package import WEIGHTS, Package, update_package
from tx.train.forecast import TRIALS, Forecast, forecast
from tx.train.loop import Listener, Progress, Trainer
from tx.train.run_folder import check_inputs, clear, keep_config, keep_inputs
from tx.train.task import Evaluation, Material, gather

TOKENIZER = "tokenizer"  # in the run folder: a package that keeps the tokenizers for `--resume`


@dataclass
class Prepared:
    """A run that is ready to go: everything but the training. Nothing is in its folder yet."""

    config: RunConfig
    material: Material
    trainer: Trainer
    forecast: Forecast | None  # None: the run that is resumed has ended
    eval_every: int
    n_parameters: int
    resume: bool

    def train(self) -> Progress:
        """Begin the run in its folder, or take it up there, and train; raises what `Trainer.run` does."""
        run, trainer = self.trainer.folder, self.trainer
        if self.resume:
            trainer.resume()
            keep_config(run, self.config)  # whose limits may be new
        else:
            clear(run)
            update_package(run / TOKENIZER, task="tokenizer", tokenizers=self.material.tokenizers)
            trainer.save()
            keep_inputs(run, self.config)
        return trainer.run(self.eval_every)


def prepare(config: RunConfig, out: Path, resume: bool, listener: Listener) -> Prepared:
    """Everything up to the first update. Raises TxError for faults in the data or the configuration."""
    started = time.monotonic()
    device = choose_device(config.train.device)
    threads = set_threads(config.train.threads)
    keep_freed_memory()
    prefer_fast_products()
    run, kept = out / "run", None
    if resume:
        check_inputs(run, config)
        kept = Package.open(run / TOKENIZER)
    material = gather(config, kept, device, listener.say)
    max_seconds = parse_duration(config.train.max_time) if config.train.max_time else 0.0
    trainer = Trainer(
        material.model,
        material.source,
        config.train,
        config.seed,
        run,
        max_seconds,
        material.evaluate,
        publish_to(out, material, config),
        listener,
    )
    n_parameters = sum(p.numel() for p in material.model.parameters())
    listener.say(
        f"{config.arch}: {n_parameters:,} parameters on {device}, {threads} thread{'s' * (threads != 1)}"
    )
    if resume and (limit := trainer.ended()):
        listener.say(f"this run is finished ({limit}); to go on, raise --{limit.replace('_', '-')}")
        return Prepared(config, material, trainer, None, 0, n_parameters, resume)
    trials = [material.source.peek(i) for i in range(TRIALS)]
    steps_per_epoch = material.source.batches_per_epoch() / config.train.grad_accum
    left = max_seconds if resume else _time_left(max_seconds, started)
    plan = forecast(trainer, trials, steps_per_epoch, config.train, left)
    # A warm-up made for a longer run would eat a short one; and the clock has run since the command started.
    usual = config.train.warmup_steps
    trainer.progress.warmup_steps = min(usual, plan.steps // 8 or usual)
    if not resume:
        _time_left(max_seconds, started)  # the trials took some, too
    trainer.progress.seconds = time.monotonic() - started
    eval_every = _eval_every(config, plan, material.evaluation_cost)
    plan.add_validation(material.evaluation_cost / eval_every, left)
    return Prepared(config, material, trainer, plan, eval_every, n_parameters, resume)


def _time_left(max_seconds: float, started: float) -> float:
    """What is left now of a limit of seconds, of which 0 is none. Raises TxError if nothing is."""
    used = time.monotonic() - started
    if max_seconds and used >= max_seconds:
        raise TxError(
            f"setting up took {used:.0f} s of the {max_seconds:g} s of --max-time; no step was made",
            "give it more time; text that is encoded already stays so for the next run",
        )
    return max_seconds - used if max_seconds else 0.0


def publish_to(out: Path, material: Material, config: RunConfig) -> Callable[[Evaluation | None, int], None]:
    """A function that makes the weights of the model those of the package at `out`, with its scores if known."""

    def publish(evaluation: Evaluation | None, step: int) -> None:
        measured = f"{material.how}, step {step}"
        values = evaluation.values if evaluation else {}
        scores: list[dict[str, Any]] = [
            {"metric": shown, "value": round(values[name], 4), "data": measured}
            for name, shown in material.shown.items()
            if name in values
        ]
        update_package(
            out,
            lambda folder: (folder / WEIGHTS).write_bytes(save(weights_of(material.model))),
            task=config.task,
            arch=config.arch,
            config=model_config(material.model),
            tokenizers=material.tokenizers,
            decode=decode_options(config),
            data=material.report,
            scores=scores,
        )

    return publish


def _eval_every(config: RunConfig, plan: Forecast, cost: float) -> int:
    """Half an epoch, but at least 250 updates, and about 20 looks at a run that is shorter than that.

    Fewer where a look costs many updates: a tenth of the time is enough, but for four looks at any run.
    """
    if config.train.eval_every:
        return config.train.eval_every
    usual = max(250, round(plan.steps_per_epoch / 2))
    if plan.steps:
        usual = min(usual, plan.steps // 20 or usual)
    if cost and plan.steps:
        usual = min(max(usual, round(10 * cost)), plan.steps // 4)
    return max(1, usual)
