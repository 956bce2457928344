"""The words of the example corpus: nouns with gender and plural, adjectives, verbs with their objects, times.

The tags behind a noun say what may be done with it (`food` is eaten, `public` is nobody's own), those behind
an adjective or a verb say which nouns it goes with. They are what keeps dogs from reading newspapers.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A noun of both languages; `plurals` are empty for what is not counted (milk)."""

    english: str
    english_plural: str
    german: str
    german_plural: str
    gender: str  # m, f or n
    weak: bool  # n-declension: der Junge, den Jungen
    tags: frozenset[str]
    possessive: str  # the English possessive that refers back to it, if one does


@dataclass(frozen=True)
class Adjective:
    english: str
    german: str
    stem: str  # what the endings are added to: teuer, teur-
    tags: frozenset[str]


@dataclass(frozen=True)
class Verb:
    """A verb of both languages. Empty `objects` or `place` means that it takes none."""

    english: tuple[str, str, str]  # base, third person, past: buy buys bought
    german: tuple[str, str, str]  # infinitive without prefix, third person, participle
    prefix: str = ""  # separable: aufmachen
    particle: str = ""  # look for
    sein: bool = False  # perfect with sein: ist gegangen
    first: str = ""  # first person, where it is not the stem and -e
    preterite: tuple[str, str, str] = ("", "", "")  # used for the past in place of the perfect: ich, er, wir
    subjects: tuple[str, ...] = ("person",)
    objects: tuple[str, ...] = ()  # accusative
    receivers: tuple[str, ...] = ()  # dative
    link: tuple[str, str, str] = ("", "", "")  # preposition in English, in German, case: wait for, auf, acc
    places: tuple[str, ...] = ()  # the nouns behind the preposition
    place_optional: bool = False
    company: tuple[str, ...] = ()  # adjuncts it goes well with: for, with, without
    stative: bool = False  # present tense only
    timeless: bool = False  # no time with it
    willed: bool = True  # one can want to do it, or be allowed to

    @property
    def name(self) -> str:
        """Its English dictionary form, particle included."""
        return f"{self.english[0]} {self.particle}".strip()


def _nouns(table: str) -> tuple[Noun, ...]:
    nouns = []
    for line in table.strip().split("\n"):
        english, english_plural, gender, german, german_plural, *tags = line.split()
        possessive = next((tag for tag in tags if tag in ("his", "her")), "")
        if {"adult", "kid", "kin"} & set(tags):
            tags.append("person")
        nouns.append(
            Noun(
                english,
                english_plural.strip("-"),
                german,
                german_plural.strip("-"),
                gender,
                "weak" in tags,
                frozenset(tags),
                possessive,
            )
        )
    return tuple(nouns)


NOUNS = _nouns("""
man men m Mann Männer adult his public
woman women f Frau Frauen adult her public
student students m Student Studenten adult weak
teacher teachers m Lehrer Lehrer adult
doctor doctors m Arzt Ärzte adult
neighbor neighbors m Nachbar Nachbarn adult weak
friend friends m Freund Freunde adult
guest guests m Gast Gäste adult
child children n Kind Kinder kid
boy boys m Junge Jungen kid weak his public
girl girls n Mädchen Mädchen kid her public
mother mothers f Mutter Mütter kin her parent
father fathers m Vater Väter kin his parent
sister sisters f Schwester Schwestern kin her sibling
brother brothers m Bruder Brüder kin his sibling
daughter daughters f Tochter Töchter kin her
son sons m Sohn Söhne kin his
dog dogs m Hund Hunde animal pet
cat cats f Katze Katzen animal pet
bird birds m Vogel Vögel animal
horse horses n Pferd Pferde animal
apple apples m Apfel Äpfel food
egg eggs n Ei Eier food
cake cakes m Kuchen Kuchen food
potato potatoes f Kartoffel Kartoffeln food
orange oranges f Orange Orangen food
bread - n Brot - food
cheese - m Käse - food
soup - f Suppe - food hot
milk - f Milch - drink
water - n Wasser - drink
coffee - m Kaffee - drink hot
tea - m Tee - drink hot
book books n Buch Bücher text thing prose
letter letters m Brief Briefe text open prose
newspaper newspapers f Zeitung Zeitungen text thing
key keys m Schlüssel Schlüssel thing
picture pictures n Bild Bilder thing
flower flowers f Blume Blumen thing color
present presents n Geschenk Geschenke thing open
ball balls m Ball Bälle thing color toy
cup cups f Tasse Tassen thing color
glass glasses n Glas Gläser thing
bottle bottles f Flasche Flaschen thing color open shut
bag bags f Tasche Taschen thing color open heavy shut
suitcase suitcases m Koffer Koffer thing color open heavy shut
coat coats m Mantel Mäntel thing color clothes
hat hats m Hut Hüte thing color clothes
shirt shirts n Hemd Hemden thing color clothes
dress dresses n Kleid Kleider thing color clothes
table tables m Tisch Tische furniture heavy repair
chair chairs m Stuhl Stühle furniture color heavy repair
bed beds n Bett Betten furniture
lamp lamps f Lampe Lampen thing color repair
bicycle bicycles n Fahrrad Fahrräder vehicle color repair
car cars n Auto Autos vehicle color repair
train trains m Zug Züge transport public
bus buses m Bus Busse transport public
door doors f Tür Türen part open color repair shut
window windows n Fenster Fenster part open repair shut
room rooms n Zimmer Zimmer inside tidy
kitchen kitchens f Küche Küchen inside tidy
house houses n Haus Häuser inside tidy home
garden gardens m Garten Gärten outside
park parks m Park Parks outside public
forest forests m Wald Wälder outside drive public
city cities f Stadt Städte town home drive
village villages n Dorf Dörfer town home drive
school schools f Schule Schulen house work drive
museum museums n Museum Museen house work drive public
hotel hotels n Hotel Hotels house work home drive public
restaurant restaurants n Restaurant Restaurants house work public
office offices n Büro Büros inside tidy work drive
""")


def _adjectives(table: str) -> tuple[Adjective, ...]:
    rows = (line.split() for line in table.strip().split("\n"))
    return tuple(Adjective(english, de, stem, frozenset(tags)) for english, de, stem, *tags in rows)


_PLACES = "inside outside town house"
ADJECTIVES = _adjectives(f"""
big groß groß kid animal thing furniture vehicle part {_PLACES}
small klein klein kid animal thing furniture vehicle part {_PLACES}
old alt alt adult animal thing furniture vehicle part transport {_PLACES}
new neu neu text thing furniture vehicle part house inside
young jung jung adult animal
good gut gut text food drink house
beautiful schön schön animal thing vehicle furniture {_PLACES}
tired müde müd person animal
happy glücklich glücklich person
friendly freundlich freundlich adult kin
sick krank krank person animal
red rot rot color
blue blau blau color
green grün grün color
black schwarz schwarz color pet
white weiß weiß color pet
expensive teuer teur thing vehicle furniture
cheap billig billig thing vehicle furniture
heavy schwer schwer heavy
fresh frisch frisch food drink
cold kalt kalt drink hot
warm warm warm hot clothes
quiet ruhig ruhig {_PLACES}
""")

_GIFT = ("thing", "text")
_INTO, _IN = ("into", "in", "acc"), ("in", "in", "dat")
_ANY_PLACE = ("inside", "outside", "town", "house")
_LIVING = ("person", "animal")

# fmt: off
VERBS = (
    Verb(("buy", "buys", "bought"), ("kaufen", "kauft", "gekauft"), company=("for",),
         objects=("food", "drink", "thing", "furniture", "vehicle")),
    Verb(("see", "sees", "saw"), ("sehen", "sieht", "gesehen"), subjects=_LIVING,
         objects=("person", "animal", "vehicle", "thing")),
    Verb(("find", "finds", "found"), ("finden", "findet", "gefunden"), willed=False,
         objects=("text", "thing", "pet")),
    Verb(("look", "looks", "looked"), ("suchen", "sucht", "gesucht"), particle="for",
         objects=("person", "text", "thing", "pet")),
    Verb(("need", "needs", "needed"), ("brauchen", "braucht", "gebraucht"), stative=True, timeless=True,
         objects=("food", "thing", "furniture", "vehicle")),
    Verb(("eat", "eats", "ate"), ("essen", "isst", "gegessen"), objects=("food",)),
    Verb(("drink", "drinks", "drank"), ("trinken", "trinkt", "getrunken"), objects=("drink",)),
    Verb(("read", "reads", "read"), ("lesen", "liest", "gelesen"), objects=("text",)),
    Verb(("write", "writes", "wrote"), ("schreiben", "schreibt", "geschrieben"), objects=("prose",)),
    Verb(("wear", "wears", "wore"), ("tragen", "trägt", "getragen"), objects=("clothes",)),
    Verb(("repair", "repairs", "repaired"), ("reparieren", "repariert", "repariert"), objects=("repair",)),
    Verb(("bring", "brings", "brought"), ("bringen", "bringt", "mitgebracht"), prefix="mit",
         objects=("food", "drink", "text", "thing")),
    Verb(("open", "opens", "opened"), ("machen", "macht", "aufgemacht"), prefix="auf", objects=("open",)),
    Verb(("close", "closes", "closed"), ("machen", "macht", "zugemacht"), prefix="zu", objects=("shut",)),
    Verb(("tidy", "tidies", "tidied"), ("räumen", "räumt", "aufgeräumt"), prefix="auf", objects=("tidy",)),
    Verb(("visit", "visits", "visited"), ("besuchen", "besucht", "besucht"), objects=("person",)),
    Verb(("know", "knows", "knew"), ("kennen", "kennt", "gekannt"), stative=True, timeless=True,
         objects=("person",)),
    Verb(("love", "loves", "loved"), ("lieben", "liebt", "geliebt"), stative=True, timeless=True,
         objects=("person", "pet")),
    Verb(("ask", "asks", "asked"), ("fragen", "fragt", "gefragt"), objects=("person",)),
    Verb(("call", "calls", "called"), ("rufen", "ruft", "angerufen"), prefix="an", objects=("person",)),
    Verb(("invite", "invites", "invited"), ("laden", "lädt", "eingeladen"), prefix="ein",
         objects=("person",)),
    Verb(("help", "helps", "helped"), ("helfen", "hilft", "geholfen"), receivers=("person",)),
    Verb(("thank", "thanks", "thanked"), ("danken", "dankt", "gedankt"), receivers=("person",)),
    Verb(("give", "gives", "gave"), ("geben", "gibt", "gegeben"), receivers=("person",), objects=_GIFT),
    Verb(("show", "shows", "showed"), ("zeigen", "zeigt", "gezeigt"), receivers=("person",), objects=_GIFT),
    Verb(("wait", "waits", "waited"), ("warten", "wartet", "gewartet"), link=("for", "auf", "acc"),
         places=("person", "transport")),
    Verb(("speak", "speaks", "spoke"), ("sprechen", "spricht", "gesprochen"), link=("with", "mit", "dat"),
         places=("person",)),
    Verb(("play", "plays", "played"), ("spielen", "spielt", "gespielt"), link=("with", "mit", "dat"),
         places=("kid", "pet", "toy")),
    Verb(("put", "puts", "put"), ("legen", "legt", "gelegt"), objects=("text", "clothes"),
         link=("on", "auf", "acc"), places=("furniture",)),
    Verb(("lie", "lies", "lay"), ("liegen", "liegt", "gelegen"), subjects=("text", "clothes", "pet"),
         link=("under", "unter", "dat"), places=("furniture",)),
    Verb(("go", "goes", "went"), ("gehen", "geht", "gegangen"), sein=True, link=_INTO, places=_ANY_PLACE,
         company=("with", "without")),
    Verb(("drive", "drives", "drove"), ("fahren", "fährt", "gefahren"), sein=True, link=_INTO,
         places=("drive",), company=("with", "without")),
    Verb(("live", "lives", "lived"), ("wohnen", "wohnt", "gewohnt"), link=_IN, places=("home",),
         timeless=True),
    Verb(("work", "works", "worked"), ("arbeiten", "arbeitet", "gearbeitet"), link=_IN, places=_ANY_PLACE,
         place_optional=True),
    Verb(("sleep", "sleeps", "slept"), ("schlafen", "schläft", "geschlafen"), subjects=_LIVING, link=_IN,
         places=("inside", "outside"), place_optional=True),
    Verb(("sing", "sings", "sang"), ("singen", "singt", "gesungen"), link=_IN, company=("with",),
         places=("inside", "outside", "house"), place_optional=True),
    Verb(("dance", "dances", "danced"), ("tanzen", "tanzt", "getanzt"), link=_IN, company=("with",),
         places=("inside", "outside", "house"), place_optional=True),
    Verb(("shop", "shops", "shopped"), ("kaufen", "kauft", "eingekauft"), prefix="ein", link=_IN,
         places=("town",), place_optional=True, company=("with", "without")),
    Verb(("watch", "watches", "watched"), ("sehen", "sieht", "ferngesehen"), prefix="fern", particle="TV"),
    Verb(("get", "gets", "got"), ("stehen", "steht", "aufgestanden"), prefix="auf", particle="up", sein=True),
    Verb(("arrive", "arrives", "arrived"), ("kommen", "kommt", "angekommen"), prefix="an", sein=True,
         subjects=("person", "transport")),
    Verb(("laugh", "laughs", "laughed"), ("lachen", "lacht", "gelacht")),
)

BE = Verb(("be", "is", "was"), ("sein", "ist", "gewesen"), first="bin", preterite=("war", "war", "waren"))
HAVE = Verb(("have", "has", "had"), ("haben", "hat", "gehabt"), preterite=("hatte", "hatte", "hatten"),
            objects=("pet", "vehicle", "thing", "sibling"))
COST = Verb(("cost", "costs", "cost"), ("kosten", "kostet", "gekostet"),
            subjects=("thing", "vehicle", "furniture"))
KNOW_FACT = Verb(("know", "knows", "knew"), ("wissen", "weiß", "gewusst"), first="weiß")
ASK_WHETHER = next(verb for verb in VERBS if verb.name == "ask")
OPINIONS = (
    KNOW_FACT,
    Verb(("say", "says", "said"), ("sagen", "sagt", "gesagt")),
    Verb(("think", "thinks", "thought"), ("glauben", "glaubt", "geglaubt")),
    Verb(("hope", "hopes", "hoped"), ("hoffen", "hofft", "gehofft")),
)
SEQUELS = (("buy", "eat", "food"), ("buy", "drink", "drink"), ("find", "read", "text"),
           ("buy", "wear", "clothes"))  # do this and then that with one of those

# The times that go with a tense: English, German. Those in OFTEN stand before the English verb.
TIMES = {
    "present": (("every day", "jeden Tag"), ("every morning", "jeden Morgen"), ("in the evening", "am Abend"),
                ("on Sundays", "sonntags")),
    "past": (("yesterday", "gestern"), ("last week", "letzte Woche"), ("on Monday", "am Montag"),
             ("today", "heute")),
    "future": (("tomorrow", "morgen"), ("next week", "nächste Woche"), ("on Friday", "am Freitag"),
               ("today", "heute")),
}
OFTEN = (("often", "oft"), ("sometimes", "manchmal"), ("always", "immer"))
