"""A text as numbers on disk, for training that reads it several times and never holds it in memory.

Words are what white space separates. The text is read once, every word numbered in the order it first occurs
in; then phrases are joined, if wanted, rare words dropped, and the others numbered by frequency. In the file
of ids a line ends in -1. Blocks of it are what is read, handed to threads, and counted to know where a run is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tx.checksums import check_digest, damaged_run_file, dump_checked, load_checked
from tx.config.schema import Word2VecConfig
from tx.errors import TxError
from tx.files import sha256
from tx.text.lines import read_blocks
from tx.word2vec.numba_cache import has_numba
from tx.word2vec.phrases import join_phrases

LINE_END = -1
IDS, WORDS, COUNTS, FACTS = "ids", "words", "counts", "corpus.json"
COMPILE_FROM = 16 << 20  # bytes of text from which compiled reading pays
READ = 1 << 20  # ids that are handled at a time

Ids = NDArray[np.int32]


@dataclass
class Corpus:
    """An encoded text in a folder: ids, and the words they stand for, most frequent first."""

    folder: Path
    words: list[str]
    counts: NDArray[np.int64]  # [n_words]
    n_ids: int  # line ends included
    n_read: int  # words of the text, those that are left out included

    @property
    def n_tokens(self) -> int:
        """Words to train on in one epoch."""
        return int(self.counts.sum())

    def read(self, start: int, n: int) -> Ids:
        """At most `n` ids from `start` on."""
        return np.fromfile(self.folder / IDS, "<i4", n, offset=4 * start)

    def sample(self, n: int) -> Ids:
        """`n` ids from the middle of the text, or all of them."""
        return self.read(max(0, (self.n_ids - n) // 2), n)


class Numbers(Protocol):
    """Gives words numbers in the order they first occur in."""

    def encode(self, raw: bytes, text: str) -> Ids:
        """The numbers of the words in a block, with -1 for each line end."""

    def words(self) -> list[str]:
        """The words by their numbers."""


class _Dictionary(dict[str, int]):
    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


class Encoder:
    """`Numbers` in Python: for texts so small that compiling costs more than it saves, and without numba."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._numbers = _Dictionary({word: i for i, word in enumerate(words)})

    def encode(self, raw: bytes, text: str) -> Ids:
        parts = []
        for i, line in enumerate(text.split("\n")):
            words = line.split()
            if i:
                parts.append(np.array([LINE_END], np.int32))
            parts.append(np.fromiter(map(self._numbers.__getitem__, words), np.int32, len(words)))
        return np.concatenate(parts)

    def words(self) -> list[str]:
        return list(self._numbers)


def encode_text(
    paths: Sequence[str], config: Word2VecConfig, folder: Path, say: Callable[[str], None]
) -> Corpus:
    """Read the text of `paths` (`-`: standard input, `.gz`: unpacked) and keep it in `folder` as numbers.

    Raises TxError if a file cannot be read, is no text, or has no two words that occur often enough.
    """
    raw = folder / "raw"
    words, counts = _number(paths, raw)
    n_read = int(counts.sum())
    if config.phrases:
        n_before = len(words)
        words, counts = join_phrases(raw, words, counts, config.min_count, config.phrase_threshold)
        say(f"{len(words) - n_before:,} phrases joined")
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= config.min_count]
    kept = [words[i] for i in order.tolist()]
    if len(kept) < 2:
        names = " and ".join(paths)
        raise TxError(
            f"{names} holds {n_read:,} words, of which {len(kept)} occurs {config.min_count} times or more",
            "word vectors need far more text" if config.min_count == 1 else "--min-count 1 keeps every word",
        )
    number_of = np.full(len(words), -2, np.int32)
    number_of[order] = np.arange(len(order), dtype=np.int32)
    n_ids = _renumber(raw, folder / IDS, number_of)
    raw.unlink()
    (folder / WORDS).write_text("".join(f"{word}\n" for word in kept), encoding="utf-8", newline="\n")
    counts[order].astype("<i8").tofile(folder / COUNTS)
    digests = {name: sha256(folder / name) for name in (IDS, WORDS, COUNTS)}
    facts = {"n_ids": n_ids, "n_read": n_read, "digests": digests}
    (folder / FACTS).write_text(dump_checked(facts), encoding="utf-8")
    return Corpus(folder, kept, counts[order], n_ids, n_read)


def open_corpus(folder: Path) -> Corpus:
    """What `encode_text` left in `folder`. Raises TxError if it is missing or damaged."""
    try:
        facts = load_checked(folder / FACTS)
    except FileNotFoundError as error:
        raise damaged_run_file(folder / FACTS) from error
    for name, digest in facts["digests"].items():
        check_digest(folder / name, digest)
    words = (folder / WORDS).read_text(encoding="utf-8").split("\n")[:-1]
    return Corpus(folder, words, np.fromfile(folder / COUNTS, "<i8"), facts["n_ids"], facts["n_read"])


def _number(paths: Sequence[str], to: Path) -> tuple[list[str], NDArray[np.int64]]:
    """Write the ids of all words to a file; return the words and how often each occurs."""
    numbers: Numbers = Encoder()
    counts, n_bytes = np.zeros(0, np.int64), 0
    with to.open("wb") as file:
        for path in paths:
            for raw, text in read_blocks(path):
                if n_bytes < COMPILE_FROM <= n_bytes + len(raw) and has_numba():
                    from tx.word2vec.scan import ScanEncoder

                    numbers = ScanEncoder(numbers.words())
                n_bytes += len(raw)
                ids = numbers.encode(raw, text)
                ids.tofile(file)
                new = np.bincount(ids[ids >= 0], minlength=len(counts))
                new[: len(counts)] += counts
                counts = new
            np.array([LINE_END], "<i4").tofile(file)  # a file's last line may lack its end
    return numbers.words(), counts


def read_ids(path: Path) -> Iterator[Ids]:
    """The ids of a file, piece by piece."""
    with path.open("rb") as file:
        while len(ids := np.fromfile(file, "<i4", READ)):
            yield ids


def _renumber(source: Path, to: Path, number_of: Ids) -> int:
    """Write the ids anew, without the words whose new number is -2 and without empty lines."""
    n, last = 0, LINE_END
    with to.open("wb") as file:
        for ids in read_ids(source):
            ids = np.where(ids < 0, LINE_END, number_of[ids])
            ids = ids[ids > -2]
            before = np.concatenate(([last], ids[:-1]))
            ids = ids[(ids >= 0) | (before >= 0)].astype("<i4")
            if len(ids):
                last = int(ids[-1])
            ids.tofile(file)
            n += len(ids)
    return n
