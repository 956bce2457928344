"""WordPiece: words cut into the longest known pieces, those that continue a word marked by `##`.

The scheme is Schuster and Nakajima's (2012) in the form BERT made known (Devlin et al. 2019): greedy
longest-match-first encoding. Two things differ. BERT loses the spaces around punctuation and what it does not
know; here only the space separates words, and characters without a piece are spelled in bytes (`##<0xE2>`),
so that every line comes back. And the vocabulary is learned by joining the most frequent pair, as BPE does
(Sennrich et al. 2016) and as the WordPiece trainers in common use do, not the pair that raises the likelihood
of the text the most. No piece joins letters with punctuation: `world.` is learned as `world` and `##.`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from pathlib import Path

from tx.errors import TxError
from tx.files import atomic_file
from tx.text.tokenizer import EOS, EOS_ID, PAD, UNK, UNK_ID, canonical, unknown_piece, vocab_too_small

MARK = "##"
START = "<0x20>"  # a word that starts with nothing: between two spaces, or before a byte
BYTES = [f"{MARK}<0x{byte:02X}>" for byte in range(256)]
FIRST = [EOS, UNK, START, *BYTES]  # every vocabulary opens with these and ends with `<pad>`

_START_ID = FIRST.index(START)
_BYTE_ID = FIRST.index(BYTES[0])
_CACHE_WORDS = 1 << 17
_CHUNK = re.compile(r"\w+|\W+")  # so no piece can look like `<0x20>` or `</s>`, which are of both sorts


class WordPieceTokenizer:
    """Greedy longest-match-first over `pieces`, which open with FIRST and end with `<pad>`."""

    kind = "wordpiece"
    eos_id = EOS_ID
    unk_id = UNK_ID

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = list(pieces)
        self.pad_id = self.bos_id = len(pieces) - 1
        self._ids = {piece: id for id, piece in enumerate(pieces)}
        learned = range(len(FIRST), self.pad_id)
        self._initial = {pieces[id]: id for id in learned if not pieces[id].startswith(MARK)}
        self._continuing = {
            pieces[id].removeprefix(MARK): id for id in learned if pieces[id].startswith(MARK)
        }
        self._longest = max(map(len, pieces))
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def parse(cls, content: bytes, name: str) -> "WordPieceTokenizer":
        """Read what `save` wrote, one piece a line; errors call it `name`. Raises TxError if damaged."""
        try:
            *pieces, end = content.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            pieces, end = [], ""
        if end or pieces[: len(FIRST)] != FIRST or pieces[-1] != PAD or len(set(pieces)) < len(pieces):
            raise TxError(
                f"{name} is not a WordPiece vocabulary, or is damaged", "copy or train the tokenizer again"
            )
        return cls(pieces)

    def __len__(self) -> int:
        return len(self._pieces)

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
                    ids.append(_START_ID)  # and try once more, now as a continuation
                else:
                    ids += [_BYTE_ID + byte for byte in word[at].encode()]
                    at += 1
        return ids

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]:
        return [self.encode(line) for line in lines]

    def sample_batch(self, lines: Sequence[str], seed: int, alpha: float) -> list[list[int]]:
        return self.encode_batch(lines)

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

    def encode_pieces(self, line: str) -> list[str]:
        return [self._pieces[id] for id in self.encode(line)]

    def decode_pieces(self, pieces: Sequence[str]) -> str:
        return self.decode([self._id(piece) for piece in pieces])

    def _id(self, piece: str) -> int:
        if piece not in self._ids:
            raise unknown_piece(piece)
        return self._ids[piece]

    def piece(self, id: int) -> str:
        return self._pieces[id]

    def save(self, folder: Path, name: str) -> str:
        file_name = f"{name}.vocab.txt"
        with atomic_file(folder / file_name, "w") as file:
            file.writelines(f"{piece}\n" for piece in self._pieces)
        return file_name


def learn_pieces(words: Mapping[str, int], vocab_size: int, coverage: float) -> list[str]:
    """Learn a vocabulary of at most `vocab_size` pieces from words and how often each occurs.

    Characters beyond the `coverage` most frequent share of the text get no piece, and no pair that occurs
    only once is joined. Raises TxError if `vocab_size` cannot even hold the characters.
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
    """Yield the runs of characters in `word` within which pieces may grow."""
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
    """Yield new pieces, the most frequent pair first; of equally frequent ones the first in the alphabet."""
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
        if -count != pairs[pair]:  # counts have changed since: queue it again where it belongs now
            if pairs[pair] > 1:
                heappush(heap, (-pairs[pair], pair))
            continue
        if -count < 2:
            return
        piece = pair[0] + pair[1].removeprefix(MARK)
        if piece.startswith(MARK) and not pair[0].startswith(MARK):
            continue  # `##a` would be read as a continuation: a word that opens so stays `#` `###` `##a`
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
