"""The languages of Whisper, read from languages.toml: their codes, and their names in English and in themselves."""

import re
import tomllib
import unicodedata
from importlib.resources import files

from tx.errors import did_you_mean

_tables = tomllib.loads(files("tx.speech").joinpath("languages.toml").read_text(encoding="utf-8"))
NAMES: dict[str, str] = _tables["names"]  # by code
NATIVE_NAMES: dict[str, str] = _tables["native"]  # the codes


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
