"""Measure the trainer of tx, prepared as `tx train` prepares it."""

from pathlib import Path
from typing import Any

import torch
from harness import Finished, Meter, read_job, write_result
from torch import Tensor

import tx
from tx.data.batch import Batch
from tx.tasks.translation import Config
from tx.tasks.translation.training import prepare

SHAPE = {
    "transformer": (
        *("d_model", "d_ff", "n_heads", "n_encoder_layers", "n_decoder_layers"),
        *("dropout", "attention_dropout"),
    ),
    "rnn": ("cell", "d_model", "n_layers", "attention", "input_feeding", "dropout"),
}


class Silent:
    """A listener that says nothing."""

    def train(self, record: dict[str, Any]) -> None: ...

    def validated(self, record: dict[str, Any], samples: list[dict[str, str]], best: bool) -> None: ...

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


def config(job: dict[str, Any]) -> Config:
    """The job as a configuration of tx; weights are averaged, as by default."""
    run = Config(seed=job["seed"])
    run.data.train = run.data.valid = [job["raw_src"], job["raw_tgt"]]  # validation is never reached
    run.data.tokenizer = job["bpe"]
    run.data.max_len, run.data.max_ratio, run.data.deduplicate = 500, 1000, False
    run.arch = job["arch"]
    run.model = {name: job[name] for name in SHAPE[run.arch]} | {"max_len": 512}
    if run.arch == "rnn":
        run.model["d_embedding"] = job["d_model"]
    else:
        run.model["activation_dropout"] = job["hidden_dropout"]
    run.train.batch_tokens, run.train.clip_norm = job["batch_tokens"], job["clip_norm"]
    run.train.lr, run.train.schedule, run.train.warmup_steps = job["lr"], "constant", 0
    run.train.label_smoothing = job["label_smoothing"]
    run.train.precision = "float32"
    run.train.threads, run.train.max_steps = 1, 10**6
    return run


def main() -> None:
    job = read_job()
    trainer = prepare(config(job), Path(job["work"]) / "tx-run", False, Silent()).trainer
    meter = Meter(job)
    meter.n_parameters = sum(p.numel() for p in trainer.model.parameters())
    update = trainer._update

    def metered(batches: list[Batch]) -> tuple[Tensor, Tensor]:
        result = update(batches)
        (batch,) = batches
        sentences = batch.src.size(0)
        meter.update(
            result[0].item(),
            sentences=sentences,
            src_tokens=batch.n_src_tokens - sentences,  # less their </s>
            tgt_tokens=batch.n_tokens,
            cells=batch.src.numel() + batch.tgt_in.numel(),
            filled=batch.n_src_tokens + batch.n_tokens,
        )
        return result

    trainer._update = metered  # type: ignore[method-assign]
    try:
        trainer.run(eval_every=10**9)
    except Finished:
        write_result(job, meter.result(f"tx {tx.__version__}, torch {torch.__version__}"))


if __name__ == "__main__":
    main()
