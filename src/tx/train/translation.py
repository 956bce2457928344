"""Training a translator, from raw text to a package: what `tx train transformer SRC TGT` does.

The order: tokenizers, corpus, validation text, model, forecast, the loop. Whatever can be wrong with the data
shows before anything is written; then everything is kept under the package's run/ folder, and the package
itself holds the best model so far.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tx.config import RunConfig, parse_duration
from tx.data.corpus import Corpus, Side, cache_folder, encode_corpus, hold_out, open_corpus
from tx.data.sampler import Sampler
from tx.decode.translate import SearchOptions, Translator
from tx.errors import TxError
from tx.evaluate.metrics import bleu
from tx.evaluate.model import mean_loss
from tx.models import load_architecture, model_config, weights_of
from tx.nn.device import choose_device, keep_freed_memory, prefer_fast_products, set_threads
from tx.package import WEIGHTS, Package, update_package
from tx.text.tokenizer import Tokenizer, open_tokenizers
from tx.train.folder import check_inputs, clear, keep_config, keep_inputs
from tx.train.forecast import TRIALS, Forecast, forecast
from tx.train.loop import Evaluation, Listener, Progress, Trainer
from tx.train.tokenizer import train_tokenizer

SHOWN = {"valid_bleu": "BLEU", "valid_loss": "loss", "valid_ppl": "perplexity"}  # in the package, best first
GREEDY_SAMPLES = 3  # translations shown at each validation


@dataclass
class Prepared:
    """A run that is ready to go: everything but the training. Nothing is in its folder yet."""

    config: RunConfig
    tokenizers: tuple[Tokenizer, Tokenizer]
    trainer: Trainer
    forecast: Forecast
    eval_every: int
    n_parameters: int
    resume: bool

    def train(self) -> Progress:
        """Begin the run in its folder, or take it up there, and train; raises what `Trainer.run` does."""
        run, trainer = self.trainer.folder, self.trainer
        if self.resume:
            trainer.resume()
            if done := trainer.progress.finished:
                trainer.listener.say(
                    f"this run is finished ({done}); to go on, raise a limit: --max-steps, ..."
                )
            keep_config(run, self.config)  # whose limits may be new
        else:
            clear(run)
            keep_tokenizers(run, self.tokenizers)
            trainer.save()
            keep_inputs(run, self.config)
        return trainer.run(self.eval_every)


def fit_tokenizers(config: RunConfig, say: Callable[[str], None]) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of both sides: the named package's, or new ones fitted to the training text."""
    data = config.data
    if data.tokenizer:
        from tx.package import find

        return open_tokenizers(Package.open(find(data.tokenizer, "tokenizer")))
    src, tgt = data.train
    if data.shared_vocab:
        say(f"fitting a {data.tokenizer_kind} tokenizer of {data.vocab_size:,} pieces on both sides")
        shared = train_tokenizer(data.tokenizer_kind, [src, tgt], data.vocab_size, seed=config.seed, say=say)
        return shared, shared
    say(f"fitting a {data.tokenizer_kind} tokenizer of {data.vocab_size:,} pieces on each side")
    one, two = (
        train_tokenizer(data.tokenizer_kind, [path], data.vocab_size, seed=config.seed, say=say)
        for path in (src, tgt)
    )
    return one, two


def _whole(src: Side, tgt: Side) -> Corpus:
    return Corpus(src, tgt, torch.arange(len(src)).numpy(), {"pairs": len(src)})


def open_data(
    config: RunConfig, tokenizers: tuple[Tokenizer, Tokenizer], say: Callable[[str], None]
) -> tuple[Corpus, Corpus]:
    """Training and validation corpus; without validation files, held out from the training text."""
    data, cache = config.data, cache_folder()
    corpus = open_corpus(data.train, tokenizers, data, cache, say)
    if data.valid:
        return corpus, _whole(*encode_corpus(data.valid, tokenizers, cache))
    corpus, valid = hold_out(corpus, data.n_valid, config.seed)
    say(f"held out {len(valid):,} pairs for validation; {len(corpus):,} are left")
    return corpus, valid


def build_model(
    config: RunConfig, tokenizers: tuple[Tokenizer, Tokenizer], device: torch.device
) -> nn.Module:
    """A new model for these vocabularies, initialised from the seed."""
    architecture = load_architecture(config.arch)
    src, tgt = tokenizers
    sizes = {"src_vocab_size": len(src), "tgt_vocab_size": len(tgt), "shared_vocab": src is tgt}
    longest = config.model.get("max_len", architecture.Config().max_len)
    if longest <= config.data.max_len:
        raise TxError(
            f"model.max_len {longest} leaves no room for </s> after the {config.data.max_len} pieces of data.max_len",
            f"--set data.max_len={max(1, longest - 1)}, or a larger model.max_len",
        )
    torch.manual_seed(config.seed)
    model: nn.Module = architecture.Model(architecture.Config(**config.model | sizes))
    return model.to(device)


class Validation:
    """Loss over all validation pairs, and BLEU of greedy translations of the first `eval_lines`."""

    def __init__(
        self, model: nn.Module, valid: Corpus, tokenizers: tuple[Tokenizer, Tokenizer], config: RunConfig
    ) -> None:
        self.model, self.valid, self.tokenizers, self.config = model, valid, tokenizers, config
        self.device = next(model.parameters()).device
        lines = valid.kept[: config.train.eval_lines]
        self.src, self.tgt = ([side.line(int(i)) for i in lines] for side in (valid.src, valid.tgt))
        decode = RunConfig().decode
        decode.beam_size = 1
        self.search = SearchOptions(decode)

    def __call__(self) -> Evaluation:
        loss = mean_loss(self.model, self.valid, self.tokenizers, self.config.train.batch_tokens)
        translator = Translator(self.model, *self.tokenizers, self.device)
        hyps = [result.text for result in translator.translate(self.src, self.search)]
        score = bleu(hyps, [self.tgt])
        samples = [
            {"src": self.src[i], "ref": self.tgt[i], "hyp": hyps[i]}
            for i in range(min(GREEDY_SAMPLES, len(hyps)))
        ]
        values = {"valid_loss": loss, "valid_ppl": math.exp(min(loss, 700.0)), "valid_bleu": score.value}
        # Where no four words in a row are right yet, BLEU is 0 and the loss decides.
        return Evaluation(
            -loss if self.config.train.metric == "loss" else score.value or -loss, values, samples
        )


def publish_to(
    out: Path,
    model: nn.Module,
    tokenizers: tuple[Tokenizer, Tokenizer],
    config: RunConfig,
    report: dict[str, Any],
) -> Callable[[Evaluation, int], None]:
    """A function that makes the weights of `model` those of the package at `out`."""
    from safetensors.torch import save

    src, tgt = tokenizers
    named = {"tokenizer": src} if src is tgt else {"src": src, "tgt": tgt}
    dropped = [
        {"reason": reason, "pairs": value["pairs"], "first_lines": ", ".join(map(str, value["first_lines"]))}
        for reason, value in report["dropped"].items()
    ]

    def publish(evaluation: Evaluation, step: int) -> None:
        scores = [
            {
                "metric": shown,
                "value": round(evaluation.values[name], 4),
                "data": f"validation, greedy, step {step}",
            }
            for name, shown in SHOWN.items()
        ]
        update_package(
            out,
            lambda folder: (folder / WEIGHTS).write_bytes(save(weights_of(model))),
            task=load_architecture(config.arch).TASK,
            arch=config.arch,
            config=model_config(model),
            tokenizers=named,
            decode=asdict(config.decode),
            data=report | {"dropped": dropped},
            scores=scores,
        )

    return publish


def _eval_every(config: RunConfig, plan: Forecast) -> int:
    """Half an epoch, but at least 250 updates, and about 20 looks at a run that is shorter than that."""
    if config.train.eval_every:
        return config.train.eval_every
    usual = max(250, round(plan.steps_per_epoch / 2))
    return max(1, min(usual, plan.steps // 20 or usual)) if plan.steps else usual


def prepare(config: RunConfig, out: Path, resume: bool, listener: Listener) -> Prepared:
    """Everything up to the first update. Raises TxError for faults in the data or the configuration."""
    started = time.monotonic()
    device = choose_device(config.train.device)
    threads = set_threads(config.train.threads)
    keep_freed_memory()
    prefer_fast_products()
    run = out / "run"
    if resume:
        check_inputs(run, config)
        tokenizers = open_tokenizers(Package.open(run / "tokenizer"))
    else:
        tokenizers = fit_tokenizers(config, listener.say)
    corpus, valid = open_data(config, tokenizers, listener.say)
    model = build_model(config, tokenizers, device)
    sampler = Sampler(
        corpus, tokenizers, config.train.batch_tokens, config.seed, config.data.sampling, config.data.max_len
    )
    max_seconds = parse_duration(config.train.max_time) if config.train.max_time else 0.0
    trainer = Trainer(
        model,
        sampler,
        config.train,
        config.seed,
        run,
        max_seconds,
        Validation(model, valid, tokenizers, config),
        publish_to(out, model, tokenizers, config, corpus.report),
        listener,
    )
    trials = [sampler.peek(i) for i in range(TRIALS)]
    steps_per_epoch = sampler.batches_per_epoch() / config.train.grad_accum
    plan = forecast(trainer, trials, steps_per_epoch, config.train, max_seconds)
    n_parameters = sum(p.numel() for p in model.parameters())
    # A warm-up made for a longer run would eat a short one; and the clock has run since the command started.
    usual = config.train.warmup_steps
    trainer.progress.warmup_steps = min(usual, plan.steps // 8 or usual)
    trainer.progress.seconds = time.monotonic() - started
    listener.say(f"{config.arch}: {n_parameters:,} parameters on {device}, {threads} threads")
    return Prepared(config, tokenizers, trainer, plan, _eval_every(config, plan), n_parameters, resume)


def keep_tokenizers(run: Path, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
    """Keep the tokenizers with the run, for `--resume`."""
    src, tgt = tokenizers
    named = {"tokenizer": src} if src is tgt else {"src": src, "tgt": tgt}
    update_package(run / "tokenizer", task="tokenizer", tokenizers=named)
