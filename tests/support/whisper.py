"""A tiny Whisper with random weights, in a folder as transformers writes it."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tx.package.hf_folder import HfFolder
from tx.speech.whisper_tokenizer import WhisperTokenizer

LENGTH = 64  # tokens at most
LANGUAGES = ["en", "zh", "de", "fr"]
SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES)]
SPECIAL += [
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
]


def byte_tokenizer() -> Tokenizer:
    """Bytes as tokens, and Whisper's special ones behind them."""
    vocab = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    times = [f"<|{i * 0.02:.2f}|>" for i in range(1501)]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL + times])
    return tokenizer


@cache
def whisper_tokenizer(multilingual: bool = True) -> WhisperTokenizer:
    """The same as tx's tokenizer."""
    tokenizer = byte_tokenizer()
    with TemporaryDirectory() as folder:
        tokenizer.save(str(Path(folder) / "tokenizer.json"))
        config = {"vocab_size": tokenizer.get_vocab_size()}
        return WhisperTokenizer(HfFolder(Path(folder), config, {"is_multilingual": multilingual}, None))


def write_tiny_whisper(
    folder: Path, seed: int = 0, multilingual: bool = True, vocab_size: int = 0, **changes: Any
) -> Path:
    """Write model, settings and tokenizer to `folder`; `changes` go into generation_config.json.

    Ids beyond the tokenizer's, with a larger `vocab_size`, are unused.
    """
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    tokenizer = byte_tokenizer()
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL}
    eot, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    config = WhisperConfig(
        vocab_size=max(vocab_size, tokenizer.get_vocab_size()),
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=2,
        encoder_ffn_dim=96,
        decoder_ffn_dim=128,
        pad_token_id=eot,
        bos_token_id=eot,
        eos_token_id=eot,
        decoder_start_token_id=start,
        max_target_positions=LENGTH,
        init_std=0.15,  # so that one token stands out
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():  # transformers starts all biases at 0, where a lost one would not show
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    model.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "WhisperTokenizer",
        "eos_token": "<|endoftext|>",
        "bos_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    settings = {
        "is_multilingual": multilingual,
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "decoder_start_token_id": start,
        "bos_token_id": eot,
        "eos_token_id": eot,
        "pad_token_id": eot,
        "max_initial_timestamp_index": 50,
        "suppress_tokens": [65, 70, *(i for i in ids.values() if i not in (eot, ids["<|notimestamps|>"]))],
        "begin_suppress_tokens": [33, eot],
        "max_length": LENGTH,
    }
    if multilingual:
        settings["lang_to_id"] = {f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES}
        settings["task_to_id"] = {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    (folder / "generation_config.json").write_text(json.dumps(settings | changes))
    return folder
