"""The sentences of the example corpus: each method draws one construction at random."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from tx.demo import lexicon, numbers, syntax
from tx.demo.grammar import QUESTION_TENSES, Sampler, ambiguous, nouns
from tx.demo.lexicon import VERBS
from tx.demo.syntax import PAST, PRESENT, PRONOUNS, Clause, NounPhrase, Part, Phrase, Pronoun


class Pair(NamedTuple):
    """A sentence in both languages, and the (adjective, noun) and (verb, object noun) pairs it contains."""

    english: str
    german: str
    combinations: tuple[tuple[str, str], ...] = ()


def sentence(english: str, german: str, mark: str, *clauses: Clause) -> Pair:
    """A pair with capitals and a final mark."""
    combinations = tuple(pair for clause in clauses for pair in clause.combinations())
    return Pair(english[0].upper() + english[1:] + mark, german[0].upper() + german[1:] + mark, combinations)


def statement(clause: Clause) -> Pair:
    """A main clause as a sentence."""
    return sentence(clause.english(), clause.german_main(), ".", clause)


def wh_question(english: str, german: str, clause: Clause, complete: Clause | None = None) -> Pair:
    """A question for a part that `clause` lacks and `complete` has, after the question words."""
    words = f"{english} {clause.english(inverted=True)}", clause.german_main(german)
    return sentence(*words, "?", complete or clause)


def subordinate(main: Clause, english: str, german: str, second: Clause) -> Pair:
    """Two clauses, the second one after the conjunctions `english` and `german`."""
    return sentence(
        f"{main.english()} {english} {second.english()}",
        f"{main.german_main()}, {german} {second.german_subordinate()}",
        ".",
        main,
        second,
    )


# Verbs with a person as the subject and without an object, for the second clauses of sentences.
ACTIVITIES = [verb for verb in VERBS if "person" in verb.subjects and not verb.objects]


class Speaker(Sampler):
    """Draws sentences."""

    def statement(self) -> Pair:
        clause = self.clause()
        front = clause.time is not None and not clause.time.before_verb and self.chance(0.5)
        return sentence(clause.english(front=front), clause.german_main(front=front), ".", clause)

    def description(self) -> Pair:
        clause = self.state(plain=False)
        if self.chance(0.25):
            clause = replace(clause, negated=False)
            return sentence(clause.english(inverted=True), clause.german_question(), "?", clause)
        return statement(clause)

    def possession(self) -> Pair:
        subject = self.subject(("person",))
        noun = self.pick(nouns(lexicon.HAVE.objects))
        thing = self.indefinite(noun, bare=False, adjectives=0 if "kin" in noun.tags else 0.5)
        denier = isinstance(subject, NounPhrase) and subject.determiner == "no"
        if not denier and self.chance(0.2):
            thing = NounPhrase(noun, "no", adjective=thing.adjective)
        clause = Clause(subject, lexicon.HAVE, self.pick((PRESENT, PRESENT, PAST)), thing)
        return statement(clause)

    def price(self) -> Pair:
        thing = self.definite(self.pick(nouns(lexicon.COST.subjects)), None, 0.6)
        thing = replace(thing, plural=False)
        number = self.number(1, 99)
        amount = Part(f"{numbers.english(number)} euros", f"{numbers.german(number)} Euro")
        clause = Clause(
            thing, lexicon.COST, complement=amount if number > 1 else Part("one euro", "einen Euro")
        )
        if self.chance(0.2):
            asked = replace(clause, complement=None)
            return wh_question("how much", "wie viel", asked, clause)
        return statement(clause)

    def age(self) -> Pair:
        subject: Phrase = self.pick(PRONOUNS)
        number = self.number(2, 99)
        if self.chance(0.7):
            subject = self.definite(self.pick(nouns(("kid",) if number < 16 else ("adult", "kin"))))
        if self.chance(0.2):
            return wh_question("how old", "wie alt", Clause(subject, lexicon.BE))
        part = Part(f"{numbers.english(number)} years old", f"{numbers.german(number)} Jahre alt")
        clause = Clause(subject, lexicon.BE, complement=part)
        return statement(clause)

    def question(self) -> Pair:
        clause = self.asked()
        return sentence(clause.english(inverted=True), clause.german_question(), "?", clause)

    def why(self) -> Pair:
        clause = self.asked()
        english, german = self.pick((("why", "warum"), ("when", "wann")))
        clause = replace(clause, time=None)
        if clause.complement and clause.verb.link[1] == "in":
            clause = replace(clause, complement=None)
            english, german = ("where", "wohin" if clause.verb.link[0] == "into" else "wo")
        return wh_question(english, german, clause)

    def who(self) -> Pair:
        if self.chance(0.5):
            verbs = [verb for verb in VERBS if "person" in verb.subjects]
            clause = self.clause(self.pick((PRESENT, PAST, syntax.FUTURE)), verbs=verbs, subject=syntax.WHO)
            clause = replace(clause, negated=False)
            return sentence(clause.english(), clause.german_main(), "?", clause)
        verbs = [
            verb for verb in VERBS if "person" in (verb.objects[:1] + verb.receivers) and not verb.stative
        ]
        verbs = [verb for verb in verbs if not (verb.receivers and verb.objects)]
        clause = self.asked((syntax.FUTURE,), verbs)
        german = "wem" if clause.verb.receivers else "wen"
        asked = replace(clause, direct=None, indirect=None)
        return wh_question("who", german, asked)

    def what(self) -> Pair:
        verbs = [verb for verb in VERBS if verb.objects and "person" not in verb.objects]
        clause = self.asked((syntax.FUTURE,), verbs)
        assert isinstance(clause.direct, NounPhrase)
        asked = replace(clause, direct=None)
        if not clause.direct.noun.english_plural or self.chance(0.3):
            return wh_question("what", "was", asked)
        which = NounPhrase(clause.direct.noun, "which", self.chance(0.3), clause.direct.adjective)
        english, german = which.english("acc"), which.german("acc")
        if self.chance(0.4):
            many = replace(which, determiner="", plural=True)
            english, german = f"how many {many.english('acc')}", f"wie viele {many.german('acc')}"
        return wh_question(english, german, asked, replace(clause, direct=which))

    def reason(self) -> Pair:
        english, german = self.weighted((2, ("because", "weil")), (1, ("although", "obwohl")))
        main = self.clause(light=True)
        about = self._same(main.subject)
        past = main.tense.times == "past"
        if self.chance(0.5):
            second = self.state(PAST if past else PRESENT, about, plain=False)
        else:
            tense = self.pick((PAST, syntax.WANTED, syntax.HAD_TO) if past else (PRESENT, *QUESTION_TENSES))
            second = self.clause(tense, light=True, subject=about, verbs=ACTIVITIES)
            second = replace(second, time=None)
        return subordinate(main, english, german, second)

    def _same(self, subject: Phrase) -> Phrase:
        """A pronoun for `subject`, or another person if the pronoun would be ambiguous."""
        if isinstance(subject, Pronoun):
            return subject
        person = "person" in subject.noun.tags
        if person and subject.possessive and (subject.plural or subject.noun.gender != "n"):
            return next(pronoun for pronoun in PRONOUNS if pronoun.possessive == subject.possessive)
        return self.definite(self.pick(nouns(("person",))), None, 0)

    def opinion(self) -> Pair:
        subject = self.subject(("person",), light=True)
        second = self.state() if self.chance(0.2) else self.clause(light=True)
        if self.chance(0.4):
            fact = self.chance(0.5)
            verb = lexicon.KNOW_FACT if fact else lexicon.ASK_WHETHER
            first, english, german = Clause(subject, verb, negated=fact), "whether", "ob"
        else:
            first, english, german = Clause(subject, self.pick(lexicon.OPINIONS)), "that", "dass"
        return subordinate(first, english, german, second)

    def condition(self) -> Pair:
        first = self.state(PRESENT) if self.chance(0.3) else self.clause(PRESENT, light=True)
        second = self.clause(
            self.pick((PRESENT, syntax.FUTURE, syntax.CAN, syntax.MUST, syntax.ALLOWED)), light=True
        )
        return sentence(
            f"if {first.english()}, {second.english()}",
            second.german_main(f"wenn {first.german_subordinate()},"),
            ".",
            first,
            second,
        )

    def sequel(self) -> Pair:
        one, two, tag = self.pick(lexicon.SEQUELS)
        first_verb, second_verb = (next(verb for verb in VERBS if verb.name == name) for name in (one, two))
        subject = self.subject(("person",), light=self.chance(0.5))
        noun = self.pick(nouns((tag,)))
        thing = self.indefinite(noun, bare=True) if self.chance(0.6) else self.definite(noun, subject)
        tense = self.pick((PRESENT, PAST, syntax.FUTURE, syntax.WANT, syntax.LIKE, syntax.MUST))
        if ambiguous(second_verb, tense, subject):
            tense = syntax.FUTURE
        first = Clause(subject, first_verb, tense, thing)
        second = Clause(subject, second_verb, tense, syntax.it(thing))
        same = Clause(subject, second_verb, tense, replace(thing, adjective=None))
        return sentence(
            f"{first.english()} and {second.english_sequel()}",
            f"{first.german_main()} und {second.german_sequel()}",
            ".",
            first,
            same,
        )

    def draw(self) -> Pair:
        """One sentence of any construction."""
        construction: Callable[[], Pair] = self.weighted(
            (40, self.statement),
            (6, self.description),
            (5, self.possession),
            (6, self.price),
            (4, self.age),
            (8, self.question),
            (4, self.why),
            (4, self.who),
            (4, self.what),
            (6, self.reason),
            (7, self.opinion),
            (4, self.condition),
            (5, self.sequel),
        )
        return construction()
