"""The phrases and clauses of the example corpus, drawn at random.

Only `random.Random(seed).random()` is used, whose sequence Python guarantees not to change, and no set is iterated,
so that a seed gives the same text on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import TypeVar

from tx.demo import lexicon, numbers, syntax
from tx.demo.lexicon import ADJECTIVES, NOUNS, VERBS, Noun, Verb
from tx.demo.syntax import (
    FIRST,
    PAST,
    PRESENT,
    PRONOUNS,
    THIRD,
    Clause,
    NounPhrase,
    Part,
    Phrase,
    Pronoun,
    Tense,
    Time,
)

T = TypeVar("T")

QUESTION_TENSES = (syntax.FUTURE, syntax.CAN, syntax.WANT, syntax.MUST, syntax.ALLOWED, syntax.LIKE)
DENIED = (PRESENT, PAST, syntax.FUTURE, syntax.CAN, syntax.WANT, syntax.WANTED, syntax.ALLOWED)


@cache
def nouns(tags: tuple[str, ...]) -> tuple[Noun, ...]:
    """The nouns that have one of `tags`, in the order of the lexicon."""
    return tuple(noun for noun in NOUNS if not noun.tags.isdisjoint(tags))


def ambiguous(verb: Verb, tense: Tense, subject: Phrase) -> bool:
    """Whether present and past are the same in English: they read, they put."""
    base, _, past = verb.english
    return base == past and tense in (PRESENT, PAST) and subject.person != THIRD


@dataclass
class Sampler:
    """Draws words, phrases, clauses and sentences."""

    rng: Random

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.rng.random() * len(items))]

    def weighted(self, *choices: tuple[float, T]) -> T:
        point = self.rng.random() * sum(weight for weight, _ in choices)
        for weight, item in choices:
            point -= weight
            if point < 0:
                return item
        return choices[-1][1]

    # Phrases

    def possessive(self, owner: Phrase | None) -> str:
        """A possessive; with `owner`, the subject of the clause, most often one that refers to it."""
        if owner is None:
            return self.pick(("my", "his", "her", "our", "their"))
        others = ("my",) if owner.person == FIRST else ("my", "our")
        own = owner.possessive
        return own if own and self.chance(0.7) else self.pick(others)

    def modified(self, phrase: NounPhrase, chance: float) -> NounPhrase:
        """The same phrase, with an adjective by chance."""
        if not self.chance(chance):
            return phrase
        fitting = [each for each in ADJECTIVES if not each.tags.isdisjoint(phrase.noun.tags)]
        return replace(phrase, adjective=self.pick(fitting)) if fitting else phrase

    def definite(self, noun: Noun, owner: Phrase | None = None, adjectives: float = 0.35) -> NounPhrase:
        """the, this, my ... and a noun."""
        kin = "kin" in noun.tags
        mine = 0 if "public" in noun.tags else 5 if kin else 2
        word = self.weighted((3 if kin else 6, "the"), (0 if kin else 1, "this"), (mine, "my"))
        if word == "my":
            word = self.possessive(owner)
        plural = bool(noun.english_plural) and self.chance(0.25)
        if "parent" in noun.tags and word not in ("the", "this"):
            plural = False
        return self.modified(NounPhrase(noun, word, plural), adjectives)

    def indefinite(self, noun: Noun, *, bare: bool, adjectives: float = 0.35) -> NounPhrase:
        """a, one, three, many, or no determiner at all (only if `bare`)."""
        if not noun.english_plural:
            return self.modified(NounPhrase(noun, ""), adjectives)
        kind = self.weighted((8, "a"), (0.5, "one"), (3, "number"), (1.5, "many"), (3 if bare else 0, ""))
        if kind in ("a", "one"):
            return self.modified(NounPhrase(noun, kind), adjectives)
        number = self.count(noun) if kind == "number" else 0
        return self.modified(NounPhrase(noun, "" if number else kind, True, None, number), adjectives)

    def number(self, first: int, last: int) -> int:
        return first + int(self.rng.random() * (last - first + 1))

    def count(self, noun: Noun) -> int:
        if noun.tags.isdisjoint(("food", "text", "thing")):
            return self.number(2, 9)
        return self.number(2, 12 if self.chance(0.6) else 99)

    def subject(self, tags: tuple[str, ...], light: bool = False) -> Phrase:
        if "person" in tags and self.chance(0.4):
            return self.weighted((2, PRONOUNS[0]), (4, self.pick(PRONOUNS[1:])))
        noun = self.pick(nouns(tags))
        if light or "kin" in noun.tags or self.chance(0.75):
            return self.definite(noun, None, 0.1 if light else 0.35)
        if self.chance(0.15):
            return self.modified(NounPhrase(noun, "no"), 0.2)
        return self.indefinite(noun, bare=False)

    def object(
        self, tags: tuple[str, ...], owner: Phrase, light: bool = False, definite: bool = False
    ) -> Phrase:
        if "person" in tags and self.chance(0.3):
            mine = ("me", "us") if owner.possessive in ("my", "our") else ()
            return self.pick([each for each in PRONOUNS if each is not owner and each.object not in mine])
        noun = self.pick(nouns(tags))
        adjectives = 0.15 if light else 0.35
        if definite or "kin" in noun.tags or (self.chance(0.5) if noun.english_plural else self.chance(0.4)):
            return self.definite(noun, owner, adjectives)
        return self.indefinite(noun, bare="person" not in noun.tags, adjectives=adjectives)

    # Clauses

    def tense(self) -> Tense:
        return self.weighted((4, PRESENT), (4, PAST), (2, syntax.FUTURE), (4, self.pick(syntax.TENSES[3:])))

    def time(self, tense: Tense) -> Time:
        if tense is PRESENT and self.chance(0.4):
            return Time(*self.pick(lexicon.OFTEN), before_verb=True)
        if tense is not PRESENT and self.chance(0.2):
            hour = self.number(1, 12)
            return Time(f"at {numbers.english(hour)} o'clock", f"um {numbers.german_before_noun(hour)} Uhr")
        return Time(*self.pick(lexicon.TIMES[tense.times]))

    def complement(self, verb: Verb, subject: Phrase, light: bool) -> Part | None:
        english, german, case = verb.link
        if not verb.places or (verb.place_optional and self.chance(0.5)):
            return None
        if {"person", "kid"} & set(verb.places):
            return syntax.prepositional(english, german, case, self.object(verb.places, subject, light, True))
        noun = self.pick(nouns(verb.places))
        phrase = self.definite(noun, subject, 0.15 if light else 0.3)
        if phrase.plural and self.chance(0.5):
            phrase = replace(phrase, plural=False)
        if not light and self.chance(0.2):
            phrase = self.modified(NounPhrase(noun, "a"), 0.3)
        return syntax.prepositional(english, german, case, phrase)

    def adjunct(self, verb: Verb, subject: Phrase) -> Part:
        kind = self.pick(verb.company)
        german, case = {"for": ("für", "acc"), "with": ("mit", "dat"), "without": ("ohne", "acc")}[kind]
        tags = ("person",) if kind == "for" else ("person", "pet")
        return syntax.prepositional(kind, german, case, self.definite(self.pick(nouns(tags)), subject, 0.1))

    def clause(
        self,
        tense: Tense | None = None,
        *,
        light: bool = False,
        question: bool = False,
        verbs: Sequence[Verb] = VERBS,
        subject: Phrase | None = None,
    ) -> Clause:
        """A clause with one of `verbs`; a `light` one is short, for sentences of two clauses."""
        verb = self.pick(verbs)
        subject = subject or self.subject(verb.subjects, light)
        tense = tense or self.tense()
        willed = verb.willed and (isinstance(subject, Pronoun) or "person" in subject.noun.tags)
        if verb.stative:
            tense = PRESENT
        elif ambiguous(verb, tense, subject) or (not willed and tense not in (PRESENT, PAST)):
            tense = syntax.FUTURE
        clause = Clause(
            subject,
            verb,
            tense,
            self.object(verb.objects, subject, light) if verb.objects else None,
            self.object(verb.receivers, subject, light, definite=True) if verb.receivers else None,
            self.complement(verb, subject, light),
        )
        return self._circumstances(clause, light, question)

    def _circumstances(self, clause: Clause, light: bool, question: bool) -> Clause:
        """Add negation, time and an adjunct if they fit."""
        verb, tense, direct = clause.verb, clause.tense, clause.direct
        counted = isinstance(direct, NounPhrase) and (direct.number or direct.determiner in ("one", "many"))
        nobody = isinstance(clause.subject, NounPhrase) and clause.subject.determiner == "no"
        can_deny = not (question or counted or nobody) and tense in DENIED
        negated = can_deny and self.chance(0.15)
        if not (negated or light) and verb.company and self.chance(0.35):
            clause = replace(clause, adjunct=self.adjunct(verb, clause.subject))
        timeless = verb.timeless or (negated and tense is PRESENT)
        timed = not timeless and self.chance(0.15 if light else 0.5)
        return replace(clause, negated=negated, time=self.time(tense) if timed else None)

    def state(self, tense: Tense | None = None, subject: Phrase | None = None, plain: bool = True) -> Clause:
        """A clause with an adjective as its predicate: the car is old; a `plain` one is not negated."""
        tense = tense or self.pick((PRESENT, PRESENT, PAST))
        if subject is None or isinstance(subject, Pronoun):
            subject = subject or self.definite(self.pick(NOUNS), None, 0)
        tags = subject.noun.tags if isinstance(subject, NounPhrase) else frozenset({"person"})
        adjective = self.pick([each for each in ADJECTIVES if not each.tags.isdisjoint(tags)])
        part = Part(adjective.english, adjective.german, adjective=adjective)
        return Clause(subject, lexicon.BE, tense, complement=part, negated=not plain and self.chance(0.25))

    def asked(self, tenses: Sequence[Tense] = QUESTION_TENSES, verbs: Sequence[Verb] = VERBS) -> Clause:
        """A clause for a question: its subject is not negated, and rarely "I"."""
        verb = self.pick(verbs)
        subject = self.subject(verb.subjects)
        tense = self.weighted((3, PRESENT), (3, PAST), (4, self.pick(tenses)))
        if subject.person == FIRST and tense not in (syntax.CAN, syntax.ALLOWED, syntax.MUST):
            subject = self.pick(PRONOUNS[1:])
        if isinstance(subject, NounPhrase) and subject.determiner == "no":
            subject = replace(subject, determiner="the")
        return self.clause(tense, question=True, verbs=(verb,), subject=subject)
