"""An example corpus that needs no download: English and German sentence pairs from a small grammar.

The grammar derives both sentences of a pair from one meaning (a synchronous grammar, Aho and Ullman 1969), so that an
English sentence has exactly one German reference. The test set consists of combinations that do not occur in the
training set: the compositional split of SCAN (Lake and Baroni 2018), on natural sentences.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple
from zlib import crc32

from tx.demo.sentences import Pair, Speaker
from tx.errors import UsageError
from tx.files import atomic_file

SPLITS = ("train", "valid", "test")
N_TRAIN, N_VALID, N_TEST = 20_000, 300, 500
SHORTEST, LONGEST = 3, 14  # words in a sentence, on either side
HELD_OUT_SHARE = 0.12  # of all combinations
PATIENCE = 10_000  # draws without a new sentence after which the grammar counts as exhausted


class Corpus(NamedTuple):
    train: list[Pair]
    valid: list[Pair]
    test: list[Pair]


def _stream(seed: int) -> Iterator[Pair]:
    """Different pairs of 3 to 14 words, in an order that depends on `seed`; ends when the grammar is exhausted."""
    speaker = Speaker(Random(seed))
    english: set[str] = set()
    german: set[str] = set()
    failures = 0
    while failures < PATIENCE:
        pair = speaker.draw()
        lengths = len(pair.english.split()), len(pair.german.split())
        repeated = pair.english in english or pair.german in german
        if repeated or min(lengths) < SHORTEST or max(lengths) > LONGEST:
            failures += 1
            continue
        failures = 0
        english.add(pair.english)
        german.add(pair.german)
        yield pair


def generate(n_pairs: int = 1000, seed: int = 1) -> list[Pair]:
    """`n_pairs` pairs, with no sentence of either language twice; a seed gives the same pairs on every machine.

    Raises UsageError for a negative number, and for more pairs than the grammar yields.
    """
    if n_pairs < 0:
        raise UsageError(f"cannot generate {n_pairs} pairs", "give 0 or a larger number")
    pairs = list(islice(_stream(seed), n_pairs))
    if len(pairs) < n_pairs:
        raise UsageError(f"the grammar yields only {len(pairs)} different pairs", "give a smaller number")
    return pairs


def held_out(combination: tuple[str, str]) -> bool:
    """Whether a combination (adjective, noun) or (verb, object noun) is held out from training: about one in eight.

    This depends on the two words alone, not on the seed.
    """
    return crc32(" ".join(combination).encode()) % 1000 < 1000 * HELD_OUT_SHARE


def make_corpus(seed: int = 1) -> Corpus:
    """Training, validation and test pairs; test sentences are new and contain a new combination of words.

    A combination is an adjective with the noun it describes ("red car", "the car is red"), or a verb with the
    noun it acts on or leads to ("buy", "car"; "wait", "bus"; "go", "park"), in dictionary forms. Those for
    which `held_out` is true occur in no training pair, and every validation and test pair has at least one.
    All word forms of the test set occur in training. No English and no German sentence occurs twice.
    """
    train: list[Pair] = []
    unseen: list[Pair] = []
    for pair in _stream(seed):
        if any(map(held_out, pair.combinations)):
            unseen.append(pair)
        elif len(train) < N_TRAIN:
            train.append(pair)
        elif len(unseen) >= 2 * (N_VALID + N_TEST):  # twice as many as needed: some words are not in training
            break
    known = {word for pair in train for word in _words(pair)}
    rest = [pair for pair in unseen if known.issuperset(_words(pair))]
    return Corpus(train, rest[:N_VALID], rest[N_VALID : N_VALID + N_TEST])


def _words(pair: Pair) -> list[str]:
    return [word.strip(".,?") for word in f"{pair.english} {pair.german}".split()]


def write_corpus(parts: Corpus, folder: Path, overwrite: bool = False) -> list[Path]:
    """Write train, valid and test as NAME.en and NAME.de into `folder`, and return their paths.

    Raises UsageError if such a file exists and `overwrite` is not set, TxError if it cannot be written.
    """
    texts = {}
    for name, pairs in zip(SPLITS, parts, strict=True):
        texts[folder / f"{name}.en"] = [pair.english for pair in pairs]
        texts[folder / f"{name}.de"] = [pair.german for pair in pairs]
    for path in texts:
        if path.exists() and not overwrite:
            raise UsageError(
                f"{path} exists already", "choose another folder, or replace it with --overwrite"
            )
    for path, lines in texts.items():
        with atomic_file(path) as file:
            file.writelines(f"{line}\n".encode() for line in lines)
    return list(texts)
