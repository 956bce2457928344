"""What a caller may ask of a transcriber, and what it answers with."""

from dataclasses import dataclass
from typing import Literal

Activity = Literal["energy", "silero", "none"]
Task = Literal["transcribe", "translate"]


@dataclass(frozen=True)
class Options:
    """How to listen. The thresholds are those of the Whisper paper, section 4.5.

    A window whose text repeats itself (zlib shortens it by more than `compression_threshold`) or is improbable
    (below `logprob_threshold` nats a token) is tried again at the next of `temperatures`. One that is probably
    silence (`no_speech_threshold`) and improbable gives nothing.
    """

    language: str | None = None  # None: the model's own, else detected
    task: Task | None = None  # None: the model's own
    beam_size: int = 1
    batch_size: int = 8  # windows decoded together
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_threshold: float = 2.4
    logprob_threshold: float = -1.0
    no_speech_threshold: float = 0.6
    condition_on_previous: bool = False  # the text so far is the prompt of the next window: one at a time
    prompt: str | None = None  # names and spellings to expect
    activity: Activity = "energy"  # who finds the speech
    seed: int = 1


@dataclass(frozen=True)
class Segment:
    """A stretch of speech: seconds from the start of the audio, and what was said.

    `logprob` is the mean log-probability of the tokens of its window, in nats; `no_speech` the probability that
    the window is silence; `compression` how far zlib shortens its text.
    """

    start: float
    end: float
    text: str
    language: str
    logprob: float = 0.0
    no_speech: float = 0.0
    compression: float = 0.0
    temperature: float = 0.0
