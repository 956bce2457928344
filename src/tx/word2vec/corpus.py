"""A text as word ids on disk, for training that reads it several times without holding it in memory.

Words are separated by white space. The text is read once, and words get ids in the order of their first occurrence.
Then phrases are joined (if requested), rare words are removed, and the others are numbered by frequency. In the file
of ids, a line ends with -1.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tx.checksums import check_digest, damaged_run_file, dump_checked, load_checked
from tx.errors import TxError
from tx.files import sha256
from tx.text.lines import read_blocks
from tx.word2vec.config import Word2VecConfig
from tx.word2vec.jit import has_numba
from tx.word2vec.phrases import join_phrases

LINE_END = -1
IDS, WORDS, COUNTS, INFO = "ids", "words", "counts", "corpus.json"
COMPILE_FROM = 16 << 20  # bytes of text from which compiling the encoder pays off
READ = 1 << 20  # ids read at a time

Ids = NDArray[np.int32]


@dataclass
class Corpus:
    """An encoded text in a folder: ids, and the words that they stand for, most frequent first."""

    folder: Path
    words: list[str]
    counts: NDArray[np.int64]  # [n_words]
    n_ids: int  # line ends included
    n_read: int  # words of the text, removed ones included

    @property
    def n_tokens(self) -> int:
        """The number of words to train on in one epoch."""
        return int(self.counts.sum())

    def read(self, start: int, n: int) -> Ids:
        """At most `n` ids from position `start`."""
        return np.fromfile(self.folder / IDS, "<i4", n, offset=4 * start)


class Encoder:
    """Assigns ids to words in the order of their first occurrence.

    Used for small texts, where compiling `CompiledEncoder` costs more time than it saves, and without numba.
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._ids: defaultdict[str, int] = defaultdict()
        self._ids.default_factory = self._ids.__len__
        for word in words:
            self._ids[word]

    def encode(self, text: bytes) -> Ids:
        """The ids of the words of a text, with -1 for each line end."""
        ids: list[int] = []
        for line in text.decode().split("\n"):
            ids += map(self._ids.__getitem__, line.split())
            ids.append(LINE_END)
        return np.array(ids[:-1], np.int32)

    def words(self) -> list[str]:
        """The words in the order of their ids."""
        return list(self._ids)


def encode_text(
    paths: Sequence[str], config: Word2VecConfig, folder: Path, info: Callable[[str], None]
) -> Corpus:
    """Read the text of `paths` (`-`: standard input, `.gz`: unpacked) and write it to `folder` as ids.

    Raises TxError if a file cannot be read, is not text, or has fewer than two words that occur often enough.
    """
    raw = folder / "raw"
    words, counts = _encode_all(paths, raw)
    n_read = int(counts.sum())
    if config.phrases:
        n_before = len(words)
        words, counts = join_phrases(raw, words, counts, config.min_count, config.phrase_threshold)
        info(f"{len(words) - n_before:,} phrases joined")
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= config.min_count]
    vocabulary = [words[i] for i in order.tolist()]
    if len(vocabulary) < 2:
        least = f"{config.min_count} times or more"
        raise TxError(
            f"{' and '.join(paths)}: of {n_read:,} words, {len(vocabulary)} occurs {least}; two are needed",
            "word vectors need far more text" if config.min_count == 1 else "--min-count 1 uses every word",
        )
    new_ids = np.full(len(words), -2, np.int32)
    new_ids[order] = np.arange(len(order), dtype=np.int32)
    n_ids = _renumber(raw, folder / IDS, new_ids)
    raw.unlink()
    (folder / WORDS).write_text("".join(f"{word}\n" for word in vocabulary), encoding="utf-8", newline="\n")
    counts[order].astype("<i8").tofile(folder / COUNTS)
    digests = {name: sha256(folder / name) for name in (IDS, WORDS, COUNTS)}
    content = {"n_ids": n_ids, "n_read": n_read, "digests": digests}
    (folder / INFO).write_text(dump_checked(content), encoding="utf-8")
    return Corpus(folder, vocabulary, counts[order], n_ids, n_read)


def open_corpus(folder: Path) -> Corpus:
    """The corpus that `encode_text` wrote to `folder`. Raises TxError if it is missing or damaged."""
    try:
        content = load_checked(folder / INFO)
    except FileNotFoundError as error:
        raise damaged_run_file(folder / INFO) from error
    for name, digest in content["digests"].items():
        check_digest(folder / name, digest)
    words = (folder / WORDS).read_text(encoding="utf-8").split("\n")[:-1]
    return Corpus(folder, words, np.fromfile(folder / COUNTS, "<i8"), content["n_ids"], content["n_read"])


def _encode_all(paths: Sequence[str], to: Path) -> tuple[list[str], NDArray[np.int64]]:
    """Write the ids of all words to the file `to`; return the words and how often each occurs."""
    encoder: Any = Encoder()
    counts, n_bytes = np.zeros(0, np.int64), 0
    with to.open("wb") as file:
        for path in paths:
            for block, _ in read_blocks(path):
                if n_bytes < COMPILE_FROM <= n_bytes + len(block) and has_numba():
                    from tx.word2vec.compiled_encoder import CompiledEncoder

                    encoder = CompiledEncoder(encoder.words())
                n_bytes += len(block)
                ids = encoder.encode(block)
                ids.tofile(file)
                new = np.bincount(ids[ids >= 0], minlength=len(counts))
                new[: len(counts)] += counts
                counts = new
            np.array([LINE_END], "<i4").tofile(file)  # the last line of a file may have no line end
    return encoder.words(), counts


def _renumber(source: Path, to: Path, new_ids: Ids) -> int:
    """Write the new ids, without words whose new id is -2 and without empty lines; return their number."""
    n, last = 0, LINE_END
    with source.open("rb") as old, to.open("wb") as file:
        while len(ids := np.fromfile(old, "<i4", READ)):
            ids = np.where(ids < 0, LINE_END, new_ids[ids])
            ids = ids[ids > -2]
            before = np.concatenate(([last], ids[:-1]))
            ids = ids[(ids >= 0) | (before >= 0)].astype("<i4")
            if len(ids):
                last = int(ids[-1])
            ids.tofile(file)
            n += len(ids)
    return n
