"""The languages of Whisper: their codes, and their names in English and in the languages themselves."""

import re
import unicodedata

from tx.errors import did_you_mean

# By code: those of ISO 639, and three that only Whisper uses.
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
NATIVE_NAMES = {
    "deutsch": "de", "français": "fr", "español": "es", "castellano": "es", "italiano": "it", "português": "pt",
    "nederlands": "nl", "русский": "ru", "українська": "uk", "中文": "zh", "汉语": "zh", "漢語": "zh",
    "普通话": "zh", "日本語": "ja", "한국어": "ko", "polski": "pl", "türkçe": "tr", "čeština": "cs",
    "magyar": "hu", "română": "ro", "ελληνικά": "el", "svenska": "sv", "dansk": "da", "norsk": "no",
    "suomi": "fi", "català": "ca", "العربية": "ar", "فارسی": "fa", "اردو": "ur", "עברית": "he",
    "हिन्दी": "hi", "বাংলা": "bn", "தமிழ்": "ta", "ไทย": "th", "tiếng việt": "vi", "bahasa indonesia": "id",
    "bahasa melayu": "ms",
}  # fmt: skip


def _folded(name: str) -> str:
    """The name without case and accents."""
    marked = unicodedata.normalize("NFKD", name.strip().casefold())
    return "".join(character for character in marked if not unicodedata.combining(character))


_CODES = {code: code for code in NAMES} | {name: code for code, name in NAMES.items()}
_CODES |= {_folded(name): code for name, code in NATIVE_NAMES.items()}


def language_code(name: str) -> str | None:
    """Whisper's code of a language given as `de`, `de-DE`, `German`, `Deutsch` or `<|de|>`; None if it is unknown."""
    plain = _folded(name).removeprefix("<|").removesuffix("|>")
    without_region = re.split("[-_]", plain)[0]
    return _CODES.get(plain) or (without_region if without_region in NAMES else None)


def suggest_language(name: str) -> str:
    """A hint for an unknown language: the most similar name, if any."""
    near = did_you_mean(name.strip().casefold(), [*NAMES, *NAMES.values(), *NATIVE_NAMES])
    return near or "give a code such as de, or a name such as German"
