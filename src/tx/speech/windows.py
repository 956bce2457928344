"""What Whisper is trained on: windows of up to 30 seconds, and the token ids of their text (Radford et al., 2022).

Cues are packed into windows as the paper does it: as many whole cues as fit, times in steps of 0.02 s from the start of
the window; a cue that crosses the end opens the next window.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tx.speech.items import Item, Problem
from tx.speech.media import Stored
from tx.speech.subtitles import Cue

SECONDS = 30.0
MAX_LABELS = 448  # what the decoder has positions for
STEP = 0.02  # s, of a timestamp token


@dataclass(frozen=True)
class Window:
    """Up to 30 s of sound and what is said in them. Times in seconds of the file.

    `crossing` is the start of a cue that begins in the 30 s and ends beyond them: with timestamps the sound goes on to
    the full 30 s, and its start is the last token; without them the sound ends before it. `previous` is the text before
    the window in the same file.
    """

    media: Path | Stored
    start: float
    end: float
    text: str
    cues: tuple[Cue, ...] = ()
    previous: str = ""
    crossing: float | None = None
    language: str | None = None
    origin: str = ""

    def sound(self, timestamps: bool = False) -> np.ndarray:
        """float32 of shape (samples,) at 16 kHz, at most 30 s. Raises TxError as `tx.speech.media.decode` does."""
        raise NotImplementedError


class Labels:
    """Token ids for Whisper. `tokenizer` is transformers' WhisperTokenizer, or a `tokenizers.Tokenizer`."""

    def __init__(self, tokenizer: Any, language: str | None = None, task: str = "transcribe") -> None: ...

    def ids(self, window: Window, timestamps: bool = False, previous: bool = False) -> tuple[list[int], int]:
        """The whole sequence that the decoder sees and predicts, and where its <|startoftranscript|> stands.

            [<|startofprev|> previous text] <|startoftranscript|> <|de|> <|transcribe|> <|notimestamps|> text
            <|endoftext|>

        ids[:-1] is the decoder's input and ids[1:] its labels, those before index n to be left out of the loss, where
        n is the second value: 0 without previous text. The window's own language wins over the one given here.
        """
        raise NotImplementedError


def cut(items: Iterable[Item], labels: Labels | None = None) -> tuple[list[Window], list[Problem]]:
    """The windows of `items` and the problems: sound over 30 s without times, labels over 448 tokens, unreadable media.

    Without `labels` no label is counted.
    """
    raise NotImplementedError
