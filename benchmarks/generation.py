"""Characters per CPU second of generating one text: tx and the plain loop in eager PyTorch, in one run.

    python benchmarks/generation.py [--rounds N] [--seconds S] [--json FILE]

Random weights of two shapes: an LSTM (2 layers of 256 units, one-hot input) and the Transformer
of nanoGPT's settings for a CPU (4 layers, 4 heads, d_model 128, context 64), 65 characters beside the special
pieces. Every system draws each character from the softmax and reads it in turn, one text at a time, on one thread;
the systems take turns, and medians are shown. The plain loops are what one writes first: `nn.LSTM` carried on by
a step of one character, and for the Transformer the whole context anew for each character, as nanoGPT does.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from tx.decode.generate import GenerationOptions, LanguageModel, TorchLM, open_language_model
from tx.decode.sampling import Sampling
from tx.models import load_architecture, model_config, weights_of
from tx.package import WEIGHTS, write_package
from tx.text.alphabet import AlphabetTokenizer

ALPHABET = AlphabetTokenizer("".join(map(chr, range(33, 98))))
V = len(ALPHABET)
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "LSTM 2x256": ("rnn_lm", {"d_model": 256}),
    "Transformer 4x128": (
        "transformer_lm",
        {"max_len": 64, "d_model": 128, "d_ff": 512, "n_heads": 4, "n_layers": 4},
    ),
}


class PlainLSTM(nn.Module):
    """The model of the plain loop."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(V, 256, 2, batch_first=True)
        self.output = nn.Linear(256, V - 1)

    @torch.inference_mode()
    def write(self, n: int) -> None:
        """Make up `n` characters."""
        token, state = torch.zeros(1, 1, dtype=torch.long), None
        for _ in range(n):
            hidden, state = self.recurrent(F.one_hot(token, V).float(), state)
            token = self.output(hidden[:, -1]).softmax(-1).multinomial(1)


@torch.inference_mode()
def write_anew(model: Any, n: int) -> None:
    """Make up `n` characters with a Transformer that keeps nothing."""
    tokens = torch.zeros(1, 1, dtype=torch.long)
    for _ in range(n):
        context: Tensor = tokens[:, -model.config.max_len :]
        logits = model.hidden(context)[:, -1] @ model.output_weight().T
        tokens = torch.cat((tokens, logits.softmax(-1).multinomial(1)), dim=1)


def tx_writer(model: LanguageModel) -> Callable[[int], None]:
    def write(n: int) -> None:
        "".join(next(model.generate("", GenerationOptions(n, Sampling()))))

    return write


def systems(name: str, folder: Path) -> dict[str, tuple[Callable[[int], None], int]]:
    """Each way to write with a model of a shape, and the length of a text."""
    arch, settings = SHAPES[name]
    architecture = load_architecture(arch)
    torch.manual_seed(1)
    model = architecture.Model(architecture.Config(vocab_size=V, **settings)).eval()
    package = write_package(
        folder / arch,
        lambda place: (place / WEIGHTS).write_bytes(save(weights_of(model))),
        task="language-model",
        arch=arch,
        config=model_config(model),
        tokenizers={"tokenizer": ALPHABET},
    )
    opened, max_len = open_language_model(package.path), settings.get("max_len")
    by_torch = LanguageModel(TorchLM(model), ALPHABET, max_len)
    plain = PlainLSTM().eval().write if arch == "rnn_lm" else lambda n: write_anew(model, n)
    ways = {
        "tx": (tx_writer(opened), 1000),
        "tx by torch": (tx_writer(by_torch), 1000),
        "plain torch": (plain, 1000),
    }
    if max_len:  # within the context: what is generated until it is full
        return {f"{way}, within": (write, max_len - 1) for way, (write, _) in ways.items()} | {
            f"{way}, beyond": pair for way, pair in ways.items()
        }
    return ways


def rate(write: Callable[[int], None], length: int, seconds: float) -> float:
    """Characters per CPU second."""
    write(20)
    written, start = 0, time.process_time()
    while (passed := time.process_time() - start) < seconds:
        write(length)
        written += length
    return written / passed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of CPU for each measurement")
    parser.add_argument("--json", metavar="FILE", help="keep every measurement")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rates: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        ways = {
            f"{shape}: {way}": pair for shape in SHAPES for way, pair in systems(shape, Path(folder)).items()
        }
        for _ in range(arguments.rounds):
            for name, (write, length) in ways.items():
                rates.setdefault(name, []).append(rate(write, length, arguments.seconds))
    print("| shape: system | characters/CPU s | range |\n|---|--:|--:|")
    for name, values in rates.items():
        print(f"| {name} | {statistics.median(values):,.0f} | {min(values):,.0f} - {max(values):,.0f} |")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"torch": torch.__version__, "rates": rates}))


if __name__ == "__main__":
    sys.exit(main())
