"""Small packages for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tx.package import WEIGHTS, Package, write_package


class Words:
    """The least that counts as a tokenizer."""

    kind = "word"

    def __init__(self, *words: str) -> None:
        self.words = words

    def save(self, folder: Path, name: str) -> str:
        (folder / f"{name}.txt").write_text("\n".join(self.words))
        return f"{name}.txt"


def fill(value: int, size: int = 6) -> Callable[[Path], None]:
    """Weights that are `value` everywhere."""

    def write(folder: Path) -> None:
        weights = {"a.weight": np.full((2, size), value, np.float32), "b": np.full(3, value, np.int64)}
        save_file(weights, folder / WEIGHTS)

    return write


def translator(value: int = 1) -> dict[str, Any]:
    return {
        "task": "translation",
        "arch": "transformer",
        "config": {"d_model": value, "dropout": 0.1},
        "tokenizers": {"src": Words("ein", "haus", str(value)), "tgt": Words("a", "house")},
        "decode": {"beam_size": 5},
        "data": {"files": [{"name": "train.de", "lines": 10}], "kept": 9, "dropped": {"empty": 1}},
        "scores": [{"metric": "BLEU", "value": 31.25, "signature": "nrefs:1|tok:13a", "data": "test.en"}],
    }


def snapshot(path: Path) -> tuple[Any, dict[str, bytes]]:
    package = Package.open(path)
    return package.manifest, {name: package.file(name).read_bytes() for name in package.manifest["files"]}


def tokenizer_at(path: Path) -> Path:
    return write_package(path, task="tokenizer", tokenizers={"tokenizer": Words(str(path))}).path
