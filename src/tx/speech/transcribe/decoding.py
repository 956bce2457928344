"""Options and results of decoding, and the temperature fallback of the Whisper paper (section 4.5)."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tx.speech.features import Audio
from tx.speech.subtitles import Cue
from tx.speech.whisper_tokenizer import WhisperTokenizer

Activity = Literal["energy", "silero", "none"]
Task = Literal["transcribe", "translate"]


@dataclass(frozen=True)
class Options:
    """How to transcribe. The default thresholds are those of the Whisper paper, section 4.5.

    A window is decoded again at the next of `temperatures` if zlib compresses its text by more than
    `compression_threshold`, which means that it repeats itself, or if the average log-probability of its tokens is
    below `logprob_threshold` (nats). A window whose no-speech probability is above `no_speech_threshold` and whose
    average log-probability is too low is silence and gives no segments.
    """

    language: str | None = None  # None: the model's default language, else detected
    task: Task | None = None  # None: the model's default task
    beam_size: int = 1
    batch_size: int = 8  # windows decoded together
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_threshold: float = 2.4
    logprob_threshold: float = -1.0
    no_speech_threshold: float = 0.6
    condition_on_previous: bool = False  # prompt each window with the text before it, one window at a time
    prompt: str | None = None  # names and spellings to expect
    activity: Activity = "energy"  # the voice activity detector
    seed: int = 1


@dataclass(frozen=True)
class Segment(Cue):
    """A piece of a transcript, with its times in seconds from the start of the audio.

    `logprob` (average over the tokens, in nats), `no_speech` (probability) and `compression` (ratio) are those of
    the window that the segment was decoded from, at `temperature`.
    """

    language: str
    logprob: float = 0.0
    no_speech: float = 0.0
    compression: float = 0.0
    temperature: float = 0.0


@dataclass(frozen=True)
class DecodingResult:
    """The tokens decoded from a window, and the values that the thresholds of `Options` apply to."""

    tokens: list[int]
    logprob: float  # average over the tokens, in nats
    no_speech: float  # probability
    compression: float
    temperature: float

    @classmethod
    def of(
        cls,
        tokens: list[int],
        total_logprob: float,
        no_speech: float,
        temperature: float,
        tokenizer: WhisperTokenizer,
    ) -> "DecodingResult":
        """The result of a search that found `tokens`, without <|endoftext|>, which `total_logprob` includes."""
        ratio = compression_ratio(tokenizer.decode(tokens).strip())
        return cls(tokens, total_logprob / (len(tokens) + 1), no_speech, ratio, temperature)


@dataclass(frozen=True)
class Batch:
    """Windows of up to 30 s that are decoded together, each after its prompt.

    `numbers` identify the windows, so that sampling from one does not depend on the batch that it is in.
    """

    windows: Sequence[Audio]
    prompts: list[list[int]]
    numbers: Sequence[int]
    timestamps: bool = True


class Engine(Protocol):
    """Decodes windows of up to 30 s: `native` with PyTorch, `ctranslate2` with CTranslate2."""

    def decode(self, batch: Batch, options: Options) -> Sequence[DecodingResult]:
        """Decode each window after its prompt, with temperature fallback."""
        ...

    def detect_languages(self, windows: Sequence[Audio]) -> list[dict[str, float]]:
        """The probability of each language, for each window."""
        ...


def compression_ratio(text: str) -> float:
    """The length of a text divided by its length compressed by zlib; 0 for an empty text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def is_silence(result: DecodingResult, options: Options) -> bool:
    """Whether a window holds no speech, so that its text is a hallucination."""
    return result.no_speech > options.no_speech_threshold and result.logprob < options.logprob_threshold


def needs_fallback(result: DecodingResult, options: Options) -> bool:
    """Whether a window should be decoded again at a higher temperature."""
    is_improbable = result.logprob < options.logprob_threshold
    is_repetitive = result.compression > options.compression_threshold
    return (is_improbable or is_repetitive) and not is_silence(result, options)


def decode_with_fallback(
    attempt: Callable[[list[int], float], Sequence[DecodingResult]], n_windows: int, options: Options
) -> list[DecodingResult]:
    """Decode `n_windows` windows by `attempt(indices, temperature)`, retrying at the next temperature where needed.

    If no attempt is good enough, the most probable one is chosen, if possible among those that are not repetitive.
    """
    attempts: list[list[DecodingResult]] = [[] for _ in range(n_windows)]
    left = list(range(n_windows))
    for temperature in options.temperatures:
        for i, result in zip(left, attempt(left, temperature), strict=True):
            attempts[i].append(result)
        left = [i for i in left if needs_fallback(attempts[i][-1], options)]
        if not left:
            break

    def rank(result: DecodingResult) -> tuple[bool, float]:
        return result.compression <= options.compression_threshold, result.logprob

    return [max(found, key=rank) if i in left else found[-1] for i, found in enumerate(attempts)]
