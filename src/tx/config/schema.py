"""The configuration of a run: dataclasses whose fields carry their help text.

One name serves as attribute, TOML key and flag. Here is what several tasks share; each task extends it by the fields
that it alone has, and overrides defaults and help where they differ. The keys of `[model]` belong to the file of the
architecture (its dataclass `Config`) and are checked when it is imported, so that nothing here needs torch.
`tx.config.resolve` fills these dataclasses from files, environment and flags; `tx.config.toml` writes them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from tx.config.duration import parse_duration


def option(
    default: Any,
    help: str,
    *,
    flag: bool = False,
    metavar: str = "",
    ge: float | None = None,
    le: float | None = None,
    check: Callable[[Any], object] | None = None,
    derived: bool = False,
) -> Any:
    """A dataclass field with its help text; `flag=True` gives it a command-line flag of the same name.

    Numbers lie between `ge` and `le`; `check` is called with a value that was given and raises TxError for a
    bad one. A `derived` field is computed from others or from the data: it cannot be configured, and no
    configuration shows it.
    """
    metadata = {"help": help, "flag": flag, "metavar": metavar, "ge": ge, "le": le, "check": check}
    metadata["derived"] = derived
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class DataConfig:
    """The data that every task trains on."""

    train: list[str] = option([], "Training text")  # noqa: RUF009


@dataclass
class ValidatedData(DataConfig):
    """Training data, and validation data to choose the best model by."""

    valid: list[str] = option(  # noqa: RUF009
        [],
        "Validation text, in the same order as the training text; by default part of the training text is held out",
    )


@dataclass
class TokenizedData(ValidatedData):
    """Text, and the tokenizer that cuts it into pieces."""

    tokenizer: str = option(
        "",
        "Tokenizer package or folder; by default a new tokenizer is trained",
        flag=True,
        metavar="NAME|FOLDER",
    )
    tokenizer_kind: Literal["unigram", "bpe", "char", "word", "wordpiece", "alphabet"] = option(
        "unigram", "Kind of the tokenizer to train"
    )
    vocab_size: int = option(8000, "Vocabulary size of the tokenizer to train", flag=True, ge=8)


@dataclass
class TrainConfig:
    """Training by updates of a network: the optimizer, its schedule, the limits, and the machine."""

    grad_accum: int = option(1, "Batches per update (gradient accumulation)", flag=True, ge=1)
    lr: float = option(1e-3, "Peak learning rate", flag=True, ge=0)
    schedule: Literal["inverse-sqrt", "cosine", "linear", "constant"] = option(
        "inverse-sqrt", "Learning-rate schedule after the warm-up", flag=True
    )
    warmup_steps: int = option(1000, "Number of warm-up updates", flag=True, ge=0)
    weight_decay: float = option(1e-4, "Decoupled weight decay of AdamW", ge=0)
    beta2: float = option(0.98, "Decay rate of AdamW's second moment", ge=0, le=1)
    clip_norm: float = option(1.0, "Maximum gradient norm (gradient clipping); 0: off", ge=0)
    max_steps: int = option(0, "Stop after N updates; 0: no limit", flag=True, ge=0)
    max_epochs: int = option(0, "Stop after N passes over the data; 0: no limit", flag=True, ge=0)
    max_time: str = option(
        "",
        "Stop after this time (90s, 30m, 2h); the learning-rate schedule is scaled to end at that time",
        flag=True,
        metavar="DURATION",
        check=parse_duration,
    )
    eval_every: int = option(0, "Updates between validations; 0: chosen automatically", flag=True, ge=0)
    patience: int = option(
        10, "Stop after N validations without improvement (early stopping); 0: never", flag=True, ge=0
    )
    precision: Literal["auto", "float32", "bf16", "fp16"] = option(
        "auto",
        "Mixed precision; auto: bf16 where the GPU or the CPU (AVX512-BF16, AMX) supports it, else float32",
        flag=True,
    )
    device: str = option("auto", "auto, cpu, cuda or cuda:N", flag=True, metavar="DEVICE")
    threads: int = option(0, "CPU threads; 0: one per core", flag=True, ge=0)
    log_every: int = option(50, "Log every N updates", ge=1)
    tensorboard: bool = option(False, "Also write TensorBoard events (requires tx[tensorboard])", flag=True)


@dataclass
class LoopTrainConfig(TrainConfig):
    """What only the training loop of tx offers."""

    label_smoothing: float = option(
        0.0, "Label smoothing (probability mass spread over the vocabulary)", ge=0, le=1
    )
    ema: float = option(0.999, "Decay of the exponential moving average of the weights; 0: off", ge=0, le=1)
    average: int = option(5, "Also evaluate the average of the last N validated checkpoints; 1: off", ge=1)
    compile: bool = option(False, "Compile the model with torch.compile (for long runs on a GPU)", flag=True)


@dataclass
class RunConfig:
    """What configures any run; `run/config.toml` in its package stores it. Each task has its own subclass."""

    task: ClassVar[str]
    hints: ClassVar[Mapping[str, str]] = {}  # by keys that do not apply to the task: what to do instead

    arch: str = option("transformer", "Architecture")
    seed: int = option(1, "Random seed", flag=True, ge=0)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass
class LoopConfig(RunConfig):
    """What configures a run of the training loop."""

    data: TokenizedData = field(default_factory=TokenizedData)
    model: dict[str, Any] = field(default_factory=dict)
    train: LoopTrainConfig = field(default_factory=LoopTrainConfig)


def sections(config: type[RunConfig]) -> dict[str, type]:
    """The dataclasses that hold the keys of a configuration, by section; "" is the top level."""
    hints = get_type_hints(config)
    inner = {option.name: hints[option.name] for option in fields(config) if is_dataclass(hints[option.name])}
    return {"": config, **inner}


def has_model(config: type[RunConfig]) -> bool:
    """Whether a configuration has the section `[model]`, whose keys the architecture defines."""
    return "model" in config.__dataclass_fields__


def options(config: type[RunConfig]) -> Iterator[tuple[str, Field, Any]]:
    """The dotted key, field and type of everything that can be configured, without `[model]`, in the file's order."""
    for section, owner in sections(config).items():
        hints = get_type_hints(owner)
        for option in fields(owner):
            if "help" in option.metadata and not option.metadata["derived"]:
                yield f"{section}.{option.name}".lstrip("."), option, hints[option.name]


def default_of(option: Field) -> Any:
    """The default of a dataclass field."""
    return option.default_factory() if callable(option.default_factory) else option.default


def choices(hint: Any) -> tuple[Any, ...]:
    """The values that a `Literal` type allows, none for other types."""
    return get_args(hint) if get_origin(hint) is Literal else ()


def limits(option: Field, hint: Any) -> str:
    """What a field allows beyond its type: "a, b, c", ">= 1", "0 to 1", or nothing."""
    ge, le = option.metadata.get("ge"), option.metadata.get("le")
    if choices(hint):
        return ", ".join(str(choice) for choice in choices(hint))
    if ge is not None and le is not None:
        return f"{ge:g} to {le:g}"
    return f">= {ge:g}" if ge is not None else f"<= {le:g}" if le is not None else ""
