"""WordPiece: words are cut into the longest known pieces; `##` marks those that continue a word.

This is Schuster and Nakajima's (2012) scheme in the form of BERT (Devlin et al. 2019), greedy longest-match-first
encoding, with two differences. BERT's tokenizer loses unknown characters and the spaces around punctuation; here only
spaces separate words, and characters without a piece are spelled in bytes (`##<0xE2>`), so that every line can be
restored. And the vocabulary is learned by merging the most frequent pair, as in BPE (Sennrich et al. 2016) and in the
common WordPiece trainers, not the pair that increases the likelihood most. No piece joins letters with punctuation:
`world.` is learned as `world` and `##.`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from pathlib import Path

from tx.errors import TxError
from tx.files import atomic_file
from tx.text.tokenizer import EOS, EOS_ID, PAD, UNK, PieceList, canonical, vocab_too_small

MARK = "##"
START = "<0x20>"  # the empty start of a word, between two spaces or before a byte
BYTES = [f"{MARK}<0x{byte:02X}>" for byte in range(256)]
FIRST = [EOS, UNK, START, *BYTES]  # every vocabulary starts with these and ends with `<pad>`

_START_ID = FIRST.index(START)
_BYTE_ID = FIRST.index(BYTES[0])
_CACHE_WORDS = 1 << 17
_CHUNK = re.compile(r"\w+|\W+")  # so that no piece equals `<0x20>` or `</s>`


class WordPieceTokenizer(PieceList):
    """Greedy longest-match-first encoding with `pieces`, which start with FIRST and end with `<pad>`."""

    kind = "wordpiece"

    def __init__(self, pieces: Sequence[str]) -> None:
        super().__init__(pieces)
        learned = range(len(FIRST), self.pad_id)
        self._initial = {pieces[id]: id for id in learned if not pieces[id].startswith(MARK)}
        self._continuing = {
            pieces[id].removeprefix(MARK): id for id in learned if pieces[id].startswith(MARK)
        }
        self._longest = max(map(len, pieces))
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def parse(cls, content: bytes, name: str) -> "WordPieceTokenizer":
        """Parse the file that `save` wrote, one piece per line; error messages call it `name`.

        Raises TxError if it is damaged.
        """
        try:
            *pieces, end = content.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            pieces, end = [], ""
        if end or pieces[: len(FIRST)] != FIRST or pieces[-1] != PAD or len(set(pieces)) < len(pieces):
            raise TxError(
                f"{name} is not a WordPiece vocabulary, or is damaged", "copy or train the tokenizer again"
            )
        return cls(pieces)

    def normalize(self, line: str) -> str:
        """NFC."""
        return canonical(line)

    def encode(self, line: str) -> list[int]:
        if not line:
            return []
        ids: list[int] = []
        for word in canonical(line).split(" "):
            if word not in self._cache:
                if len(self._cache) >= _CACHE_WORDS:
                    self._cache.clear()
                self._cache[word] = self._encode_word(word)
            ids += self._cache[word]
        return ids

    def _encode_word(self, word: str) -> list[int]:
        ids: list[int] = []
        at = 0
        while at < len(word) or not ids:
            known = self._continuing if ids else self._initial
            for end in range(min(len(word), at + self._longest), at, -1):
                if (id := known.get(word[at:end])) is not None:
                    ids.append(id)
                    at = end
                    break
            else:
                if not ids:
                    ids.append(_START_ID)  # and try again as a continuation
                else:
                    ids += [_BYTE_ID + byte for byte in word[at].encode()]
                    at += 1
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text = bytearray()
        for id in ids:
            if id in (EOS_ID, self.pad_id):
                continue
            piece = self._pieces[id]
            if _BYTE_ID <= id < len(FIRST):
                text.append(id - _BYTE_ID)
            elif id == _START_ID:
                text += b" "
            elif piece.startswith(MARK):
                text += piece.removeprefix(MARK).encode()
            else:
                text += b" " + piece.encode()
        return text.removeprefix(b" ").decode("utf-8", "replace")

    def save(self, folder: Path, name: str) -> str:
        file_name = f"{name}.vocab.txt"
        with atomic_file(folder / file_name, "w") as file:
            file.writelines(f"{piece}\n" for piece in self._pieces)
        return file_name


def learn_pieces(words: Mapping[str, int], vocab_size: int, coverage: float) -> list[str]:
    """Learn a vocabulary of at most `vocab_size` pieces from the counts of words.

    The most frequent characters that cover a share of `coverage` of the text get pieces. Pairs that occur only once
    are not merged. Raises TxError if `vocab_size` is too small for the characters.
    """
    alphabet = _alphabet(words, coverage)
    spelled: Counter[tuple[str, ...]] = Counter()
    for word, count in words.items():
        for symbols in _spell(word, alphabet):
            spelled[symbols] += count
    characters = sorted({symbol for symbols in spelled for symbol in symbols})
    room = vocab_size - len(FIRST) - len(characters) - 1
    if room < 0:
        raise vocab_too_small(vocab_size, vocab_size - room)
    learned: list[str] = []
    for piece in _joined(spelled, set(characters)):
        if len(learned) == room:
            break
        learned.append(piece)
    return [*FIRST, *characters, *learned, PAD]


def _alphabet(words: Mapping[str, int], coverage: float) -> set[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    budget = coverage * counts.total()
    alphabet: set[str] = set()
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if budget <= 0:
            break
        budget -= count
        alphabet.add(character)
    return alphabet


def _spell(word: str, alphabet: set[str]) -> Iterator[tuple[str, ...]]:
    """Yield the runs of characters of `word` within which pairs may be merged."""
    for chunk in _CHUNK.finditer(word):
        run: list[str] = []
        for at, character in enumerate(chunk[0], start=chunk.start()):
            if character in alphabet:
                run.append(MARK + character if at else character)
            elif run:
                yield tuple(run)
                run = []
        if run:
            yield tuple(run)


def _joined(words: Mapping[tuple[str, ...], int], taken: set[str]) -> Iterator[str]:
    """Yield new pieces by merging the most frequent pair first; ties are resolved alphabetically."""
    runs = [list(word) for word in words]
    counts = list(words.values())
    pairs: Counter[tuple[str, str]] = Counter()
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for index, run in enumerate(runs):
        for pair in pairwise(run):
            pairs[pair] += counts[index]
            places[pair].add(index)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapify(heap)
    while heap:
        count, pair = heappop(heap)
        if -count != pairs[pair]:  # the count has changed: queue the pair again
            if pairs[pair] > 1:
                heappush(heap, (-pairs[pair], pair))
            continue
        if -count < 2:
            return
        piece = pair[0] + pair[1].removeprefix(MARK)
        if piece.startswith(MARK) and not pair[0].startswith(MARK):
            continue  # would equal the continuation `##a`
        changed: set[tuple[str, str]] = set()
        for index in places.pop(pair):
            run = runs[index]
            for old in pairwise(run):
                pairs[old] -= counts[index]
            run[:] = _join(run, pair, piece)
            for new in pairwise(run):
                pairs[new] += counts[index]
                if piece in new:
                    places[new].add(index)
                    changed.add(new)
        for new in changed:
            heappush(heap, (-pairs[new], new))
        if piece not in taken:
            taken.add(piece)
            yield piece


def _join(run: list[str], pair: tuple[str, str], piece: str) -> list[str]:
    joined: list[str] = []
    for symbol in run:
        if symbol == pair[1] and joined and joined[-1] == pair[0]:
            joined[-1] = piece
        else:
            joined.append(symbol)
    return joined
