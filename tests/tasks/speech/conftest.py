"""A tiny Whisper and a set of beeps, made once."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

pytest.importorskip("transformers")

from finetuning import write_set
from whisper import byte_tokenizer, write_tiny_whisper

KEPT = ("<|endoftext|>", "<|notimestamps|>")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In float16, as the published models are; it writes no timestamps, which would lengthen its decoding."""
    tokenizer = byte_tokenizer()
    special = [
        i for token, i in tokenizer.get_vocab().items() if token.startswith("<|") and token not in KEPT
    ]
    folder = write_tiny_whisper(
        tmp_path_factory.mktemp("tiny") / "whisper", max_length=12, suppress_tokens=[65, 70, *sorted(special)]
    )
    weights = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set") / "beeps")
