"""A small corpus, tokenizer and model for tests, each made once."""

import functools
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tx.decode.translate import Translator
from tx.demo.corpus import Pair, generate
from tx.models.transformer import Config, Transformer
from tx.text.fit_tokenizer import train_tokenizer
from tx.text.tokenizer import Tokenizer


@functools.cache
def demo_pairs() -> list[Pair]:
    """Sentence pairs of the example grammar."""
    return generate(1000, seed=3)


@functools.cache
def demo_tokenizer(kind: str = "unigram") -> Tokenizer:
    """A tokenizer of 800 pieces for both their languages."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "text"
        path.write_text("".join(f"{p.english}\n{p.german}\n" for p in demo_pairs()), encoding="utf-8")
        return train_tokenizer(kind, [path], 800)


def random_translator(kind: str = "unigram", max_len: int = 200, seed: int = 1) -> Translator:
    """An untrained model, whose translations are nonsense and differ from source to source."""
    tokenizer = demo_tokenizer(kind)
    torch.manual_seed(seed)
    config = Config(
        len(tokenizer),
        len(tokenizer),
        d_model=16,
        d_ff=32,
        n_heads=2,
        n_encoder_layers=1,
        n_decoder_layers=1,
        max_len=max_len,
    )
    model = Transformer(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # sharper choices, so that rounding decides none
    return Translator(model, tokenizer, tokenizer, torch.device("cpu"))
