"""What is believed of what was heard: the thresholds and the fallback of the Whisper paper, section 4.5.

A text that says the same again and again, or that is improbable, is heard again at a higher temperature, where
chance leads out of the loop.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tx.speech.transcribe.options import Options
from tx.speech.whisper_tokenizer import Vocabulary


@dataclass(frozen=True)
class Heard:
    """What was understood in a window: its tokens, and how far that is to be believed."""

    tokens: list[int]
    logprob: float  # mean of the tokens, in nats
    no_speech: float  # the probability that nobody speaks
    compression: float
    temperature: float


def judged(
    tokens: list[int], logprob: float, no_speech: float, temperature: float, vocabulary: Vocabulary
) -> Heard:
    """What a search found, of log-probability `logprob` in all, its end counted as a token."""
    ratio = compression(vocabulary.decode(tokens).strip())
    return Heard(tokens, logprob / (len(tokens) + 1), no_speech, ratio, temperature)


def compression(text: str) -> float:
    """How many times shorter zlib makes a text: above 2.4 it says the same again and again."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def is_silence(heard: Heard, options: Options) -> bool:
    """Whether nobody speaks, and what was heard is made up."""
    return heard.no_speech > options.no_speech_threshold and heard.logprob < options.logprob_threshold


def is_doubtful(heard: Heard, options: Options) -> bool:
    """Whether another temperature should be tried."""
    improbable = heard.logprob < options.logprob_threshold
    return (improbable or heard.compression > options.compression_threshold) and not is_silence(
        heard, options
    )


def insist(
    attempt: Callable[[list[int], float], Sequence[Heard]], n_windows: int, options: Options
) -> list[Heard]:
    """What `attempt` (windows by their numbers, temperature) hears, tried again where that is doubtful.

    Where all attempts are, the likeliest counts, of those that do not repeat themselves if there are any.
    """
    tried: list[list[Heard]] = [[] for _ in range(n_windows)]
    left = list(range(n_windows))
    for temperature in options.temperatures:
        for i, heard in zip(left, attempt(left, temperature), strict=True):
            tried[i].append(heard)
        left = [i for i in left if is_doubtful(tried[i][-1], options)]
        if not left:
            break

    def merit(heard: Heard) -> tuple[bool, float]:
        return heard.compression <= options.compression_threshold, heard.logprob

    return [max(tried[i], key=merit) if i in left else tried[i][-1] for i in range(n_windows)]
