"""Whisper's tokens: pieces of text, and the special ones that say language, task and time.

The ids follow from the vocabulary itself, not from its size: English-only models, the multilingual ones and
large-v3 (which knows one language more) differ in all of them.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tx.errors import TxError, UsageError
from tx.package.hf_folder import GENERATION, TOKENIZER, Folder
from tx.speech.languages import NAMES, language_code, nearest_language
from tx.speech.windows import STEP

SMALLEST_MULTILINGUAL = 51865  # tokens: how to tell models whose generation_config.json does not say


class Vocabulary:
    """The tokenizer of a Whisper folder, and the ids of what is special in it."""

    def __init__(self, folder: Folder) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise TxError("transcribing needs the package tokenizers", "pip install 'tx[whisper]'") from None
        self._folder = folder
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(folder.file(TOKENIZER)))
        except TxError:
            raise
        except Exception as error:  # the library raises nothing more exact
            raise TxError(f"{folder.path / TOKENIZER} is no tokenizer: {error}") from None
        self.size = folder.number("vocab_size")
        self.eot = self._id("<|endoftext|>")
        self.sot = self._id("<|startoftranscript|>")
        self.no_timestamps = self._id("<|notimestamps|>")
        self.first_time = self.no_timestamps + 1  # <|0.00|>
        self.no_speech = self.no_timestamps - 1  # <|nospeech|>, in older vocabularies <|nocaptions|>
        self.previous = self._id("<|startofprev|>")
        settings = folder.generation
        self.suppressed = self._ids(settings.get("suppress_tokens"))
        self.suppressed_first = self._ids(settings.get("begin_suppress_tokens"))
        latest = settings.get("max_initial_timestamp_index")
        self.max_first_time = latest if isinstance(latest, int) else 50

    def _id(self, token: str) -> int:
        found: int | None = self._tokenizer.token_to_id(token)
        if found is None or found >= self.size:
            raise TxError(
                f"{self._folder.path / TOKENIZER} is no tokenizer of Whisper for this model: it lacks {token}",
                "save model and tokenizer together in one folder",
            )
        return found

    def _ids(self, value: Any) -> list[int]:
        """A list of ids in generation_config.json. Raises TxError if it holds anything else."""
        ids = value or []
        if not isinstance(ids, list) or not all(type(i) is int and 0 <= i < self.size for i in ids):
            raise TxError(f"{self._folder.path / GENERATION} suppresses tokens that there are not: {value!r}")
        return ids

    @cached_property
    def languages(self) -> dict[str, int]:
        """The id of each language's token by its code; none: an English-only model."""
        told = self._folder.generation.get("is_multilingual")
        codes = NAMES if (self.size >= SMALLEST_MULTILINGUAL if told is None else told) else {}
        found = {code: self._tokenizer.token_to_id(f"<|{code}|>") for code in codes}
        return {code: i for code, i in found.items() if i is not None and i < self.size}

    def language(self, name: str) -> str:
        """The code of a language given as `language_code` takes it. Raises UsageError if the model knows no such."""
        code = language_code(name)
        if code is not None and code in (self.languages or ["en"]):
            return code
        if not self.languages:
            raise UsageError(
                f"{self._folder.path} knows English alone, not '{name}'", "use a multilingual model"
            )
        known = "it knows " + ", ".join(self.languages)
        raise UsageError(f"the model knows no language '{name}'", known if code else nearest_language(name))

    @property
    def default_language(self) -> str | None:
        """The language that was locked into the model, if any."""
        name = self._folder.generation.get("language")
        if not self.languages:
            return "en"
        return self.language(name) if isinstance(name, str) else None

    @property
    def default_task(self) -> str:
        return "translate" if self._folder.generation.get("task") == "translate" else "transcribe"

    def prompt(self, language: str, task: str, timestamps: bool = True) -> list[int]:
        """What the decoder is given before the text: start, language, task, and that no times are wanted."""
        ids = [self.sot]
        if self.languages:
            ids += [self.languages[language], self._id(f"<|{task}|>")]
        return ids if timestamps else [*ids, self.no_timestamps]

    def encode(self, text: str) -> list[int]:
        """The ids of a text, special tokens spelt out in it being ordinary text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [i for i in ids if i < self.eot]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, without what is special."""
        text: str = self._tokenizer.decode([i for i in ids if i < self.eot], skip_special_tokens=True)
        return text

    def seconds(self, token: int) -> float:
        """The time that a timestamp token stands for, from the start of its window."""
        return (token - self.first_time) * STEP

    def time(self, seconds: float) -> int:
        """The timestamp token closest to `seconds`."""
        return self.first_time + math.floor(seconds / STEP + 0.5)
