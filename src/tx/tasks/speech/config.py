"""The configuration of fine-tuning Whisper."""

from dataclasses import dataclass, field
from typing import Literal

from tx.config import schema
from tx.config.schema import RunConfig, ValidatedData, option


@dataclass
class DataConfig(ValidatedData):
    """Speech with its text."""

    train: list[str] = option([], "Training data: audio or video files with transcripts")  # noqa: RUF009
    valid: list[str] = option(  # noqa: RUF009
        [], "Validation data; by default part of the training data is held out"
    )
    n_valid: int = option(100, "Utterances to hold out if no validation data is given", ge=1)


@dataclass
class TrainConfig(schema.TrainConfig):
    """Defaults for fine-tuning a model that is trained already."""

    batch_size: int = option(8, "Utterances per batch", flag=True, ge=1)
    lr: float = option(0.0, "Peak learning rate; 0: chosen by model size", flag=True, ge=0)
    schedule: Literal["inverse-sqrt", "cosine", "linear", "constant"] = option(
        "linear", "Learning-rate schedule after the warm-up", flag=True
    )
    warmup_steps: int = option(10, "Number of warm-up updates", flag=True, ge=0)
    weight_decay: float = option(0.0, "Decoupled weight decay of AdamW", ge=0)
    beta2: float = option(0.999, "Decay rate of AdamW's second moment", ge=0, le=1)
    patience: int = option(
        4, "Stop after N validations without improvement (early stopping); 0: never", flag=True, ge=0
    )
    precision: Literal["auto", "float32", "bf16", "fp16"] = option(
        "auto",
        "Mixed precision; auto: bf16 where the GPU or the CPU (AVX512-BF16, AMX) supports it, else float32; "
        "fp16 on a GPU only",
        flag=True,
    )
    log_every: int = option(10, "Log every N updates", ge=1)


@dataclass
class FinetuneConfig:
    """The model to start from, and how it is trained."""

    init_from: str = option(
        "openai/whisper-base",
        "Model to start from: a package, a Hugging Face folder or a name on the hub",
        flag=True,
        metavar="MODEL",
    )
    language: str = option(
        "",
        "Language of the speech (de, german); by default the language given in the data for each utterance",
        flag=True,
        metavar="LANGUAGE",
    )
    task: Literal["transcribe", "translate"] = option(
        "transcribe", "Transcribe the speech, or translate it into English", flag=True
    )
    also_valid: list[str] = option(  # noqa: RUF009
        [],
        "Additional validation data, scored to detect catastrophic forgetting, not to choose the best model",
        flag=True,
        metavar="DATA",
    )
    audio_window: float = option(
        0.0,
        "Length of the encoder's input in training, in seconds; 0: the length of the longest clip in each batch",
        flag=True,
        ge=0,
        le=30,
    )
    timestamps: float = option(0.2, "Fraction of the utterances trained with timestamps", ge=0, le=1)
    previous_text: float = option(
        0.0, "Fraction of the windows trained with the preceding text as a prompt", ge=0, le=1
    )
    freeze_encoder: bool = option(
        False,
        "Train only the decoder; this suits new vocabulary or a new style, but not new speakers",
        flag=True,
    )
    lora: int = option(0, "Rank of LoRA adapters to train instead of all weights; 0: off", flag=True, ge=0)
    checkpointing: bool = option(False, "Recompute activations to save memory (gradient checkpointing)")
    spec_augment: bool = option(True, "Mask bands of time and frequency in training (SpecAugment)")
    speed: float = option(
        0.1, "Speed perturbation: play utterances faster or slower by up to this fraction", ge=0, le=0.5
    )
    noise: float = option(
        0.0, "Fraction of the utterances with added noise, 10 to 40 dB below the speech", ge=0, le=1
    )
    strict: bool = option(False, "Stop at the first utterance that cannot be used", flag=True)


@dataclass
class Config(RunConfig):
    """What configures a run of fine-tuning."""

    task = "speech"

    arch: str = option("whisper", "Architecture")
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
