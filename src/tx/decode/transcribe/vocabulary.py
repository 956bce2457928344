"""Whisper's tokens: pieces of text, and the special ones that say language, task and time.

The ids follow from the vocabulary itself, not from its size: English-only models, the multilingual ones and
large-v3 (which knows one language more) differ in all of them.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tx.decode.transcribe.folder import GENERATION, TOKENIZER, Folder
from tx.errors import TxError, UsageError, did_you_mean
from tx.speech.windows import STEP

SMALLEST_MULTILINGUAL = 51865  # tokens: how to tell models whose generation_config.json does not say
# The languages of Whisper by the names that people type; the codes are ISO 639, with three of Whisper's own.
NAMES = {
    "en": "english", "zh": "chinese", "de": "german", "es": "spanish", "ru": "russian", "ko": "korean",
    "fr": "french", "ja": "japanese", "pt": "portuguese", "tr": "turkish", "pl": "polish", "ca": "catalan",
    "nl": "dutch", "ar": "arabic", "sv": "swedish", "it": "italian", "id": "indonesian", "hi": "hindi",
    "fi": "finnish", "vi": "vietnamese", "he": "hebrew", "uk": "ukrainian", "el": "greek", "ms": "malay",
    "cs": "czech", "ro": "romanian", "da": "danish", "hu": "hungarian", "ta": "tamil", "no": "norwegian",
    "th": "thai", "ur": "urdu", "hr": "croatian", "bg": "bulgarian", "lt": "lithuanian", "la": "latin",
    "mi": "maori", "ml": "malayalam", "cy": "welsh", "sk": "slovak", "te": "telugu", "fa": "persian",
    "lv": "latvian", "bn": "bengali", "sr": "serbian", "az": "azerbaijani", "sl": "slovenian",
    "kn": "kannada", "et": "estonian", "mk": "macedonian", "br": "breton", "eu": "basque", "is": "icelandic",
    "hy": "armenian", "ne": "nepali", "mn": "mongolian", "bs": "bosnian", "kk": "kazakh", "sq": "albanian",
    "sw": "swahili", "gl": "galician", "mr": "marathi", "pa": "punjabi", "si": "sinhala", "km": "khmer",
    "sn": "shona", "yo": "yoruba", "so": "somali", "af": "afrikaans", "oc": "occitan", "ka": "georgian",
    "be": "belarusian", "tg": "tajik", "sd": "sindhi", "gu": "gujarati", "am": "amharic", "yi": "yiddish",
    "lo": "lao", "uz": "uzbek", "fo": "faroese", "ht": "haitian creole", "ps": "pashto", "tk": "turkmen",
    "nn": "nynorsk", "mt": "maltese", "sa": "sanskrit", "lb": "luxembourgish", "my": "burmese",
    "bo": "tibetan", "tl": "tagalog", "mg": "malagasy", "as": "assamese", "tt": "tatar", "haw": "hawaiian",
    "ln": "lingala", "ha": "hausa", "ba": "bashkir", "jw": "javanese", "su": "sundanese", "yue": "cantonese",
}  # fmt: skip
OWN_NAMES = {
    "deutsch": "de", "français": "fr", "español": "es", "castellano": "es", "italiano": "it", "português": "pt",
    "nederlands": "nl", "русский": "ru", "українська": "uk", "中文": "zh", "汉语": "zh", "漢語": "zh",
    "普通话": "zh", "日本語": "ja", "한국어": "ko", "polski": "pl", "türkçe": "tr", "čeština": "cs",
    "magyar": "hu", "română": "ro", "ελληνικά": "el", "svenska": "sv", "dansk": "da", "norsk": "no",
    "suomi": "fi", "català": "ca", "العربية": "ar", "فارسی": "fa", "اردو": "ur", "עברית": "he",
    "हिन्दी": "hi", "বাংলা": "bn", "தமிழ்": "ta", "ไทย": "th", "tiếng việt": "vi", "bahasa indonesia": "id",
    "bahasa melayu": "ms",
}  # fmt: skip


def _folded(name: str) -> str:
    """Without case and accents, which people leave away."""
    marked = unicodedata.normalize("NFKD", name.strip().casefold())
    return "".join(character for character in marked if not unicodedata.combining(character))


_CODES = {code: code for code in NAMES} | {name: code for code, name in NAMES.items()}
_CODES |= {_folded(name): code for name, code in OWN_NAMES.items()}


def language_code(name: str) -> str | None:
    """Whisper's code of a language given as `de`, `de-DE`, `German`, `Deutsch` or `<|de|>`; None for no such one."""
    plain = _folded(name).removeprefix("<|").removesuffix("|>")
    without_region = re.split("[-_]", plain)[0]
    return _CODES.get(plain) or (without_region if without_region in NAMES else None)


def nearest_language(name: str) -> str:
    """A hint for one who named no language."""
    near = did_you_mean(name.strip().casefold(), [*NAMES, *NAMES.values(), *OWN_NAMES])
    return near or "give a code, as in de, or a name, as in German"


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
