"""The words of the example corpus, read from words.toml: nouns with gender and plural, adjectives, verbs; and times.

The tags of a noun are its semantic classes (`food` can be eaten, `public` cannot be owned). The tags of an adjective
or a verb are the classes of nouns that it combines with, so that no dog reads a newspaper.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Noun:
    """A noun of both languages; the plurals of an uncountable one (milk) are empty."""

    english: str
    english_plural: str
    german: str
    german_plural: str
    gender: str  # m, f or n
    weak: bool  # n-declension: der Junge, den Jungen
    tags: frozenset[str]
    possessive: str  # the English possessive that refers to it, or empty


@dataclass(frozen=True)
class Adjective:
    english: str
    german: str
    stem: str  # to which endings are added: teuer, teur-
    tags: frozenset[str]


@dataclass(frozen=True)
class Verb:
    """A verb of both languages. It takes no object if `objects` is empty, and no place if `places` is."""

    english: tuple[str, str, str]  # base, third person, past: buy buys bought
    german: tuple[str, str, str]  # infinitive without prefix, third person, participle
    prefix: str = ""  # separable: aufmachen
    particle: str = ""  # look for
    sein: bool = False  # perfect with sein: ist gegangen
    first: str = ""  # first person, where it is not the stem and -e
    preterite: tuple[str, str, str] = ("", "", "")  # used instead of the perfect: ich, er, wir
    subjects: tuple[str, ...] = ("person",)
    objects: tuple[str, ...] = ()  # accusative
    receivers: tuple[str, ...] = ()  # dative
    link: tuple[str, str, str] = ("", "", "")  # preposition in English, in German, case: wait for, auf, acc
    places: tuple[str, ...] = ()  # tags of the nouns after the preposition
    place_optional: bool = False
    company: tuple[str, ...] = ()  # prepositions of possible adjuncts: for, with, without
    stative: bool = False  # present tense only
    timeless: bool = False  # without adverbs of time
    willed: bool = True  # whether it combines with modal verbs: want to, be allowed to

    @property
    def name(self) -> str:
        """Its English dictionary form, particle included."""
        return f"{self.english[0]} {self.particle}".strip()


def _noun(line: str) -> Noun:
    english, english_plural, gender, german, german_plural, *tags = line.split()
    possessive = next((tag for tag in tags if tag in ("his", "her")), "")
    if {"adult", "kid", "kin"} & set(tags):
        tags.append("person")
    plurals = english_plural.strip("-"), german_plural.strip("-")
    return Noun(english, plurals[0], german, plurals[1], gender, "weak" in tags, frozenset(tags), possessive)


def _adjective(line: str) -> Adjective:
    english, german, stem, *tags = line.split()
    return Adjective(english, german, stem, frozenset(tags))


def _verb(entry: dict[str, Any]) -> Verb:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return Verb(**values)


_words = tomllib.loads(files("tx.demo").joinpath("words.toml").read_text(encoding="utf-8"))
NOUNS = tuple(map(_noun, _words["nouns"].splitlines()))
ADJECTIVES = tuple(map(_adjective, _words["adjectives"].splitlines()))
VERBS = tuple(map(_verb, _words["verbs"]))
BE, HAVE, COST, KNOW_FACT = (_verb(_words["special"][name]) for name in ("be", "have", "cost", "know_fact"))
ASK_WHETHER = next(verb for verb in VERBS if verb.name == "ask")
OPINIONS = (KNOW_FACT, *map(_verb, _words["special"]["opinions"]))
# fmt: off
SEQUELS = (("buy", "eat", "food"), ("buy", "drink", "drink"), ("find", "read", "text"),
           ("buy", "wear", "clothes"))  # two verbs, and the tag of their common object

# Adverbs of time for each tense: English, German. Those in OFTEN precede the English verb.
TIMES = {
    "present": (("every day", "jeden Tag"), ("every morning", "jeden Morgen"), ("in the evening", "am Abend"),
                ("on Sundays", "sonntags")),
    "past": (("yesterday", "gestern"), ("last week", "letzte Woche"), ("on Monday", "am Montag"),
             ("today", "heute")),
    "future": (("tomorrow", "morgen"), ("next week", "nächste Woche"), ("on Friday", "am Freitag"),
               ("today", "heute")),
}
OFTEN = (("often", "oft"), ("sometimes", "manchmal"), ("always", "immer"))
