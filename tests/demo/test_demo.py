"""The example corpus: its German against forms written by hand, its split against what it promises."""

import os
import subprocess
import sys
import unicodedata
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tx.demo import numbers, syntax
from tx.demo.corpus import Corpus, Pair, generate, held_out, make_corpus, write_corpus
from tx.demo.lexicon import (
    ADJECTIVES,
    BE,
    COST,
    HAVE,
    KNOW_FACT,
    NOUNS,
    OPINIONS,
    VERBS,
    Adjective,
    Noun,
    Verb,
)
from tx.demo.syntax import (
    PRONOUNS,
    WHO,
    Clause,
    NounPhrase,
    Part,
    Pronoun,
    Time,
    it,
    noun_form,
    prepositional,
)
from tx.errors import TxError, UsageError


def noun(english: str) -> Noun:
    return next(each for each in NOUNS if each.english == english)


def verb(name: str) -> Verb:
    return next(each for each in VERBS if each.name == name)


def adj(english: str) -> Adjective:
    return next(each for each in ADJECTIVES if each.english == english)


def np(words: str, number: int = 0) -> NounPhrase:
    """ "the red cars" as a phrase; "-" for no determiner, a trailing "+" for the plural."""
    determiner, *described, name = words.split()
    plural = name.endswith("+") or number > 1
    adjective = adj(described[0]) if described else None
    return NounPhrase(noun(name.strip("+")), determiner.strip("-"), plural, adjective, number)


def pronoun(subject: str) -> Pronoun:
    return next(each for each in PRONOUNS if each.subject == subject)


def predicate(english: str) -> Part:
    return Part(english, adj(english).german, adjective=adj(english))


ME, HE, SHE, WE, THEY = (pronoun(word) for word in ("I", "he", "she", "we", "they"))
DAILY, YESTERDAY = Time("every day", "jeden Tag"), Time("yesterday", "gestern")
TOMORROW, OFTEN = Time("tomorrow", "morgen"), Time("often", "oft", True)
PAST, FUTURE, CAN, WANT, MUST = syntax.PAST, syntax.FUTURE, syntax.CAN, syntax.WANT, syntax.MUST

# Main clauses, hand-written in both languages: cases, genders, tenses, prefixes, negation, word order.
STATEMENTS = [
    (Clause(np("the woman"), verb("buy"), direct=np("a book"), time=DAILY),
     "the woman buys a book every day", "die Frau kauft jeden Tag ein Buch"),
    (Clause(np("the man"), verb("see"), PAST, np("the student")),
     "the man saw the student", "der Mann hat den Studenten gesehen"),
    (Clause(np("the boy"), verb("eat"), direct=np("a fresh apple")),
     "the boy eats a fresh apple", "der Junge isst einen frischen Apfel"),
    (Clause(HE, verb("drink"), direct=np("- cold milk")), "he drinks cold milk", "er trinkt kalte Milch"),
    (Clause(HE, verb("drink"), direct=np("- warm coffee")),
     "he drinks warm coffee", "er trinkt warmen Kaffee"),
    (Clause(SHE, verb("drink"), direct=np("- fresh water")),
     "she drinks fresh water", "sie trinkt frisches Wasser"),
    (Clause(ME, verb("help"), indirect=np("the old neighbor")),
     "I help the old neighbor", "ich helfe dem alten Nachbarn"),
    (Clause(WE, verb("thank"), PAST, indirect=np("our friend+")),
     "we thanked our friends", "wir haben unseren Freunden gedankt"),
    (Clause(np("my mother"), verb("give"), FUTURE, np("a new bicycle"), np("the child+")),
     "my mother will give the children a new bicycle",
     "meine Mutter wird den Kindern ein neues Fahrrad geben"),
    (Clause(SHE, verb("show"), PAST, np("her picture+"), HE),
     "she showed him her pictures", "sie hat ihm ihre Bilder gezeigt"),
    (Clause(HE, verb("open"), direct=np("the door")), "he opens the door", "er macht die Tür auf"),
    (Clause(ME, verb("close"), PAST, np("the window+")),
     "I closed the windows", "ich habe die Fenster zugemacht"),
    (Clause(THEY, verb("call"), direct=SHE), "they call her", "sie rufen sie an"),
    (Clause(np("the guest+"), verb("bring"), PAST, np("a cake")),
     "the guests brought a cake", "die Gäste haben einen Kuchen mitgebracht"),
    (Clause(WE, verb("shop"), WANT, time=TOMORROW),
     "we want to shop tomorrow", "wir wollen morgen einkaufen"),
    (Clause(np("the girl"), verb("get up"), PAST), "the girl got up", "das Mädchen ist aufgestanden"),
    (Clause(np("the bus"), verb("arrive"), FUTURE), "the bus will arrive", "der Bus wird ankommen"),
    (Clause(np("my son"), verb("watch TV"), syntax.ALLOWED),
     "my son is allowed to watch TV", "mein Sohn darf fernsehen"),
    (Clause(np("the doctor+"), verb("work"), syntax.HAD_TO),
     "the doctors had to work", "die Ärzte mussten arbeiten"),
    (Clause(ME, verb("sleep"), syntax.LIKE), "I would like to sleep", "ich möchte schlafen"),
    (Clause(THEY, verb("dance"), syntax.WANTED), "they wanted to dance", "sie wollten tanzen"),
    (Clause(np("the cat"), verb("sleep"), complement=prepositional("in", "in", "dat", np("the garden"))),
     "the cat sleeps in the garden", "die Katze schläft im Garten"),
    (Clause(np("the cat"), verb("sleep"), complement=prepositional("in", "in",
            "dat", np("the small kitchen"))),
     "the cat sleeps in the small kitchen", "die Katze schläft in der kleinen Küche"),
    (Clause(HE, verb("go"), PAST, complement=prepositional("into", "in", "acc", np("the museum"))),
     "he went into the museum", "er ist ins Museum gegangen"),
    (Clause(np("the father"), verb("drive"), PAST,
            complement=prepositional("into", "in", "acc", np("the city"))),
     "the father drove into the city", "der Vater ist in die Stadt gefahren"),
    (Clause(ME, verb("wait"), complement=prepositional("for", "auf", "acc", np("the train"))),
     "I wait for the train", "ich warte auf den Zug"),
    (Clause(SHE, verb("speak"), complement=prepositional("with", "mit", "dat", np("the student+"))),
     "she speaks with the students", "sie spricht mit den Studenten"),
    (Clause(np("the child"), verb("play"), complement=prepositional("with", "mit", "dat", np("the boy"))),
     "the child plays with the boy", "das Kind spielt mit dem Jungen"),
    (Clause(HE, verb("put"), direct=np("the letter"), complement=prepositional("on", "auf",
            "acc", np("the table"))),
     "he puts the letter on the table", "er legt den Brief auf den Tisch"),
    (Clause(np("the hat"), verb("lie"), PAST, complement=prepositional("under", "unter",
            "dat", np("the bed"))),
     "the hat lay under the bed", "der Hut hat unter dem Bett gelegen"),
    (Clause(SHE, verb("buy"), PAST, np("a present"), adjunct=prepositional("for", "für",
            "acc", np("her brother"))),
     "she bought a present for her brother", "sie hat ein Geschenk für ihren Bruder gekauft"),
    (Clause(WE, verb("go"), complement=prepositional("into", "in", "acc", np("the park")),
            adjunct=prepositional("without", "ohne", "acc", np("our dog"))),
     "we go into the park without our dog", "wir gehen ohne unseren Hund in den Park"),
    (Clause(np("the woman"), verb("buy"), direct=np("the coat"), negated=True),
     "the woman does not buy the coat", "die Frau kauft den Mantel nicht"),
    (Clause(np("the woman"), verb("buy"), PAST, np("a coat"), negated=True),
     "the woman did not buy a coat", "die Frau hat keinen Mantel gekauft"),
    (Clause(HE, verb("eat"), direct=np("- egg+"), negated=True),
     "he does not eat eggs", "er isst keine Eier"),
    (Clause(ME, verb("help"), CAN, indirect=THEY, negated=True),
     "I cannot help them", "ich kann ihnen nicht helfen"),
    (Clause(SHE, verb("go"), WANT, complement=prepositional("into", "in",
            "acc", np("the forest")), negated=True),
     "she does not want to go into the forest", "sie will nicht in den Wald gehen"),
    (Clause(np("no student"), verb("laugh"), PAST), "no student laughed", "kein Student hat gelacht"),
    (Clause(np("this house"), BE, complement=predicate("old")), "this house is old", "dieses Haus ist alt"),
    (Clause(np("the apple+"), BE, PAST, complement=predicate("fresh"), negated=True),
     "the apples were not fresh", "die Äpfel waren nicht frisch"),
    (Clause(ME, BE, complement=predicate("tired")), "I am tired", "ich bin müde"),
    (Clause(HE, HAVE, PAST, np("no black hat")), "he had no black hat", "er hatte keinen schwarzen Hut"),
    (Clause(SHE, HAVE, direct=np("- expensive car", 23)),
     "she has twenty-three expensive cars", "sie hat dreiundzwanzig teure Autos"),
    (Clause(SHE, HAVE, direct=np("one sister")), "she has one sister", "sie hat eine Schwester"),
    (Clause(THEY, verb("find"), PAST, np("many white flower+")),
     "they found many white flowers", "sie haben viele weiße Blumen gefunden"),
    (Clause(np("a friendly guest"), verb("invite"), FUTURE, WE),
     "a friendly guest will invite us", "ein freundlicher Gast wird uns einladen"),
    (Clause(np("the dress"), COST, complement=Part("one euro", "einen Euro")),
     "the dress costs one euro", "das Kleid kostet einen Euro"),
    (Clause(np("the dress"), COST, complement=Part("two euros", "zwei Euro")),
     "the dress costs two euros", "das Kleid kostet zwei Euro"),
    (Clause(np("my sister"), verb("wear"), direct=np("this green dress"), time=OFTEN),
     "my sister often wears this green dress", "meine Schwester trägt oft dieses grüne Kleid"),
    (Clause(np("their daughter+"), verb("write"), direct=np("- letter", 3), time=DAILY),
     "their daughters write three letters every day", "ihre Töchter schreiben jeden Tag drei Briefe"),
    (Clause(ME, verb("see"), PAST, HE, time=YESTERDAY),
     "I saw him yesterday", "ich habe ihn gestern gesehen"),
]  # fmt: skip


@pytest.mark.parametrize(("clause", "english", "german"), STATEMENTS, ids=[row[1] for row in STATEMENTS])
def test_statements(clause: Clause, english: str, german: str) -> None:
    assert (clause.english(), clause.german_main()) == (english, german)


# Yes and no questions: "do" in English, the verb first in German.
QUESTIONS = [
    (Clause(np("the woman"), verb("buy"), direct=np("the bread")),
     "does the woman buy the bread", "kauft die Frau das Brot"),
    (Clause(np("the student+"), verb("read"), PAST, np("the newspaper")),
     "did the students read the newspaper", "haben die Studenten die Zeitung gelesen"),
    (Clause(WE, verb("open"), CAN, np("the suitcase")),
     "can we open the suitcase", "können wir den Koffer aufmachen"),
    (Clause(HE, verb("arrive"), PAST), "did he arrive", "ist er angekommen"),
    (Clause(SHE, verb("call"), direct=ME, time=OFTEN), "does she often call me", "ruft sie mich oft an"),
    (Clause(THEY, verb("tidy"), MUST, np("the room")),
     "do they have to tidy the room", "müssen sie das Zimmer aufräumen"),
    (Clause(np("the egg+"), BE, complement=predicate("fresh")), "are the eggs fresh", "sind die Eier frisch"),
    (Clause(np("the boy"), verb("drink"), syntax.ALLOWED, np("- coffee")),
     "is the boy allowed to drink coffee", "darf der Junge Kaffee trinken"),
]  # fmt: skip


@pytest.mark.parametrize(("clause", "english", "german"), QUESTIONS, ids=[row[1] for row in QUESTIONS])
def test_questions(clause: Clause, english: str, german: str) -> None:
    assert (clause.english(inverted=True), clause.german_question()) == (english, german)


# What follows because, that, whether and if: the verb last, its prefix joined.
SUBORDINATE = [
    (Clause(HE, BE, complement=predicate("sick")), "he is sick", "er krank ist"),
    (Clause(np("the man"), verb("open"), direct=np("the window")),
     "the man opens the window", "der Mann das Fenster aufmacht"),
    (Clause(np("the woman"), verb("shop"), WANT, time=TOMORROW),
     "the woman wants to shop tomorrow", "die Frau morgen einkaufen will"),
    (Clause(ME, verb("go"), PAST, complement=prepositional("into", "in", "acc", np("the school"))),
     "I went into the school", "ich in die Schule gegangen bin"),
    (Clause(WE, verb("repair"), FUTURE, np("his old bicycle")),
     "we will repair his old bicycle", "wir sein altes Fahrrad reparieren werden"),
    (Clause(SHE, verb("love"), direct=np("no man")), "she loves no man", "sie keinen Mann liebt"),
    (Clause(THEY, verb("visit"), PAST, HE, negated=True),
     "they did not visit him", "sie ihn nicht besucht haben"),
    (Clause(ME, verb("get up"), MUST, time=Time("at seven o'clock", "um sieben Uhr")),
     "I have to get up at seven o'clock", "ich um sieben Uhr aufstehen muss"),
]  # fmt: skip


@pytest.mark.parametrize(("clause", "english", "german"), SUBORDINATE, ids=[row[1] for row in SUBORDINATE])
def test_subordinate_clauses(clause: Clause, english: str, german: str) -> None:
    assert (clause.english(), clause.german_subordinate()) == (english, german)


def test_the_verb_stays_second_after_whatever_comes_first() -> None:
    clause = Clause(np("the woman"), verb("buy"), PAST, np("- apple", 3), time=YESTERDAY)
    assert clause.english(front=True) == "yesterday the woman bought three apples"
    assert clause.german_main(front=True) == "gestern hat die Frau drei Äpfel gekauft"
    early = Clause(ME, verb("get up"), time=DAILY)
    assert early.german_main(front=True) == "jeden Tag stehe ich auf"
    asked = Clause(np("the boy"), verb("go"))
    assert asked.german_main("wohin") == "wohin geht der Junge"
    assert Clause(WHO, verb("help"), indirect=HE).german_main() == "wer hilft ihm"
    assert Clause(SHE, verb("help")).german_main(WHO.german("dat")) == "wem hilft sie"
    assert Clause(SHE, KNOW_FACT, negated=True).german_main() == "sie weiß nicht"
    assert [Clause(ME, each).german_main() for each in OPINIONS] == [
        "ich weiß",
        "ich sage",
        "ich glaube",
        "ich hoffe",
    ]


@pytest.mark.parametrize(
    ("thing", "english", "german"),
    [
        ("a cake", "buys a cake and eats it", "kauft einen Kuchen und isst ihn"),
        ("a orange", "buys an orange and eats it", "kauft eine Orange und isst sie"),
        ("- bread", "buys bread and eats it", "kauft Brot und isst es"),
        ("the egg+", "buys the eggs and eats them", "kauft die Eier und isst sie"),
    ],
)
def test_it_has_the_gender_of_the_noun(thing: str, english: str, german: str) -> None:
    bought, eaten = Clause(HE, verb("buy"), direct=np(thing)), Clause(HE, verb("eat"), direct=it(np(thing)))
    assert f"{bought.english()} and {eaten.english_sequel()}" == f"he {english}"
    assert f"{bought.german_main()} und {eaten.german_sequel()}" == f"er {german}"


def test_a_second_verb_shares_the_auxiliary() -> None:
    bought = Clause(SHE, verb("buy"), FUTURE, np("a coat"))
    worn = Clause(SHE, verb("wear"), FUTURE, it(np("a coat")))
    assert f"{bought.english()} and {worn.english_sequel()}" == "she will buy a coat and wear it"
    assert (
        f"{bought.german_main()} und {worn.german_sequel()}" == "sie wird einen Mantel kaufen und ihn tragen"
    )


# The standard tables, with one adjective: nominative, accusative, dative.
PARADIGMS = {
    "the small dog": "der kleine Hund, den kleinen Hund, dem kleinen Hund",
    "the small cat": "die kleine Katze, die kleine Katze, der kleinen Katze",
    "the small horse": "das kleine Pferd, das kleine Pferd, dem kleinen Pferd",
    "the small bird+": "die kleinen Vögel, die kleinen Vögel, den kleinen Vögeln",
    "a small dog": "ein kleiner Hund, einen kleinen Hund, einem kleinen Hund",
    "a small cat": "eine kleine Katze, eine kleine Katze, einer kleinen Katze",
    "a small horse": "ein kleines Pferd, ein kleines Pferd, einem kleinen Pferd",
    "our small dog": "unser kleiner Hund, unseren kleinen Hund, unserem kleinen Hund",
    "no small dog+": "keine kleinen Hunde, keine kleinen Hunde, keinen kleinen Hunden",
    "- fresh cheese": "frischer Käse, frischen Käse, frischem Käse",
    "- fresh milk": "frische Milch, frische Milch, frischer Milch",
    "- fresh bread": "frisches Brot, frisches Brot, frischem Brot",
    "- green apple+": "grüne Äpfel, grüne Äpfel, grünen Äpfeln",
    "many old book+": "viele alte Bücher, viele alte Bücher, vielen alten Büchern",
    "this expensive lamp": "diese teure Lampe, diese teure Lampe, dieser teuren Lampe",
    "which expensive coat": "welcher teure Mantel, welchen teuren Mantel, welchem teuren Mantel",
    "the tired boy": "der müde Junge, den müden Jungen, dem müden Jungen",
    "her old neighbor": "ihr alter Nachbar, ihren alten Nachbarn, ihrem alten Nachbarn",
    "the sick student+": "die kranken Studenten, die kranken Studenten, den kranken Studenten",
    "the car+": "die Autos, die Autos, den Autos",
    "the girl+": "die Mädchen, die Mädchen, den Mädchen",
}


@pytest.mark.parametrize("phrase", PARADIGMS)
def test_declension(phrase: str) -> None:
    assert ", ".join(np(phrase).german(case) for case in ("nom", "acc", "dat")) == PARADIGMS[phrase]


def test_every_noun_obeys_what_grammars_say_of_its_shape() -> None:
    for each in NOUNS:
        if each.german.endswith("dchen"):
            assert each.gender == "n", each.german
        if each.german.endswith(("ung", "heit", "keit", "schaft")):
            assert each.gender == "f", each.german
        if each.weak:
            assert each.gender == "m" and each.german_plural.endswith("n"), each.german
        if each.german_plural:
            assert noun_form(each, "dat", True)[-1] in "ns", each.german
        assert each.german[0].isupper() and each.english.islower()
    assert len({each.english for each in NOUNS}) == len({each.german for each in NOUNS}) == len(NOUNS) >= 60


def test_participles_and_prefixes_fit_their_verbs() -> None:
    for each in VERBS:
        infinitive, third, participle = each.german
        assert infinitive.endswith("en") and third.endswith("t") and participle.endswith(("t", "en"))
        if each.prefix:
            assert participle.startswith(f"{each.prefix}ge")


NUMBERS = {
    0: ("zero", "null"),
    1: ("one", "eins"),
    12: ("twelve", "zwölf"),
    16: ("sixteen", "sechzehn"),
    17: ("seventeen", "siebzehn"),
    21: ("twenty-one", "einundzwanzig"),
    30: ("thirty", "dreißig"),
    67: ("sixty-seven", "siebenundsechzig"),
    101: ("one hundred and one", "einhunderteins"),
    345: ("three hundred and forty-five", "dreihundertfünfundvierzig"),
    1000: ("one thousand", "eintausend"),
    2012: ("two thousand and twelve", "zweitausendzwölf"),
    21_001: ("twenty-one thousand and one", "einundzwanzigtausendeins"),
    999_999: (
        "nine hundred and ninety-nine thousand nine hundred and ninety-nine",
        "neunhundertneunundneunzigtausendneunhundertneunundneunzig",
    ),
}


@pytest.mark.parametrize("n", NUMBERS)
def test_numbers_as_words(n: int) -> None:
    assert (numbers.english(n), numbers.german(n)) == NUMBERS[n]


def test_no_two_numbers_read_alike() -> None:
    below = range(0, 1_000_000, 7)
    assert len({numbers.english(n) for n in below}) == len({numbers.german(n) for n in below}) == len(below)
    assert len({numbers.german(n) for n in range(30_000)}) == 30_000


@given(st.integers(1, 999), st.integers(1, 999))
def test_number_words_are_put_together_from_smaller_ones(thousands: int, rest: int) -> None:
    n = 1000 * thousands + rest
    joint = " and " if rest < 100 else " "
    assert numbers.english(n) == f"{numbers.english(thousands)} thousand{joint}{numbers.english(rest)}"
    assert numbers.german(n) == f"{numbers.german_before_noun(thousands)}tausend{numbers.german(rest)}"
    assert numbers.german(n).isalpha() and numbers.german(n).islower()


@pytest.mark.parametrize("n", [-1, 1_000_000])
def test_numbers_out_of_reach_are_refused(n: int) -> None:
    with pytest.raises(TxError):
        numbers.german(n)


@cache
def default() -> Corpus:
    return make_corpus()


def all_pairs() -> list[Pair]:
    return [pair for part in default() for pair in part]


def words(text: str) -> list[str]:
    return [word.strip(".,?") for word in text.split()]


def test_every_line_is_a_clean_sentence() -> None:
    for pair in all_pairs():
        for line in (pair.english, pair.german):
            assert unicodedata.is_normalized("NFC", line) and line == " ".join(line.split())
            assert line[0].isupper() and line[-1] in ".?" and 3 <= len(line.split()) <= 14
            assert " ," not in line and ",," not in line and line[-2].isalpha()
        assert pair.english[-1] == pair.german[-1]


def test_a_sentence_has_one_translation() -> None:
    for side in (0, 1):
        lines = [pair[side] for pair in all_pairs()]
        assert len(set(lines)) == len(lines)
    german: dict[str, str] = {}  # also between corpora of different seeds
    for seed in range(4):
        for pair in generate(6000, seed):
            assert german.setdefault(pair.english, pair.german) == pair.german


ARTICLES = {"m": {"der", "den", "dem"}, "f": {"die", "der"}, "n": {"das", "dem"}}


def test_articles_agree_with_their_nouns_in_running_text() -> None:
    allowed: dict[str, set[str]] = {}
    for each in NOUNS:
        plural = each.german_plural
        allowed.setdefault(each.german, set()).update(ARTICLES[each.gender])
        if plural:
            allowed.setdefault(plural, set()).update({"die"} | ({"den"} if plural[-1] in "ns" else set()))
            allowed.setdefault(plural if plural[-1] in "ns" else f"{plural}n", set()).add("den")
        if each.weak:
            allowed[plural] |= {"den", "dem"}
    seen = 0
    for pair in all_pairs():
        tokens = words(pair.german)
        for article, following in pairwise(tokens):
            if article.lower() in ("der", "die", "das", "den", "dem") and following in allowed:
                assert article.lower() in allowed[following], pair
                seen += 1
        assert not {"in dem", "in das"} & {" ".join(two) for two in pairwise(tokens)}, pair
    assert seen > 1000


def test_negation_is_on_both_sides_or_on_neither() -> None:
    for pair in all_pairs():
        english = {"not", "cannot", "no"} & {word.lower() for word in words(pair.english)}
        german = any(
            word.lower() == "nicht" or word.lower().startswith("kein") for word in words(pair.german)
        )
        assert bool(english) == german, pair


FINITE = {"ist", "sind", "bin", "war", "waren", "hat", "haben", "habe", "hatte", "hatten", "kostet"}
for each in VERBS:
    stem = each.german[0].removesuffix("en")
    FINITE |= {each.prefix + form for form in (stem + "e", each.german[1], each.german[0])}
for each in syntax.TENSES:
    FINITE |= set(each.german)


def test_verbs_end_subordinate_clauses() -> None:
    seen = Counter[str]()
    for pair in all_pairs():
        before, comma, after = pair.german.rstrip(".?").partition(", ")
        if comma and before.startswith("Wenn "):
            seen["wenn"] += 1
            assert before.split()[-1] in FINITE, pair
        elif comma:
            conjunction, *clause = after.split()
            seen[conjunction] += 1
            assert clause[-1] in FINITE, pair
    assert set(seen) == {"wenn", "weil", "obwohl", "dass", "ob"} and min(seen.values()) > 100


def test_an_english_past_that_looks_like_a_present_is_left_out() -> None:
    """ "They read" and "they put" could be either; with he or she, the present has its s."""
    helpers = {"do", "does", "did", "will", "can", "cannot", "to"}
    seen = 0
    for pair in all_pairs():
        english, german = words(pair.english.lower()), words(pair.german.lower())
        for form in {"read", "put"} & set(english):
            seen += 1
            assert "hat" in german or helpers & set(english[: english.index(form)]), pair
    assert seen > 100


def test_the_parts_have_their_sizes_and_the_words_of_test_are_known() -> None:
    train, valid, test = default()
    assert [len(part) for part in default()] == [20_000, 300, 500]
    for side in (0, 1):
        known = Counter(word for pair in train for word in words(pair[side]))
        assert {word for pair in valid + test for word in words(pair[side])} <= set(known)
        for part in (valid, test):
            assert not {pair[side] for pair in part} & {pair[side] for pair in train}


def test_training_never_shows_a_held_out_combination() -> None:
    train, valid, test = default()
    seen = {combination for pair in train for combination in pair.combinations}
    assert all(any(each not in seen for each in pair.combinations) for pair in valid + test)
    missing = {each for pair in valid + test for each in pair.combinations} - seen
    assert len(missing) > 80 and all(map(held_out, missing)) and not any(map(held_out, seen))
    # the same on the text itself, without the bookkeeping: adjectives stand right before their nouns
    forms = {each.english: {each.english, each.english_plural} - {""} for each in NOUNS}
    names = {each.english for each in ADJECTIVES}
    banned = {f" {a} {form}" for a, n in missing if a in names for form in forms[n]}
    text = "\n".join(pair.english.rstrip(".?") + " " for pair in train)
    assert len(banned) > 40 and not [each for each in banned if f"{each} " in text]
    test_text = "\n".join(pair.english.rstrip(".?") + " " for pair in test)
    assert sum(f"{each} " in test_text for each in banned) > 20
    parts = {word for pair in missing for word in pair}  # ... and each of the two words occurs elsewhere
    assert parts <= {word for pair in seen for word in pair}


def test_every_construction_occurs_in_test() -> None:
    text = "\n".join(f" {pair.german} " for pair in default().test)
    signs = "?|, weil |, obwohl |, dass |, ob |Wenn | und | nicht | kein| Was | Wer | Wie viel| Jahre alt"
    for sign in signs.split("|"):
        assert sign in text, sign


def test_the_same_seed_gives_the_same_bytes() -> None:
    code = "from tx.demo.corpus import generate; print(ascii(generate(3000, 5)))"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert runs[0] == runs[1]
    assert generate(200, 1) == generate(300, 1)[:200] != generate(200, 2)


def test_files_hold_the_pairs_line_by_line_and_are_not_replaced_unasked(tmp_path: Path) -> None:
    few = Corpus(*(part[:20] for part in default()))
    paths = write_corpus(few, tmp_path / "new" / "demo")
    assert [path.name for path in paths] == [
        "train.en",
        "train.de",
        "valid.en",
        "valid.de",
        "test.en",
        "test.de",
    ]
    assert sorted(paths) == sorted((tmp_path / "new" / "demo").iterdir())
    english, german = (path.read_bytes().decode() for path in paths[:2])
    assert list(zip(english.split("\n"), german.split("\n"), strict=True)) == [
        *((pair.english, pair.german) for pair in few.train),
        ("", ""),
    ]
    paths[3].write_text("mine")
    for path in paths[:3]:
        path.unlink()
    with pytest.raises(UsageError, match=r"valid\.de"):
        write_corpus(few, tmp_path / "new" / "demo")
    assert paths[3].read_text() == "mine" and not paths[0].exists()
    write_corpus(few, tmp_path / "new" / "demo", overwrite=True)
    assert paths[3].read_text() != "mine"


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UsageError):
        generate(-1)


def tx(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tx", "demo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=100)


def test_show_prints_pairs_on_stdout() -> None:
    done = tx("--show", "3", "--seed", "4")
    assert done.stdout == "".join(f"{pair.english}\t{pair.german}\n" for pair in generate(3, 4))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_writes_and_says_what_to_do_next(tmp_path: Path) -> None:
    folder = tmp_path / "my demo"
    done = tx("-o", folder)
    assert (done.returncode, done.stdout) == (0, "") and "train 20,000" in done.stderr
    assert f"tx train transformer-xs '{folder / 'train.en'}'" in done.stderr
    assert (folder / "test.de").read_bytes().decode().rstrip("\n").split("\n") == [
        p.german for p in default().test
    ]
    again = tx("-o", folder)
    assert again.returncode == 2 and "exists already" in again.stderr and "--overwrite" in again.stderr
    assert tx("-o", folder, "--overwrite", "-q").stderr == ""


def test_the_command_wants_a_folder_or_show(tmp_path: Path) -> None:
    for arguments in ((), ("-o", str(tmp_path), "--show", "1")):
        assert tx(*arguments).returncode == 2
