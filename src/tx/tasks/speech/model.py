"""A pretrained Whisper before and after training: language and task, frozen parts, adapters, saving.

Language and task are set in `generation_config`, which generation reads; the same keys in `config` have no effect.
Low-rank adapters (LoRA, Hu et al. 2021) are merged into the weights on saving, so that a package always holds a plain
Whisper model.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tx.package import HF_WEIGHTS
from tx.speech.whisper_tokenizer import WhisperTokenizer
from tx.tasks.speech.config import FinetuneConfig
from tx.tasks.speech.dataset import IGNORED

TASKS = ("transcribe", "translate")
LORA_LR = 1e-3
# One fortieth of the rate that each size was pretrained with, by d_model.
_LR = {384: 3.75e-5, 512: 2.5e-5, 768: 1.25e-5, 1024: 6.25e-6, 1280: 5e-6}


def default_learning_rate(d_model: int, lora: bool = False) -> float:
    """The peak learning rate for a model of this width."""
    return LORA_LR if lora else _LR[min(_LR, key=lambda width: abs(width - d_model))]


def complete_generation_config(model: Any, tokenizer: WhisperTokenizer) -> None:
    """Add the settings that generation needs and that older folders, without generation_config.json, lack.

    They follow from the tokenizer. Settings that are there, or were in config.json (suppressed tokens), stay.
    """
    needed: dict[str, Any] = {
        "is_multilingual": bool(tokenizer.languages),
        "no_timestamps_token_id": tokenizer.no_timestamps,
        "prev_sot_token_id": tokenizer.sot_prev,
        "max_initial_timestamp_index": tokenizer.max_initial_timestamp,
        "max_length": model.config.max_target_positions,
    }
    if tokenizer.languages:
        some = next(iter(tokenizer.languages))
        needed["lang_to_id"] = {f"<|{code}|>": i for code, i in tokenizer.languages.items()}
        needed["task_to_id"] = {task: tokenizer.prompt(some, task)[-1] for task in TASKS}
    from transformers import GenerationConfig

    # A new object: one that transformers made from config.json would lose these settings when it is read again.
    given = {name: value for name, value in model.generation_config.to_dict().items() if name[0] != "_"}
    model.generation_config = GenerationConfig(
        **needed | {name: value for name, value in given.items() if value is not None}
    )


def set_language_and_task(model: Any, language: str | None, task: str | None) -> None:
    """Set what generation writes by default; with `language` None, generation detects it.

    `task` None: the model is English-only, and takes neither.
    """
    generation = model.generation_config
    generation.language, generation.task = (language, task) if task else (None, None)
    generation.forced_decoder_ids = None
    generation.return_timestamps = None  # a fixed value would make generation reject audio of more than 30 s


def unsuppress_text(model: Any) -> None:
    """Let the model write every character: Whisper suppresses quotation marks, brackets and musical notes.

    Special tokens stay suppressed. Generation reads `generation_config`; `config` gets the same list.
    """
    eot = model.generation_config.eos_token_id
    special = [i for i in model.generation_config.suppress_tokens or [] if i > eot]
    model.generation_config.suppress_tokens = model.config.suppress_tokens = special


def prepare_model(model: Any, config: FinetuneConfig) -> Any:
    """Replace the encoder, freeze parts and add adapters as configured; returns the model to train."""
    from tx.tasks.speech.encoder import replace_encoder

    replace_encoder(model)
    if config.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.freeze_encoder:
        model.model.encoder.requires_grad_(False)
    if not config.lora:
        return model
    from peft import LoraConfig, get_peft_model

    part = "decoder" if config.freeze_encoder else "(encoder|decoder)"
    # Without a task type: that of sequence-to-sequence models would pass input_ids to Whisper.
    lora = LoraConfig(
        r=config.lora,
        lora_alpha=2 * config.lora,
        lora_dropout=0.05,
        target_modules=rf".*\.{part}\..*\.(q_proj|v_proj)",
    )
    return get_peft_model(model, lora)


def base_model(model: Any) -> Any:
    """The WhisperForConditionalGeneration in a model that may have adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def token_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The summed cross-entropy loss of a batch, and the number of its labels."""
    logits = logits.flatten(0, 1).float()
    loss = F.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED, reduction="sum")
    return loss, (labels != IGNORED).sum()


def merged_weights(model: Any) -> dict[str, Tensor]:
    """The weights under their usual names, with the adapters added to them; the model is not changed."""
    whisper = base_model(model)
    weights = {
        name.replace(".base_layer.", "."): tensor.detach()
        for name, tensor in whisper.state_dict().items()
        if ".lora_" not in name
    }
    with torch.no_grad():
        for name, module in whisper.named_modules():
            if hasattr(module, "get_delta_weight"):
                weights[f"{name}.weight"] = weights[f"{name}.weight"] + module.get_delta_weight("default")
    return weights


def n_parameters(model: Any) -> int:
    """The number of parameters without those of adapters."""
    return sum(p.numel() for name, p in base_model(model).named_parameters() if ".lora_" not in name)


def save(model: Any, processor: Any, folder: Path) -> None:
    """Write a Hugging Face folder that transformers, faster-whisper's converter and tx open."""
    whisper = base_model(model)
    use_cache, whisper.config.use_cache = whisper.config.use_cache, True  # training may have disabled it
    try:
        whisper.save_pretrained(folder, state_dict=merged_weights(model), max_shard_size="1TB")
    finally:
        whisper.config.use_cache = use_cache
    # transformers makes this file readable by its owner only.
    (folder / HF_WEIGHTS).chmod((folder / "config.json").stat().st_mode)
    processor.save_pretrained(folder)
    processor.feature_extractor.save_pretrained(folder)  # preprocessor_config.json, which other decoders read
