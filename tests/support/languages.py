"""Small language models for tests, untrained, and the packages that hold them."""

import functools
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from tx.demo.corpus import generate
from tx.models import load_architecture, model_config, weights_of
from tx.package import WEIGHTS, write_package
from tx.text.alphabet import AlphabetTokenizer
from tx.text.fit_tokenizer import train_tokenizer
from tx.text.tokenizer import Tokenizer

ALPHABET = AlphabetTokenizer(" !'(),-.0123:;?ABCROMEabcdefghijklmnopqrstuvwxyzäöüß€")

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn": ("rnn_lm", {"cell": "rnn", "n_layers": 1}),
    "gru": ("rnn_lm", {"cell": "gru", "d_embedding": 6}),
    "lstm": ("rnn_lm", {"cell": "lstm"}),
    "lstm tied": ("rnn_lm", {"n_layers": 3, "d_embedding": 24, "tie_embeddings": True}),
    "nplm": ("nplm", {"d_embedding": 5}),
    "nplm direct": ("nplm", {"order": 3, "direct": True}),
    "transformer": ("transformer_lm", {}),
    "transformer untied": ("transformer_lm", {"tie_embeddings": False, "activation": "silu"}),
    "transformer sinusoids": (
        "transformer_lm",
        {"positions": "sinusoids", "activation": "relu", "max_len": 7},
    ),
}
TRANSFORMER = {"max_len": 12, "d_ff": 40, "n_heads": 3, "n_layers": 2}


@functools.cache
def tokenizer_of(kind: str) -> Tokenizer:
    if kind == "alphabet":
        return ALPHABET
    with TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        path.write_text("".join(f"{p.english}\n" for p in generate(500, seed=3)), encoding="utf-8")
        return train_tokenizer(kind, [path], 400)


def random_model(name: str, vocab_size: int = len(ALPHABET), seed: int = 1, scale: float = 3.0) -> nn.Module:
    """An untrained model of MODELS; its weights are scaled up, so that it has opinions."""
    arch, settings = MODELS[name]
    usual = TRANSFORMER if arch == "transformer_lm" else {}
    architecture = load_architecture(arch)
    torch.manual_seed(seed)
    config = architecture.Config(**{"vocab_size": vocab_size, "d_model": 24, **usual, **settings})
    model: nn.Module = architecture.Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def keep(path: Path, model: nn.Module, tokenizer: Tokenizer = ALPHABET) -> Path:
    """Write a package of `model`."""
    return write_package(
        path,
        lambda folder: (folder / WEIGHTS).write_bytes(save(weights_of(model))),
        task="language-model",
        arch=type(model).__module__.rpartition(".")[2],
        config=model_config(model),
        tokenizers={"tokenizer": tokenizer},
    ).path
