"""Measure the language-model trainer of tx, prepared as `tx train` prepares it."""

from pathlib import Path
from typing import Any

import torch
from harness import Finished, Meter, read_job, write_result
from train_tx import Silent

import tx
from tx.tasks.language_model import Config
from tx.tasks.language_model.training import prepare

SHAPES = {
    "gpt": ("transformer_lm", ("d_model", "d_ff", "n_layers", "n_heads", "dropout")),
    "lstm": ("rnn_lm", ("d_model", "d_embedding", "n_layers", "dropout")),
}


def config(job: dict[str, Any]) -> Config:
    """The job as a configuration of tx; weights are averaged, as by default."""
    run = Config()
    run.seed = job["seed"]
    run.arch, names = SHAPES[job["kind"]]
    run.model = {name: job[name] for name in names}
    run.data.train = [job["text"]]
    for name in ("batch_size", "seq_len", "lr", "warmup_steps", "weight_decay", "beta2", "clip_norm", "ema"):
        setattr(run.train, name, job[name])
    run.train.schedule, run.train.threads = "cosine", 1
    run.train.precision = "float32" if "float32" in job["settings"] else "auto"
    run.train.max_steps = job["max_steps"]
    return run


def main() -> None:
    job = read_job()
    trainer = prepare(config(job), Path(job["work"]) / "tx-run", False, Silent()).trainer
    meter = Meter(job)
    meter.n_parameters = sum(p.numel() for p in trainer.model.parameters())
    update = trainer._update

    def metered(batches: list[Any]) -> Any:
        result = update(batches)
        meter.update(result[0].item(), tgt_tokens=sum(batch.n_tokens for batch in batches))
        return result

    trainer._update = metered  # type: ignore[method-assign]
    try:
        trainer.run(eval_every=10**9)
    except Finished:
        result, valid = meter.result(f"tx {tx.__version__}, torch {torch.__version__}"), 0.0
        if job["validate"]:
            trainer.model.load_state_dict(trainer.optimizer.averaged(), strict=False)
            trainer.model.eval()
            with torch.inference_mode(), trainer._autocast():
                valid = trainer.evaluate().values["valid_loss"]
        write_result(job, result | {"valid": valid})


if __name__ == "__main__":
    main()
