"""The configuration of a training run: plain dataclasses whose fields carry their own help text.

One name serves as attribute, TOML key and flag. The keys of `[model]` belong to the architecture's own file
(its `Config` dataclass) and are checked when that file is imported, so that nothing here needs torch.
`tx.config.resolve` fills these dataclasses from files, environment and flags; `tx.config.toml` writes them.
"""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, get_args, get_origin

from tx.config.duration import parse_duration


def option(
    default: Any,
    help: str,
    *,
    flag: bool = False,
    ge: float | None = None,
    le: float | None = None,
    check: Callable[[Any], object] | None = None,
    derived: bool = False,
    tasks: tuple[str, ...] = (),
    by_task: Mapping[str, Any] | None = None,
) -> Any:
    """A dataclass field with its help text; `flag=True` gives it a command-line flag of the same name.

    Numbers lie between `ge` and `le`; `check` is called with a value that was given and raises TxError for a
    bad one. A `derived` field follows from others or the data: nobody configures it, and no configuration shows
    it. With `tasks`, a field means something for these alone; `by_task` holds the defaults of some tasks.
    """
    metadata = {"help": help, "flag": flag, "ge": ge, "le": le, "check": check, "derived": derived}
    metadata |= {"tasks": tasks, "by_task": by_task or {}}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


TRANSLATION, LANGUAGE_MODEL, VECTORS, SPEECH = "translation", "language-model", "vectors", "speech"
TAGGING = "tagging"
PAIRS, TEXT, WORDS, MEDIA, COLUMNS = (TRANSLATION,), (LANGUAGE_MODEL,), (VECTORS,), (SPEECH,), (TAGGING,)
MODELS = (*PAIRS, *TEXT, *COLUMNS)  # what the training loop trains: the tasks of an option that names none
STEPS = (*MODELS, *MEDIA)  # what is trained by updates of a network
EVERY = (*STEPS, *WORDS)


@dataclass
class DataConfig:
    """Where the text comes from, and what of it is used."""

    train: list[str] = option(  # noqa: RUF009
        [],
        "training text; for translation source file, then target file; for speech media with their text; for "
        "tagging columns: a word and its tag on each line",
        tasks=EVERY,
    )
    valid: list[str] = option(  # noqa: RUF009
        [], "validation text, in the same order; absent: held out from the training text", tasks=STEPS
    )
    tokenizer: str = option("", "a tokenizer package or folder; absent: one is fitted", flag=True)
    tokenizer_kind: Literal["unigram", "bpe", "char", "word", "wordpiece", "alphabet"] = option(
        "unigram", "the kind of tokenizer to fit", by_task={LANGUAGE_MODEL: "alphabet"}
    )
    vocab_size: int = option(
        8000, "pieces in the fitted vocabulary", flag=True, ge=8, by_task={TAGGING: 2000}
    )
    embeddings: str = option(
        "", "a package of word vectors to start from; absent: from nothing", flag=True, tasks=COLUMNS
    )
    shared_vocab: bool = option(True, "one vocabulary for both sides", tasks=PAIRS)
    sampling: float = option(
        0.0,
        "subword sampling strength in training (BPE-dropout or unigram alpha); 0: off",
        ge=0,
        le=1,
        tasks=PAIRS,
    )
    max_len: int = option(128, "drop pairs with a side longer than this many pieces", ge=1, tasks=PAIRS)
    max_ratio: float = option(
        4.0,
        "drop pairs with a side of more pieces than this times those of the other (plus 5, for short ones)",
        ge=1,
        tasks=PAIRS,
    )
    deduplicate: bool = option(True, "drop pairs that occurred before", tasks=PAIRS)
    n_valid: int = option(
        1000,
        "pairs, or items of speech, to hold out when no validation text is given",
        ge=1,
        tasks=(*PAIRS, *MEDIA),
        by_task={SPEECH: 100},
    )
    valid_fraction: float = option(
        0.1,
        "share held out when no validation text is given: of running text its end, of sentences any",
        ge=0,
        le=0.9,
        tasks=(*TEXT, *COLUMNS),
    )


@dataclass
class TrainConfig:
    """The optimizer, its schedule, how long, and how often to look."""

    batch_tokens: int = option(
        4096, "target tokens in a batch of pairs, padding included", flag=True, ge=1, tasks=PAIRS
    )
    batch_size: int = option(
        32,
        "pieces of running text, sentences to tag, or items of speech, in a batch",
        flag=True,
        ge=1,
        tasks=(*TEXT, *COLUMNS, *MEDIA),
        by_task={SPEECH: 8},
    )
    seq_len: int = option(
        128,
        "tokens of each: the context of a Transformer, the reach of back-propagation through time",
        flag=True,
        ge=1,
        tasks=TEXT,
    )
    grad_accum: int = option(1, "batches in one update", flag=True, ge=1, tasks=STEPS)
    lr: float = option(
        1e-3, "peak learning rate", flag=True, ge=0, tasks=EVERY, by_task={VECTORS: 0.025, SPEECH: 0.0}
    )
    schedule: Literal["inverse-sqrt", "cosine", "linear", "constant"] = option(
        "inverse-sqrt",
        "the learning rate after the warm-up",
        flag=True,
        tasks=STEPS,
        by_task={SPEECH: "linear"},
    )
    warmup_steps: int = option(
        1000, "updates until the peak learning rate", flag=True, ge=0, tasks=STEPS, by_task={SPEECH: 10}
    )
    weight_decay: float = option(
        1e-4, "AdamW's decoupled weight decay", ge=0, tasks=STEPS, by_task={SPEECH: 0.0}
    )
    beta2: float = option(
        0.98, "AdamW's second moment decay", ge=0, le=1, tasks=STEPS, by_task={SPEECH: 0.999}
    )
    clip_norm: float = option(1.0, "largest gradient norm; 0: no clipping", ge=0, tasks=STEPS)
    label_smoothing: float = option(
        0.1,
        "share of probability spread over the vocabulary",
        ge=0,
        le=1,
        tasks=(*PAIRS, *TEXT),
        by_task={LANGUAGE_MODEL: 0.0, TAGGING: 0.0},
    )
    ema: float = option(0.999, "decay of the moving average of the weights; 0: off", ge=0, le=1)
    average: int = option(5, "also average the last N evaluated weights; 1: off", ge=1)
    max_steps: int = option(0, "stop after this many updates; 0: no limit", flag=True, ge=0, tasks=STEPS)
    max_epochs: int = option(
        0, "stop after this many passes over the data; 0: no limit", flag=True, ge=0, tasks=STEPS
    )
    max_time: str = option(
        "",
        "stop after this long (90s, 30m, 2h); the schedule is fitted to it",
        flag=True,
        check=parse_duration,
        tasks=STEPS,
    )
    eval_every: int = option(
        0, "updates between validations; 0: chosen from the corpus", flag=True, ge=0, tasks=STEPS
    )
    patience: int = option(
        10,
        "stop after this many validations without a better score; 0: never",
        flag=True,
        ge=0,
        tasks=STEPS,
        by_task={SPEECH: 4},
    )
    metric: Literal["bleu", "loss"] = option("bleu", "what the best model is chosen by", tasks=PAIRS)
    eval_lines: int = option(500, "validation lines to decode for BLEU", ge=1, tasks=PAIRS)
    eval_tokens: int = option(200_000, "validation tokens to measure the loss on; 0: all", ge=0, tasks=TEXT)
    precision: Literal["auto", "float32", "bf16", "fp16"] = option(
        "auto",
        "auto: bf16 where the GPU, or the CPU (AVX512-BF16, AMX), has it; else float32; fp16 for speech on a GPU",
        flag=True,
        tasks=STEPS,
    )
    device: str = option("auto", "auto, cpu, cuda or cuda:N", flag=True, tasks=EVERY)
    threads: int = option(0, "CPU threads; 0: one per core", flag=True, ge=0, tasks=EVERY)
    compile: bool = option(
        False, "compile the model with torch.compile (pays on a GPU in long runs)", flag=True
    )
    log_every: int = option(50, "updates between lines of the log", ge=1, tasks=STEPS, by_task={SPEECH: 10})
    tensorboard: bool = option(
        False, "also write TensorBoard events (needs the extra `tensorboard`)", flag=True, tasks=STEPS
    )


@dataclass
class DecodeConfig:
    """How hypotheses are searched; kept in the package as the defaults of `tx translate`."""

    beam_size: int = option(5, "hypotheses kept at each step; 1: greedy", ge=1, tasks=PAIRS)
    length_penalty: float = option(1.0, "scores are divided by length to this power", ge=0, tasks=PAIRS)
    max_len_ratio: float = option(
        1.5, "a hypothesis ends after this many times the source's pieces ...", ge=0, tasks=PAIRS
    )
    max_len_extra: int = option(10, "... plus this many", ge=0, tasks=PAIRS)


@dataclass
class Word2VecConfig:
    """Word vectors: what they are, what they are learned from, and by which engine."""

    dim: int = option(100, "numbers in a vector", flag=True, ge=1, tasks=WORDS)
    method: Literal["skipgram", "cbow"] = option(
        "skipgram",
        "predict the words around a word, or the word from those around it",
        flag=True,
        tasks=WORDS,
    )
    window: int = option(
        5, "words to either side, at most: each word draws from 1 to this", flag=True, ge=1, tasks=WORDS
    )
    negative: int = option(5, "wrong words drawn for each right one", flag=True, ge=1, le=100, tasks=WORDS)
    min_count: int = option(5, "leave out words that occur less often", flag=True, ge=1, tasks=WORDS)
    subsample: float = option(
        1e-4,
        "thin out words that make up more than this share of the text; 0: off",
        flag=True,
        ge=0,
        tasks=WORDS,
    )
    epochs: int = option(5, "passes over the text", flag=True, ge=1, tasks=WORDS)
    phrases: bool = option(False, "join pairs that belong together: new_york", flag=True, tasks=WORDS)
    phrase_threshold: float = option(100.0, "the score from which a pair is joined", ge=0, tasks=WORDS)
    engine: Literal["auto", "gensim", "fast", "torch"] = option(
        "auto",
        "fast: skip-gram by numba; torch: skip-gram on a GPU; gensim: skip-gram and cbow",
        flag=True,
        tasks=WORDS,
    )


@dataclass
class FinetuneConfig:
    """A pretrained Whisper made to hear what it is shown: what it starts from, and what it sees."""

    init_from: str = option(
        "openai/whisper-base",
        "the model to start from: a package, a Hugging Face folder or a name on the hub",
        flag=True,
        tasks=MEDIA,
    )
    language: str = option(
        "",
        "the language of the speech (de, german); absent: as the data states it, item by item",
        flag=True,
        tasks=MEDIA,
    )
    task: Literal["transcribe", "translate"] = option(
        "transcribe", "write what is said, or its translation into English", flag=True, tasks=MEDIA
    )
    also_valid: list[str] = option(  # noqa: RUF009
        [],
        "more sets to score at each validation, to see what is forgotten; the best is not chosen by them",
        flag=True,
        tasks=MEDIA,
    )
    audio_window: float = option(
        0.0,
        "seconds that the encoder sees in training: 30 as in use, or less; 0: as long as the clips of each batch",
        flag=True,
        ge=0,
        le=30,
        tasks=MEDIA,
    )
    timestamps: float = option(
        0.2, "share of the items that are trained with their times", ge=0, le=1, tasks=MEDIA
    )
    previous_text: float = option(
        0.0,
        "share of the windows of a file that see the text before them as a prompt",
        ge=0,
        le=1,
        tasks=MEDIA,
    )
    freeze_encoder: bool = option(
        False,
        "train the decoder alone: for new words or another style, not for new voices",
        flag=True,
        tasks=MEDIA,
    )
    lora: int = option(
        0,
        "rank of low-rank adapters that are trained in place of all weights; 0: off",
        flag=True,
        ge=0,
        tasks=MEDIA,
    )
    checkpointing: bool = option(
        False, "compute activations twice to keep fewer of them in memory", tasks=MEDIA
    )
    spec_augment: bool = option(
        True, "hide bands of time and of pitch in training (SpecAugment)", tasks=MEDIA
    )
    speed: float = option(
        0.1, "play training items up to this share faster or slower, as in 0.1", ge=0, le=0.5, tasks=MEDIA
    )
    noise: float = option(
        0.0,
        "share of the training items that get noise, 10 to 40 dB below the speech",
        ge=0,
        le=1,
        tasks=MEDIA,
    )
    strict: bool = option(False, "stop at the first item that cannot be used", flag=True, tasks=MEDIA)


@dataclass
class RunConfig:
    """Everything that determines a run; `run/config.toml` keeps it, and repeats it."""

    task: str = option(TRANSLATION, "what the architecture is for", derived=True)
    arch: str = option("transformer", "the architecture: a file of tx/models", tasks=EVERY)
    seed: int = option(1, "seeds every random choice of the run", flag=True, ge=0, tasks=EVERY)
    data: DataConfig = field(default_factory=DataConfig)
    model: dict[str, Any] = field(default_factory=dict)
    train: TrainConfig = field(default_factory=TrainConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    word2vec: Word2VecConfig = field(default_factory=Word2VecConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)


SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "train": TrainConfig,
    "decode": DecodeConfig,
    "word2vec": Word2VecConfig,
    "finetune": FinetuneConfig,
}


def default_of(option: Field, task: str = TRANSLATION) -> Any:
    """The default of a dataclass field, as a task has it."""
    usual = option.default_factory() if callable(option.default_factory) else option.default
    return option.metadata["by_task"].get(task, usual)


def concerns(option: Field, task: str) -> bool:
    """Whether a field of the configuration means something for a task, and may be configured."""
    return not option.metadata.get("derived") and task in (option.metadata.get("tasks") or MODELS)


def defaults(task: str) -> "RunConfig":
    """What a run of this task has where nothing is configured."""
    config = RunConfig(task=task)
    for section, owner in SECTIONS.items():
        for option in fields(owner):
            setattr(getattr(config, section), option.name, default_of(option, task))
    return config


def decode_options(config: RunConfig) -> dict[str, Any]:
    """What of `[decode]` means something for the task: the defaults that a package keeps."""
    return {
        option.name: getattr(config.decode, option.name)
        for option in fields(DecodeConfig)
        if concerns(option, config.task)
    }


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
