"""What is made of a pretrained model before and after it is trained.

Language and task are locked into `generation_config`, which is what generation reads; the same keys in `config` have
no effect. Low-rank adapters (LoRA, Hu et al. 2021) are merged into the weights on saving, so that a package is always
a plain Whisper.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tx.config.schema import FinetuneConfig
from tx.package import HF_WEIGHTS
from tx.speech.whisper_tokenizer import WhisperTokenizer
from tx.tasks.speech.encoder import fit_windows

TASKS = ("transcribe", "translate")
LORA_LR = 1e-3
# A fortieth of what each size was pretrained with, by the width of the model.
_LR = {384: 3.75e-5, 512: 2.5e-5, 768: 1.25e-5, 1024: 6.25e-6, 1280: 5e-6}


def learning_rate_for(d_model: int, lora: bool = False) -> float:
    """The peak learning rate for a model of this width."""
    return LORA_LR if lora else _LR[min(_LR, key=lambda width: abs(width - d_model))]


def complete(model: Any, vocabulary: WhisperTokenizer) -> None:
    """Tell generation what it needs and older folders do not say, those without generation_config.json above all.

    What follows from the tokenizer is added; what is there, or was in config.json (forbidden tokens), stays.
    """
    needed: dict[str, Any] = {
        "is_multilingual": bool(vocabulary.languages),
        "no_timestamps_token_id": vocabulary.no_timestamps,
        "prev_sot_token_id": vocabulary.sot_prev,
        "max_initial_timestamp_index": vocabulary.max_initial_timestamp,
        "max_length": model.config.max_target_positions,
    }
    if vocabulary.languages:
        some = next(iter(vocabulary.languages))
        needed["lang_to_id"] = {f"<|{code}|>": i for code, i in vocabulary.languages.items()}
        needed["task_to_id"] = {task: vocabulary.prompt(some, task)[-1] for task in TASKS}
    generation = model.generation_config
    for name, value in needed.items():
        if getattr(generation, name, None) is None:
            setattr(generation, name, value)
    generation._from_model_config = False  # else the library takes what it reads back for nothing


def lock(model: Any, language: str | None, task: str | None) -> None:
    """Make generation write this language and do this task without being asked; None leaves it to detection.

    `task` None: the model knows English alone, and takes neither.
    """
    generation = model.generation_config
    generation.language, generation.task = (language, task) if task else (None, None)
    generation.forced_decoder_ids = None
    generation.return_timestamps = None  # a fixed answer would forbid audio of more than 30 s


def lift_suppression(model: Any) -> None:
    """Let the model write every character: Whisper forbids itself quotation marks, brackets and notes of music.

    Tokens that are no text stay forbidden. What counts is `generation_config`; `config` says the same.
    """
    eot = model.generation_config.eos_token_id
    special = [i for i in model.generation_config.suppress_tokens or [] if i > eot]
    model.generation_config.suppress_tokens = model.config.suppress_tokens = special


def prepare(model: Any, config: FinetuneConfig) -> Any:
    """Freeze, add adapters and fit windows as configured; returns the model to train."""
    fit_windows(model)
    if config.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.freeze_encoder:
        model.model.encoder.requires_grad_(False)
    if not config.lora:
        return model
    from peft import LoraConfig, get_peft_model

    where = "decoder" if config.freeze_encoder else "(encoder|decoder)"
    # Without a task type: that of sequence-to-sequence models would hand Whisper input_ids.
    lora = LoraConfig(
        r=config.lora,
        lora_alpha=2 * config.lora,
        lora_dropout=0.05,
        target_modules=rf".*\.{where}\..*\.(q_proj|v_proj)",
    )
    return get_peft_model(model, lora)


def plain(model: Any) -> Any:
    """The WhisperForConditionalGeneration in a model that may have adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def merged_weights(model: Any) -> dict[str, Tensor]:
    """The weights under their usual names, adapters added to what they adapt; the model stays as it is."""
    whisper = plain(model)
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


def n_saved(model: Any) -> int:
    """How many numbers the weights have that are saved, in which adapters are none of their own."""
    return sum(p.numel() for name, p in plain(model).named_parameters() if ".lora_" not in name)


def save(model: Any, processor: Any, folder: Path) -> None:
    """Write a Hugging Face folder that transformers, faster-whisper's converter and tx open."""
    whisper = plain(model)
    kept, whisper.config.use_cache = whisper.config.use_cache, True  # the trainer had switched it off
    try:
        whisper.save_pretrained(folder, state_dict=merged_weights(model), max_shard_size="1TB")
    finally:
        whisper.config.use_cache = kept
    (folder / HF_WEIGHTS).chmod(
        (folder / "config.json").stat().st_mode
    )  # the library lets nobody else read it
    processor.save_pretrained(folder)
    processor.feature_extractor.save_pretrained(folder)  # preprocessor_config.json, which other decoders read
