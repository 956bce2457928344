"""Phrases and clauses with their forms in English and in German.

A `Clause` is one meaning, which `english_*` and `german_*` realise. This module has the rules in which the two
languages differ: case and adjective endings, the German verb in second place and after a conjunction in last place,
separable prefixes, "do" in English questions, and "kein" for a negated indefinite noun phrase.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tx.demo import numbers
from tx.demo.lexicon import BE, Adjective, Noun, Verb

FIRST, THIRD, PLURAL = 0, 1, 2  # the three persons that verbs distinguish here


def _table(nominative: str, accusative: str, dative: str) -> dict[str, dict[str, str]]:
    """Endings by case and gender (masculine, feminine, neuter, plural); a dash is an empty ending."""
    rows = {"nom": nominative, "acc": accusative, "dat": dative}
    return {
        case: {gender: form.strip("-") for gender, form in zip("mfnp", row.split(), strict=True)}
        for case, row in rows.items()
    }


STRONG = _table("er e es e", "en e es e", "em er em en")  # also the endings of dies-, welch-, viel-
MIXED = _table("er e es en", "en e es en", "en en en en")
WEAK = _table("e e e en", "en e e en", "en en en en")
EIN = _table("- e - e", "en e - e", "em er em en")
DER = _table("der die das die", "den die das die", "dem der dem den")

DETERMINERS = {
    "the": "der", "this": "dies", "which": "welch", "many": "viel", "a": "ein", "one": "ein", "no": "kein",
    "my": "mein", "his": "sein", "her": "ihr", "our": "unser", "their": "ihr",
}  # fmt: skip
CONTRACTIONS = {"in dem": "im", "in das": "ins"}


def determiner(word: str, case: str, gender: str) -> str:
    """A German determiner (given as der, dies, ein, mein, ...) in its form; "" gives ""."""
    if word == "der":
        return DER[case][gender]
    if word in ("dies", "welch", "viel"):
        return word + STRONG[case][gender]
    return word + EIN[case][gender] if word else ""


def adjective(stem: str, word: str, case: str, gender: str) -> str:
    """A German adjective before its noun, after the determiner `word` ("" or viel: strong endings)."""
    if word in ("", "viel"):
        return stem + STRONG[case][gender]
    table = WEAK if word in ("der", "dies", "welch") else MIXED
    return stem + table[case][gender]


def noun_form(noun: Noun, case: str, plural: bool) -> str:
    """A German noun in its case: dative plural -n, and the n-declension of weak masculines."""
    if not plural:
        return noun.german_plural if noun.weak and case != "nom" else noun.german
    added = "n" if case == "dat" and noun.german_plural[-1] not in "ns" else ""
    return noun.german_plural + added


def indefinite_article(following: str) -> str:
    return "an" if following[0] in "aeiou" else "a"


@dataclass(frozen=True)
class NounPhrase:
    """Determiner, number, adjective, noun; a `number` of 2 or more replaces the determiner."""

    noun: Noun
    determiner: str = "the"  # a key of DETERMINERS, or "" for none
    plural: bool = False
    adjective: Adjective | None = None
    number: int = 0

    @property
    def person(self) -> int:
        return PLURAL if self.plural else THIRD

    @property
    def indefinite(self) -> bool:
        """Whether its negation is kein in German."""
        return self.determiner in ("", "a") and not self.number

    @property
    def possessive(self) -> str:
        """The English possessive that refers to it, or "" if that would be ambiguous."""
        if self.determiner in ("no", "which"):
            return ""
        return "their" if self.plural else self.noun.possessive

    def english(self, case: str) -> str:
        words = [self.noun.english_plural if self.plural else self.noun.english]
        if self.adjective:
            words.insert(0, self.adjective.english)
        lead = {"this": "these" if self.plural else "this", "a": indefinite_article(words[0])}
        first = numbers.english(self.number) if self.number else lead.get(self.determiner, self.determiner)
        return " ".join([first, *words]).strip()

    def german(self, case: str) -> str:
        gender = "p" if self.plural else self.noun.gender
        word = DETERMINERS.get(self.determiner, "")
        words = [numbers.german(self.number) if self.number else determiner(word, case, gender)]
        if self.adjective:
            words.append(adjective(self.adjective.stem, word, case, gender))
        return " ".join([*words, noun_form(self.noun, case, self.plural)]).strip()


@dataclass(frozen=True)
class Pronoun:
    """A personal pronoun or "who": English subject and object, German nominative, accusative, dative."""

    subject: str
    object: str
    forms: tuple[str, str, str]
    person: int
    possessive: str

    def english(self, case: str) -> str:
        return self.subject if case == "nom" else self.object

    def german(self, case: str) -> str:
        return self.forms[("nom", "acc", "dat").index(case)]


Phrase = NounPhrase | Pronoun

PRONOUNS = (
    Pronoun("I", "me", ("ich", "mich", "mir"), FIRST, "my"),
    Pronoun("he", "him", ("er", "ihn", "ihm"), THIRD, "his"),
    Pronoun("she", "her", ("sie", "sie", "ihr"), THIRD, "her"),
    Pronoun("we", "us", ("wir", "uns", "uns"), PLURAL, "our"),
    Pronoun("they", "them", ("sie", "sie", "ihnen"), PLURAL, "their"),
)
WHO = Pronoun("who", "who", ("wer", "wen", "wem"), THIRD, "")


def it(phrase: NounPhrase) -> Pronoun:
    """The pronoun for the thing that `phrase` names: it, them; German takes the noun's gender."""
    if phrase.plural:
        return PRONOUNS[4]
    forms = {"m": ("er", "ihn", "ihm"), "f": ("sie", "sie", "ihr"), "n": ("es", "es", "ihm")}
    return Pronoun("it", "it", forms[phrase.noun.gender], THIRD, "")


@dataclass(frozen=True)
class Tense:
    """The construction of the verb group. Empty `english` and `german` mean that the verb itself is finite."""

    name: str
    times: str  # the adverbs of time that it allows: present, past, future
    english: tuple[str, str, str] = ("", "", "")  # I, he, they
    bare: str = ""  # its form after do: "want to"
    link: str = ""  # between auxiliary and verb: "allowed to"
    german: tuple[str, str, str] = ("", "", "")

    @property
    def support(self) -> tuple[str, str, str]:
        """The auxiliary of negations and questions in a tense without its own."""
        return ("did", "did", "did") if self.times == "past" else ("do", "does", "do")


# fmt: off
PRESENT = Tense("present", "present")
PAST = Tense("past", "past")
FUTURE = Tense("future", "future", ("will", "will", "will"), german=("werde", "wird", "werden"))
CAN = Tense("can", "future", ("can", "can", "can"), german=("kann", "kann", "können"))
LIKE = Tense("like", "future", ("would", "would", "would"), link="like to",
             german=("möchte", "möchte", "möchten"))
ALLOWED = Tense("allowed", "future", ("am", "is", "are"), link="allowed to",
                german=("darf", "darf", "dürfen"))
WAS_ALLOWED = Tense("was allowed", "past", ("was", "was", "were"), link="allowed to",
                    german=("durfte", "durfte", "durften"))
WANT = Tense("want", "future", ("want to", "wants to", "want to"), "want to",
             german=("will", "will", "wollen"))
WANTED = Tense("wanted", "past", ("wanted to",) * 3, "want to", german=("wollte", "wollte", "wollten"))
MUST = Tense("must", "future", ("have to", "has to", "have to"), "have to", german=("muss", "muss", "müssen"))
HAD_TO = Tense("had to", "past", ("had to",) * 3, "have to", german=("musste", "musste", "mussten"))
TENSES = (PRESENT, PAST, FUTURE, CAN, LIKE, ALLOWED, WAS_ALLOWED, WANT, WANTED, MUST, HAD_TO)
# fmt: on


def english_verb(verb: Verb, tense: Tense, person: int, support: bool) -> tuple[str, str]:
    """Auxiliary and the rest of the verb group; `support`: an auxiliary is required (negation, question)."""
    base, third, past = (f"{form} {verb.particle}".strip() for form in verb.english)
    if verb is BE and tense in (PRESENT, PAST):
        return (("am", "is", "are") if tense is PRESENT else ("was", "was", "were"))[person], ""
    if not any(tense.english):
        finite = past if tense is PAST else third if person == THIRD else base
        return (tense.support[person], base) if support else ("", finite)
    if not tense.bare:
        return tense.english[person], f"{tense.link} {base}".strip()
    if support:
        return tense.support[person], f"{tense.bare} {base}"
    return "", f"{tense.english[person]} {base}"


def german_verb(verb: Verb, tense: Tense, person: int) -> tuple[str, str, str]:
    """The finite verb, the end of a main clause, and the end of a subordinate clause."""
    infinitive, third, participle = verb.german
    if any(tense.german):
        finite, end = tense.german[person], verb.prefix + infinitive
        return finite, end, f"{end} {finite}"
    if tense is PAST and not any(verb.preterite):
        finite = (("bin", "ist", "sind") if verb.sein else ("habe", "hat", "haben"))[person]
        return finite, participle, f"{participle} {finite}"
    first, plural = verb.first or infinitive.removesuffix("en") + "e", infinitive
    if verb is BE:
        plural = "sind"
    finite = verb.preterite[person] if tense is PAST else (first, third, plural)[person]
    return finite, verb.prefix, verb.prefix + finite


class Part(NamedTuple):
    """A prepositional phrase or a predicate in both languages."""

    english: str
    german: str
    phrase: Phrase | None = None
    adjective: Adjective | None = None


def prepositional(english: str, german: str, case: str, phrase: Phrase) -> Part:
    """A preposition and its phrase, with the German contractions: im Garten, ins Museum."""
    said = f"{german} {phrase.german(case)}"
    for long, short in CONTRACTIONS.items():
        if said.startswith(f"{long} "):
            said = short + said.removeprefix(long)
    return Part(f"{english} {phrase.english(case)}", said, phrase)


class Time(NamedTuple):
    english: str
    german: str
    before_verb: bool = False


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Clause:
    """One verb with its arguments, before the choice of a construction."""

    subject: Phrase
    verb: Verb
    tense: Tense = PRESENT
    direct: Phrase | None = None  # accusative
    indirect: Phrase | None = None  # dative
    complement: Part | None = None  # a place, a prepositional object or a predicate, after nicht
    adjunct: Part | None = None
    time: Time | None = None
    negated: bool = False

    def combinations(self) -> Iterator[tuple[str, str]]:
        """The (adjective, noun) and (verb, object noun) pairs it contains, in English dictionary forms."""
        places = [part.phrase for part in (self.complement, self.adjunct) if part]
        for phrase in (self.subject, self.direct, self.indirect, *places):
            if isinstance(phrase, NounPhrase) and phrase.adjective:
                yield phrase.adjective.english, phrase.noun.english
        if self.complement and self.complement.adjective and isinstance(self.subject, NounPhrase):
            yield self.complement.adjective.english, self.subject.noun.english
        for phrase in (self.direct, self.indirect, self.complement.phrase if self.complement else None):
            if isinstance(phrase, NounPhrase):
                yield self.verb.name, phrase.noun.english

    def english(self, *, inverted: bool = False, front: bool = False, subject: bool = True) -> str:
        """The clause in English: `inverted` for questions, `front` puts the time first."""
        support = self.negated or inverted
        aux, rest = english_verb(self.verb, self.tense, self.subject.person, support)
        negation = "not" if self.negated else ""
        if self.negated and aux == "can":
            aux, negation = "cannot", ""
        who = self.subject.english("nom") if subject else ""
        early, late = "", self.time.english if self.time else ""
        if self.time and (front or self.time.before_verb):
            early, late = late, ""
        often = early if self.time and self.time.before_verb else ""
        objects = [
            phrase.english(case) for phrase, case in ((self.indirect, "dat"), (self.direct, "acc")) if phrase
        ]
        parts = [part.english for part in (self.complement, self.adjunct) if part]
        begin = [aux, who] if inverted else ["" if often else early, who, aux]
        return _join(*begin, negation, often, rest, *objects, *parts, late)

    def _middle(self, front: bool) -> list[str]:
        """The German middle field: pronouns, dative, time, accusative, adjunct, nicht, complement."""
        direct, denied = self.direct, "nicht" if self.negated else ""
        if self.negated and isinstance(direct, NounPhrase) and direct.indefinite:
            direct, denied = replace(direct, determiner="no"), ""
        accusative = direct.german("acc") if direct else ""
        pronoun = isinstance(direct, Pronoun)
        return [
            accusative if pronoun else "",
            self.indirect.german("dat") if self.indirect else "",
            self.time.german if self.time and not front else "",
            "" if pronoun else accusative,
            self.adjunct.german if self.adjunct else "",
            denied,
            self.complement.german if self.complement else "",
        ]

    def german_main(self, lead: str = "", *, front: bool = False, subject: bool = True) -> str:
        """A main clause, its verb second: after `lead`, or the time if `front`, or else the subject."""
        finite, end, _ = german_verb(self.verb, self.tense, self.subject.person)
        who = self.subject.german("nom") if subject else ""
        lead = self.time.german if front and self.time else lead
        begin = [lead, finite, who] if lead else [who, finite]
        return _join(*begin, *self._middle(front), end)

    def german_question(self) -> str:
        """A yes-no question: the verb comes first."""
        finite, end, _ = german_verb(self.verb, self.tense, self.subject.person)
        return _join(finite, self.subject.german("nom"), *self._middle(False), end)

    def german_subordinate(self) -> str:
        """The clause after weil, dass, ob or wenn: the verb comes last."""
        _, _, last = german_verb(self.verb, self.tense, self.subject.person)
        return _join(self.subject.german("nom"), *self._middle(False), last)

    def german_sequel(self) -> str:
        """The second clause after "und" with the same subject; an auxiliary is not repeated."""
        finite, end, _ = german_verb(self.verb, self.tense, self.subject.person)
        own = finite if self.tense is PRESENT else ""
        return _join(own, *self._middle(False), end)

    def english_sequel(self) -> str:
        """The second clause after "and" with the same subject; an auxiliary is not repeated."""
        if self.tense in (PRESENT, PAST):
            return self.english(subject=False)
        rest = self.direct.english("acc") if self.direct else ""
        return _join(self.verb.name, rest)
