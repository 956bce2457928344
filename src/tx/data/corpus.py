"""A parallel corpus on disk: every line is encoded once, and later mapped into memory.

The ids of a text are concatenated in one file, the offsets of its lines are in another, as in Megatron-LM's indexed
datasets. The name of the folder is a fingerprint of text and tokenizer, so that a second run finds it and starts at
once. Which pairs to use is decided afterwards, by their lengths.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from tx.data.batch import lengths
from tx.errors import TxError
from tx.files import atomic_folder, sha256
from tx.nn.cores import n_cores
from tx.text.lines import open_input, read_lines
from tx.text.parallel import line_count_error
from tx.text.tokenizer import Tokenizer

COMPLETE = "complete.json"  # in the folder of a corpus: the sizes of its files
CHUNK = 20_000  # lines that one process encodes at a time
FORMAT = 2  # of the files below; part of the fingerprint

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass
class EncodedText:
    """One language of a parallel corpus: the ids of line `i` are `ids[offsets[i]:offsets[i + 1]]`."""

    ids: np.ndarray
    offsets: np.ndarray
    text: np.ndarray  # the lines in UTF-8, for subword regularization
    text_offsets: np.ndarray

    @classmethod
    def open(cls, folder: Path, name: str) -> "EncodedText":
        def array(part: str, dtype: str) -> np.ndarray:
            path = folder / f"{name}.{part}"
            empty = path.stat().st_size == 0  # which cannot be mapped
            return np.empty(0, dtype) if empty else np.memmap(path, dtype, mode="r")

        return cls(
            array("ids", "<u4"), array("offsets", "<i8"), array("text", "u1"), array("text-offsets", "<i8")
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, line: int) -> np.ndarray:
        return self.ids[self.offsets[line] : self.offsets[line + 1]]

    def lengths(self) -> np.ndarray:
        """The length of each line in pieces, `[n_lines]`."""
        return np.diff(self.offsets)

    def line(self, line: int) -> str:
        return bytes(self.text[self.text_offsets[line] : self.text_offsets[line + 1]]).decode()


@dataclass
class Corpus:
    """Sentence pairs on disk, which of them to use, and a report on the pairs that were read and dropped."""

    src: EncodedText
    tgt: EncodedText
    kept: np.ndarray  # [n_pairs] line numbers from 0
    report: dict[str, Any]

    def __len__(self) -> int:
        return len(self.kept)


def _encode_chunk(job: tuple[Tokenizer, Sequence[str]]) -> tuple[bytes, np.ndarray, bytes, np.ndarray]:
    tokenizer, lines = job
    rows = tokenizer.encode_batch([line if line.strip() else "" for line in lines])  # blank: no pieces
    ids = np.fromiter((id for row in rows for id in row), "<u4").tobytes()
    texts = [line.encode() for line in lines]
    return ids, lengths(rows), b"".join(texts), lengths(texts)


def map_in_processes(work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
    """The results of all jobs in order, from one process per core; few jobs are in memory at a time."""
    workers = n_cores()
    jobs = iter(jobs)
    first = list(islice(jobs, 2))
    if len(first) < 2 or workers == 1:  # not worth another process
        yield from map(work, chain(first, jobs))
        return
    jobs = chain(first, jobs)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        while wave := list(islice(jobs, 2 * workers)):
            yield from pool.map(work, wave)


def _encode_side(folder: Path, name: str, path: str, tokenizer: Tokenizer) -> None:
    """Encode a file into `folder`, in chunks of lines."""
    lines = read_lines(path)
    chunks = ((tokenizer, chunk) for chunk in iter(lambda: list(islice(lines, CHUNK)), []))
    counts: list[np.ndarray] = []
    text_counts: list[np.ndarray] = []
    with (folder / f"{name}.ids").open("wb") as ids_file, (folder / f"{name}.text").open("wb") as text_file:
        for ids, n_ids, text, n_bytes in map_in_processes(_encode_chunk, chunks):
            ids_file.write(ids)
            text_file.write(text)
            counts.append(n_ids)
            text_counts.append(n_bytes)
    for part, sizes in (("offsets", counts), ("text-offsets", text_counts)):
        offsets = np.concatenate([np.zeros(1, "<i8"), *sizes]).cumsum(dtype="<i8")
        offsets.tofile(folder / f"{name}.{part}")


def _digest(tokenizer: Tokenizer) -> str:
    with TemporaryDirectory() as folder:
        return tokenizer.kind + sha256(Path(folder) / tokenizer.save(Path(folder), "tokenizer"))


def fingerprint(paths: Sequence[str], tokenizers: Sequence[Tokenizer]) -> str:
    """A name for the encoded corpus, which depends on the text and the tokenizers alone.

    Raises TxError if a file cannot be opened.
    """
    for path in paths:
        with open_input(path):  # raises the TxError for a file that cannot be opened
            pass
    parts = [f"format {FORMAT}"]
    parts += [sha256(Path(path)) for path in paths]
    parts += [_digest(tokenizer) for tokenizer in tokenizers]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def encode_corpus(
    paths: Sequence[str], tokenizers: Sequence[Tokenizer], cache: Path
) -> tuple[EncodedText, EncodedText]:
    """Source and target of a parallel corpus, encoded into `cache` unless they are there already.

    Raises TxError if a file cannot be read, or if the two have different numbers of lines.
    """

    def encode(folder: Path) -> None:
        for name, path, tokenizer in zip(("src", "tgt"), paths, tokenizers, strict=True):
            _encode_side(folder, name, path, tokenizer)
        n_src, n_tgt = (len(EncodedText.open(folder, name)) for name in ("src", "tgt"))
        if n_src != n_tgt:
            check_line_counts(paths)  # raises the error

    folder = cached_folder(cache / fingerprint(paths, tokenizers), encode)
    return EncodedText.open(folder, "src"), EncodedText.open(folder, "tgt")


def cached_folder(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, with the files that `make` writes unless all of them are there already with the right sizes."""
    if not _is_whole(folder):
        with atomic_folder(folder) as temporary:
            make(temporary)
            sizes = {file.name: file.stat().st_size for file in temporary.iterdir()}
            (temporary / COMPLETE).write_text(json.dumps(sizes))
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether all files that `cached_folder` made are there with the right sizes."""
    try:
        sizes = json.loads((folder / COMPLETE).read_text())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def check_line_counts(paths: Sequence[str]) -> None:
    """Read both files; raise TxError unless they are text with the same number of lines."""
    n_src, n_tgt = (sum(1 for _ in read_lines(path)) for path in paths)
    if n_src != n_tgt:
        raise line_count_error(paths, *(list(read_lines(path)) for path in paths))


def _first_occurrences(src: EncodedText, tgt: EncodedText) -> np.ndarray:
    """True for pairs that differ from all earlier pairs, by 64-bit hashes of their text."""
    hashes = np.empty(len(src), np.uint64)
    for i in range(len(src)):
        text = src.line(i) + "\n" + tgt.line(i)
        hashes[i] = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    first = np.zeros(len(src), bool)
    first[np.unique(hashes, return_index=True)[1]] = True
    return first


def select_pairs(
    src: EncodedText,
    tgt: EncodedText,
    paths: Sequence[str],
    *,
    max_len: int,
    max_ratio: float,
    deduplicate: bool,
) -> Corpus:
    """Decide which pairs to train on, and count the others by the first reason to drop them."""
    a, b = src.lengths(), tgt.lengths()
    shorter, longer = np.minimum(a, b), np.maximum(a, b)
    reasons: list[tuple[str, np.ndarray]] = [
        ("empty", shorter == 0),
        (f"longer than {max_len} pieces", longer > max_len),
        (f"length ratio over {max_ratio:g}", longer > max_ratio * shorter + 5),
    ]
    if deduplicate:
        reasons.append(("duplicate", ~_first_occurrences(src, tgt)))
    keep = np.ones(len(src), bool)
    dropped: dict[str, Any] = {}
    for reason, mask in reasons:
        lines = np.flatnonzero(mask & keep)
        keep &= ~mask
        if len(lines):
            dropped[reason] = {"pairs": len(lines), "first_lines": [int(i) + 1 for i in lines[:3]]}
    kept = np.flatnonzero(keep)
    report = {
        "files": [{"name": Path(path).name, "sha256": sha256(Path(path))} for path in paths],
        "pairs": len(src),
        "kept": len(kept),
        "dropped": dropped,
        "src_pieces": int(a[kept].sum()),
        "tgt_pieces": int(b[kept].sum()),
    }
    if not len(kept):
        why = (
            "; ".join(f"{value['pairs']:,} {reason}" for reason, value in dropped.items()) or "there are none"
        )
        raise TxError(
            f"no pair of {' and '.join(paths)} can be used: {why}", "see data.max_len and data.max_ratio"
        )
    return Corpus(src, tgt, kept, report)


def hold_out(corpus: Corpus, n: int, seed: int) -> tuple[Corpus, Corpus]:
    """Split off `n` random pairs for validation; pairs with the same source are removed from the training part.

    They are in random order, so that the first few of them are a random sample, too.
    """
    n = min(n, max(1, len(corpus) // 10))
    chosen = np.random.default_rng([seed, 0x5EED]).permutation(corpus.kept)[:n]
    sources = {corpus.src.line(int(i)) for i in chosen}
    rest = np.array([i for i in corpus.kept if corpus.src.line(int(i)) not in sources], dtype=np.int64)
    if not len(rest):
        raise TxError(
            "the corpus is too small to hold out a validation set", "name validation files with --valid"
        )
    report = corpus.report | {"held_out": n, "kept": len(rest)}
    return Corpus(corpus.src, corpus.tgt, rest, report), Corpus(corpus.src, corpus.tgt, chosen, {"pairs": n})


def open_corpus(
    paths: Sequence[str],
    tokenizers: Sequence[Tokenizer],
    cache: Path,
    say: Callable[[str], None],
    **limits: Any,
) -> Corpus:
    """Encode the corpus of `paths` or find it in `cache`, select its pairs, and report the pairs dropped."""
    corpus = select_pairs(*encode_corpus(paths, tokenizers, cache), paths, **limits)
    report = corpus.report
    say(f"{' + '.join(paths)}: {report['pairs']:,} pairs, {report['kept']:,} kept")
    for reason, value in report["dropped"].items():
        lines = ", ".join(f"{line:,}" for line in value["first_lines"])
        say(f"  dropped {value['pairs']:,}: {reason} (first at line {lines})")
    return corpus
