"""Measure the trainer of Joey NMT, driven through its own configuration.

Joey has one `dropout` for everything in a layer; the values the job gives for attention weights and for the
inside of the feed-forward layers are set on the modules before the first update. It does not batch by length.
"""

from pathlib import Path
from typing import Any

import joeynmt
import torch
from harness import Finished, Meter, read_job, set_torch, write_result
from joeynmt import training
from joeynmt.transformer_layers import MultiHeadedAttention, PositionwiseFeedForward

SPECIAL = {"unk": "<unk>", "pad": "<pad>", "bos": "<s>", "eos": "</s>"}


def transformer(job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The encoder and the decoder of a Transformer."""
    layers = {
        "type": "transformer",
        "num_heads": job["n_heads"],
        "embeddings": {"embedding_dim": job["d_model"], "scale": True, "dropout": job["dropout"]},
        "hidden_size": job["d_model"],
        "ff_size": job["d_ff"],
        "dropout": job["dropout"],
        "activation": job["activation"],
        "layer_norm": "pre",
    }
    return {"num_layers": job["n_encoder_layers"], **layers}, {
        "num_layers": job["n_decoder_layers"],
        **layers,
    }


def recurrent(job: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A bidirectional encoder and a decoder with attention; the encoder's hidden units are those of one direction."""
    layers = {
        "type": "recurrent",
        "rnn_type": job["cell"],
        "num_layers": job["n_layers"],
        "embeddings": {"embedding_dim": job["d_model"], "scale": True, "dropout": job["dropout"]},
        "dropout": job["dropout"],
    }
    encoder = {**layers, "hidden_size": job["d_model"] // 2, "bidirectional": True}
    attention = {"attention": job["attention"], "input_feeding": job["input_feeding"]}
    hidden = {"hidden_size": job["d_model"], "hidden_dropout": job["dropout"], "init_hidden": "bridge"}
    return encoder, {**layers, **hidden, **attention}


def config(job: dict[str, Any]) -> dict[str, Any]:
    """The job as a configuration of JoeyNMT; the validation set is not used."""
    side = {
        "level": "word",
        "voc_file": job["vocab"],
        "max_length": 1000,
        "lowercase": False,
        "normalize": False,
    }
    encoder, decoder = (recurrent if job["arch"] == "rnn" else transformer)(job)
    stem = job["train_src"].removesuffix(".src")
    special = {f"{name}_token": token for name, token in SPECIAL.items()}
    special |= {f"{name}_id": id for id, name in enumerate(SPECIAL)}
    return {
        "name": "benchmark",
        "joeynmt_version": joeynmt.__version__,
        "model_dir": f"{job['work']}/joey",
        "use_cuda": False,
        "random_seed": job["seed"],
        "data": {
            "train": stem,
            "dev": stem,
            "dataset_type": "plain",
            "sample_dev_subset": 10,
            "src": {"lang": "src", **side},
            "trg": {"lang": "tgt", **side},
            "special_symbols": special,
        },
        "model": {
            "initializer": "xavier_uniform",
            "embed_initializer": "xavier_uniform",
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": encoder,
            "decoder": decoder,
        },
        "training": {
            "optimizer": "adamw",
            "adam_betas": [0.9, 0.98],
            "learning_rate": job["lr"],
            "learning_rate_min": 0.0,
            "scheduling": "exponential",  # by a factor of 1: constant
            "decrease_factor": 1.0,
            "clip_grad_norm": job["clip_norm"],
            "label_smoothing": job["label_smoothing"],
            "normalization": "tokens",
            "loss": "crossentropy",
            "batch_type": "token",
            "batch_size": job["batch_tokens"],
            "epochs": 1000,
            "shuffle": True,
            "logging_freq": 10,
            "validation_freq": 10**6,
        },
        "testing": {"eval_metrics": ["bleu"]},
    }


def prepare(model: torch.nn.Module, job: dict[str, Any]) -> None:
    """Set the dropouts that have no option."""
    for module in model.modules():
        if isinstance(module, MultiHeadedAttention):
            module.dropout.p = job["attention_dropout"]
        elif isinstance(module, PositionwiseFeedForward):
            module.pwff_layer[2].p = job["hidden_dropout"]


def main() -> None:
    job = read_job()
    set_torch(job)
    Path(job["work"], "joey").mkdir(exist_ok=True)
    meter = Meter(job)
    step = training.TrainManager._train_step
    last: dict[str, Any] = {}

    def metered(self: Any, batch: Any) -> tuple[float, int]:
        if last:
            meter.update(**last)  # only now, because Joey steps its optimizer after this function
        else:
            prepare(self.model, job)
            meter.n_parameters = sum(p.numel() for p in self.model.parameters())
        loss, correct = step(self, batch)
        last.update(
            loss=loss * batch.ntokens,
            sentences=batch.nseqs,
            src_tokens=(batch.src_length - 1).sum().item(),  # less the </s> that Joey appends
            tgt_tokens=batch.ntokens,
            cells=batch.src.numel() + batch.trg.numel(),
            filled=batch.src_length.sum().item() + batch.ntokens,
        )
        return loss, correct

    training.TrainManager._train_step = metered
    try:
        training.train(rank=0, world_size=None, cfg=config(job), skip_test=True)
    except Finished:
        write_result(job, meter.result(f"Joey NMT {joeynmt.__version__}, torch {torch.__version__}"))


if __name__ == "__main__":
    main()
