"""Numbers as words, in English and in German.

In English, tens precede units with a hyphen ("twenty-three"), in German, units precede tens in one word
("dreiundzwanzig"), and every number below a million is a single word.
"""

from tx.errors import TxError

LARGEST = 999_999

# fmt: off
_EN_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
             "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_EN_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_DE_SMALL = ("null", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf",
             "zwölf", "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn")
_DE_TENS = ("", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")
# fmt: on


def _check(n: int) -> None:
    if not 0 <= n <= LARGEST:
        raise TxError(f"{n} is outside the numbers that can be spelled out", f"use 0 to {LARGEST}")


def english(n: int) -> str:
    """The words for `n`: "one hundred and five" for 105. Raises TxError outside 0 to 999,999."""
    _check(n)
    if n < 20:
        return _EN_SMALL[n]
    if n < 100:
        tens, units = divmod(n, 10)
        return _EN_TENS[tens] + (f"-{_EN_SMALL[units]}" if units else "")
    size, name = (100, "hundred") if n < 1000 else (1000, "thousand")
    head, rest = divmod(n, size)
    joint = " and " if rest < 100 else " "
    return f"{english(head)} {name}" + (joint + english(rest) if rest else "")


def german(n: int) -> str:
    """The word for `n` as one counts: "eins", "einhunderteins". Raises TxError outside 0 to 999,999."""
    return german_before_noun(n) + ("s" if n % 100 == 1 else "")


def german_before_noun(n: int) -> str:
    """The German word before a noun or another part of the number, where a final "eins" is "ein": "ein Uhr"."""
    _check(n)
    if n < 20:
        return _DE_SMALL[n]
    if n < 100:
        tens, units = divmod(n, 10)
        return (f"{_DE_SMALL[units]}und" if units else "") + _DE_TENS[tens]
    size, name = (100, "hundert") if n < 1000 else (1000, "tausend")
    head, rest = divmod(n, size)
    return german_before_noun(head) + name + (german_before_noun(rest) if rest else "")
