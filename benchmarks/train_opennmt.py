"""Measure the trainer of OpenNMT-py, driven through its own options.

The dropout inside its feed-forward layers has no option of its own and follows `dropout`; the job's value is
set on the modules after the model is built.
"""

from typing import Any

import absent  # noqa: F401
import onmt.train_single
import torch
from harness import Finished, Meter, read_job, set_torch, write_result
from onmt.bin.train import train
from onmt.modules.position_ffn import PositionwiseFeedForward
from onmt.opts import train_opts
from onmt.trainer import Trainer
from onmt.utils.parse import ArgumentParser


def options(job: dict[str, Any]) -> Any:
    """The job in OpenNMT-py's words."""
    values = {
        "data": f"{{train: {{path_src: {job['train_src']}, path_tgt: {job['train_tgt']}}}}}",
        "src_vocab": job["vocab"],
        "tgt_vocab": job["vocab"],
        "share_vocab": "",
        "share_embeddings": "",
        "share_decoder_embeddings": "",
        "save_model": f"{job['work']}/opennmt",
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "position_encoding": "",
        "add_qkvbias": "",
        "add_ffnbias": "",
        "norm_eps": 1e-5,
        "enc_layers": job["n_encoder_layers"],
        "dec_layers": job["n_decoder_layers"],
        "hidden_size": job["d_model"],
        "word_vec_size": job["d_model"],
        "transformer_ff": job["d_ff"],
        "heads": job["n_heads"],
        "pos_ffn_activation_fn": job["activation"],
        "dropout": job["dropout"],
        "attention_dropout": job["attention_dropout"],
        "label_smoothing": job["label_smoothing"],
        "param_init": 0,
        "param_init_glorot": "",
        "optim": "adam",
        "adam_beta2": 0.98,
        "learning_rate": job["lr"],
        "decay_method": "none",
        "max_grad_norm": job["clip_norm"],
        "batch_type": "tokens",
        "normalization": "tokens",
        "batch_size": job["batch_tokens"],
        "accum_count": 1,
        "bucket_size": 262144,
        "num_workers": 0,
        "train_steps": 10**6,
        "save_checkpoint_steps": 10**6,
        "valid_steps": 10**6,
        "report_every": 10,
        "seed": job["seed"],
        "model_dtype": "fp32",
    }
    parser = ArgumentParser()
    train_opts(parser)
    words = [word for key, value in values.items() for word in (f"--{key}", str(value)) if word]
    return parser.parse_known_args(words)[0]


def main() -> None:
    job = read_job()
    set_torch(job)
    meter = Meter(job)
    update, build_model = Trainer._gradient_accumulation, onmt.train_single.build_model

    def built_model(*args: Any) -> Any:
        model = build_model(*args)
        for module in model.modules():
            if isinstance(module, PositionwiseFeedForward):
                module.dropout_1.p = job["hidden_dropout"]
        meter.n_parameters = sum(p.numel() for p in model.parameters())
        return model

    def metered(self: Trainer, batches: list, normalization: int, total: Any, report: Any) -> None:
        before = total.loss
        update(self, batches, normalization, total, report)  # forward, backward, and the optimizer's step
        (batch,) = batches
        tgt = batch["tgt"][:, 1:, 0]
        src_tokens = batch["srclen"].sum().item()  # OpenNMT-py appends no end of sentence to the source
        tgt_tokens = tgt.ne(self.train_loss.padding_idx).sum().item()
        meter.update(
            total.loss - before,
            sentences=len(batch["srclen"]),
            src_tokens=src_tokens,
            tgt_tokens=tgt_tokens,
            cells=batch["src"].numel() + tgt.numel(),
            filled=src_tokens + tgt_tokens,
        )

    onmt.train_single.build_model = built_model
    Trainer._gradient_accumulation = metered
    try:
        train(options(job))
    except Finished:
        write_result(job, meter.result(f"OpenNMT-py {onmt.__version__}, torch {torch.__version__}"))


if __name__ == "__main__":
    main()
