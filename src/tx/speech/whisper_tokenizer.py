"""Whisper's tokenizer: text to ids and back, and the special tokens for language, task and timestamps.

The ids of special tokens are looked up in the vocabulary, because English-only models, multilingual models and
large-v3 (which has one more language) differ in all of them.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tx.errors import TxError, UsageError
from tx.package.hf_folder import GENERATION, TOKENIZER, HfFolder
from tx.speech.languages import NAMES, language_code, suggest_language

STEP = 0.02  # s between timestamp tokens
LAST_TIMESTAMP = 30.0  # s
SMALLEST_MULTILINGUAL = 51865  # vocabulary size; for models whose generation_config.json does not say


class WhisperTokenizer:
    """The tokenizer in a Whisper folder, with the ids of its special tokens.

    Raises TxError if the folder has no tokenizer, or one that does not fit the model.
    """

    def __init__(self, folder: HfFolder) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise TxError("transcribing needs the package tokenizers", "pip install 'tx[whisper]'") from None
        self._folder = folder
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(folder.file(TOKENIZER)))
        except TxError:
            raise
        except Exception as error:  # the library raises nothing more specific
            raise TxError(f"{folder.path / TOKENIZER} is not a tokenizer: {error}") from None
        self.size = folder.positive_int("vocab_size")
        self.eot = self._id("<|endoftext|>")
        self.sot = self._id("<|startoftranscript|>")
        self.sot_prev = self._id("<|startofprev|>")
        self.no_timestamps = self._id("<|notimestamps|>")
        self.timestamp_begin = self.no_timestamps + 1  # <|0.00|>
        self.no_speech = self.no_timestamps - 1  # <|nospeech|>, in older vocabularies <|nocaptions|>
        settings = folder.generation
        self.suppress_tokens = self._ids(settings.get("suppress_tokens"))
        self.begin_suppress_tokens = self._ids(settings.get("begin_suppress_tokens"))
        latest = settings.get("max_initial_timestamp_index")
        self.max_initial_timestamp = latest if isinstance(latest, int) else 50

    def _id(self, token: str) -> int:
        found: int | None = self._tokenizer.token_to_id(token)
        if found is None or found >= self.size:
            raise TxError(
                f"{self._folder.path / TOKENIZER} is not the Whisper tokenizer of this model: it lacks {token}",
                "save model and tokenizer together in one folder",
            )
        return found

    def _ids(self, value: Any) -> list[int]:
        """A list of ids in generation_config.json. Raises TxError if it holds anything else."""
        ids = value or []
        if not isinstance(ids, list) or not all(type(i) is int and 0 <= i < self.size for i in ids):
            raise TxError(f"{self._folder.path / GENERATION} suppresses tokens that do not exist: {value!r}")
        return ids

    @cached_property
    def languages(self) -> dict[str, int]:
        """The id of each language's token by its code; empty for an English-only model."""
        is_multilingual = self._folder.generation.get("is_multilingual")
        if is_multilingual is None:
            is_multilingual = self.size >= SMALLEST_MULTILINGUAL
        found = {code: self._tokenizer.token_to_id(f"<|{code}|>") for code in NAMES if is_multilingual}
        return {code: i for code, i in found.items() if i is not None and i < self.size}

    def language(self, name: str) -> str:
        """The code of a language in any form that `language_code` accepts. Raises UsageError if it is unknown."""
        code = language_code(name)
        if code is not None and code in (self.languages or ["en"]):
            return code
        if not self.languages:
            raise UsageError(
                f"{self._folder.path} is an English-only model and does not know '{name}'",
                "use a multilingual model",
            )
        known = f"its languages are: {', '.join(self.languages)}"
        raise UsageError(f"the model knows no language '{name}'", known if code else suggest_language(name))

    @property
    def default_language(self) -> str | None:
        """The language in generation_config.json, if any; English for an English-only model."""
        name = self._folder.generation.get("language")
        if not self.languages:
            return "en"
        return self.language(name) if isinstance(name, str) else None

    @property
    def default_task(self) -> str:
        return "translate" if self._folder.generation.get("task") == "translate" else "transcribe"

    def prompt(self, language: str, task: str, timestamps: bool = True) -> list[int]:
        """The tokens before the text: start of transcript, language, task, and <|notimestamps|> if so."""
        ids = [self.sot]
        if self.languages:
            ids += [self.languages[language], self._id(f"<|{task}|>")]
        return ids if timestamps else [*ids, self.no_timestamps]

    def encode(self, text: str) -> list[int]:
        """The ids of a text; special tokens written out in it are ordinary text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [i for i in ids if i < self.eot]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids` without special tokens."""
        text: str = self._tokenizer.decode([i for i in ids if i < self.eot], skip_special_tokens=True)
        return text

    def seconds(self, token: int) -> float:
        """The time of a timestamp token, in seconds from the start of its window."""
        return (token - self.timestamp_begin) * STEP

    def timestamp(self, seconds: float) -> int:
        """The timestamp token nearest to `seconds`."""
        return self.timestamp_begin + round(min(max(seconds, 0.0), LAST_TIMESTAMP) / STEP)
