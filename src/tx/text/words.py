"""Word tokenization of raw text, as in tagged corpora: punctuation and English clitics are separate words.

The rules are those of the Penn Treebank that need no dictionary, plus rules for addresses, mentions and hashtags.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Word characters: all but spaces, punctuation, symbols and emoji. Combining marks belong to their letters.
_C = (
    r"[^\s!-/:-@\[-^`{-~\u00a1-\u00bf\u00d7\u00f7\u2000-\u206f\u20a0-\u20cf\u2100-\u2bff\u3000-\u303f"
    r"\ufe30-\ufe6f\uff01-\uff0f\U0001f000-\U0001faff]"
)
_NOT = rf"[nN]['’][tT](?!{_C})"
_CLITIC = rf"['’](?:[sSmMdD]|[rR][eE]|[vV][eE]|[lL][lL])(?!{_C})"
_ADDRESS = r"[^\s<>]*[^\s<>.,;:!?'\")\]}]"
# Earlier rules take precedence.
_RULES = (
    rf"https?://{_ADDRESS}|www\.{_ADDRESS}",
    rf"[\w.+-]+@\w[\w-]*(?:\.\w[\w-]*)+|[@#]{_C}+",  # mail addresses; mentions and hashtags
    rf"(?:[^\W\d_]\.){{2,}}|(?<!{_C})[A-HJ-Z]\.(?=\s+[A-Z])",  # U.S., and the initial in J. Smith
    r"\d+(?:[.,:]\d+)+",  # 1,000.50, 19:30
    rf"{_NOT}|{_CLITIC}",  # don't: do n't; it's: it 's
    rf"(?!{_NOT}){_C}(?:(?!{_NOT}){_C}|(?!{_CLITIC})[-'’](?={_C})|(?<=[A-Z])&(?=[A-Z]))*",  # O'Neill, AT&T
    r"\.{2,}|-{2,}",  # dots and dashes
    r"\S",
)
_WORD = re.compile("|".join(_RULES))


@dataclass(frozen=True)
class Word:
    """A word, and its place in the line: characters `start` to `end` - 1."""

    text: str
    start: int
    end: int


def split_words(line: str) -> list[Word]:
    """The words of a line of raw text."""
    return [Word(found[0], *found.span()) for found in _WORD.finditer(line)]


def spaced(words: Iterable[str]) -> tuple[str, list[Word]]:
    """Words joined by spaces to a line, and the place of each in it."""
    found, end = [], -1
    for word in words:
        found.append(Word(word, end + 1, end + 1 + len(word)))
        end = found[-1].end
    return " ".join(word.text for word in found), found


def split_at_spaces(line: str) -> list[Word]:
    """The words of a line in which spaces separate all words."""
    return [Word(found[0], *found.span()) for found in re.finditer(r"\S+", line)]
