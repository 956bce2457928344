"""The most probable next words, as keyboards suggest them, from models over words, subwords or characters.

A word is a run of letters, digits, underscores and apostrophes; any other character ends it. Its probability is that
of its spelling followed by an end. Prefixes of words are extended in the order of their probability (uniform-cost
search, Dijkstra 1959). No word is more probable than its prefix, so that the search ends as soon as every prefix left
is less probable than the words found.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush, nlargest
from itertools import count

import numpy as np
from numpy.typing import NDArray

from tx.decode.generate import Context, LanguageModel
from tx.decode.numpy_lm import Array
from tx.text.incremental import BYTE, IncrementalDecoder, encode_text, last_line
from tx.text.tokenizer import Tokenizer

MAX_READ = 3000  # prefixes that are extended before the search gives up

_WORD = re.compile(r"[\w'’]*")
_LETTER = re.compile(r"\w")


@dataclass
class NextWords:
    """Words with their probabilities, the most probable first; `certain` unless the search gave up early."""

    words: list[tuple[str, float]]
    certain: bool


def next_words(model: LanguageModel, prompt: str, k: int) -> NextWords:
    """The `k` most probable words after `prompt`, given that a word begins there: its last word counts as complete.

    For a model over characters the probabilities are exact. Subwords may spell a word in several ways; then its
    probability is the sum over the spellings that the search reached.
    """
    prompt = prompt.rstrip(" ")
    ids = encode_text(prompt, model.tokenizer)
    text, logits = model.begin(ids)
    decoder = IncrementalDecoder(model.tokenizer, last_line(ids, model.tokenizer))
    search = _Search(model.tokenizer)
    search.begin(text, logits, decoder, within_line=not (prompt == "" or prompt.endswith("\n")))
    certain = search.run(k)
    return NextWords(search.best(k), certain)


def _head(text: str) -> str:
    """The part of `text` that belongs to the word at its beginning."""
    match = _WORD.match(text)
    return match[0] if match else ""


class _Table:
    """The effect of each token on a word, by the text it `spells`: it continues the word or ends it."""

    def __init__(self, spells: Sequence[str | None]) -> None:
        self.known = np.array([text is not None for text in spells])
        pairs = [(text, None if text is None else _head(text)) for text in spells]
        self.continues = np.array([text is not None and head == text for text, head in pairs])
        self.ends = np.array([bool(text) and not head for text, head in pairs])  # without adding a letter
        self.adds = [(id, head) for id, (text, head) in enumerate(pairs) if head and head != text]


@dataclass(order=True)
class _Open:
    """A prefix of a word, and the tokens that may continue it, the most probable first, from `rank` on."""

    cost: float  # of the token at `rank`: the negative probability
    number: int  # ties are broken by insertion order
    word: str = field(compare=False)
    needs_space: bool = field(compare=False)  # the space before the word has not been read yet
    text: Context = field(compare=False)
    decoder: IncrementalDecoder = field(compare=False)
    tokens: NDArray[np.int64] = field(compare=False)
    chances: NDArray[np.float64] = field(compare=False)
    rank: int = field(compare=False, default=0)


class _Search:
    def __init__(self, tokenizer: Tokenizer) -> None:
        n = len(tokenizer) - 1
        before = tokenizer.encode("a")
        cut = len(tokenizer.decode(before))
        inner = [tokenizer.decode([*before, id])[cut:] for id in range(n)]
        initial = [tokenizer.decode([id]) for id in range(n)]
        inner[tokenizer.eos_id] = initial[tokenizer.eos_id] = "\n"
        for id in range(n):
            if match := BYTE.fullmatch(tokenizer.piece(id)):
                byte = int(match[1], 16)
                inner[id] = initial[id] = chr(byte) if byte < 128 else ""  # probably a part of a letter
        # Where whole words are pieces, an unknown one is spelled in bytes together with the space before it.
        hidden = {""} if tokenizer.kind == "word" else set()
        spaced = [text[1:] if text.startswith(" ") else "" if text in hidden else None for text in inner]
        self._inner, self._initial, self._spaced = _Table(inner), _Table(initial), _Table(spaced)
        self._found: defaultdict[str, float] = defaultdict(float)
        self._open: list[_Open] = []
        self._numbers = count()

    def begin(self, text: Context, logits: Array, decoder: IncrementalDecoder, within_line: bool) -> None:
        """Start from `text`; `within_line`, the probabilities are conditional on a space that comes first."""
        chances = _softmax(logits)
        if within_line:
            chances /= chances[self._spaced.known].sum()
        self._expand("", text, decoder, chances, self._spaced if within_line else self._initial, within_line)

    def run(self, k: int) -> bool:
        """Search until the `k` best words are certain; returns whether they are."""
        for _ in range(MAX_READ):
            worst = self.best(k)[-1][1] if len(self._found) >= k else 0.0
            if not self._open or worst >= -self._open[0].cost:
                return True
            self._extend()
        return False

    def best(self, k: int) -> list[tuple[str, float]]:
        """The `k` most probable words found."""
        return nlargest(k, self._found.items(), key=lambda item: item[1])

    def _extend(self) -> None:
        """Extend the most probable prefix by its next token."""
        at = heappop(self._open)
        token, chance = int(at.tokens[at.rank]), -at.cost
        text, decoder = at.text.copy(), at.decoder.copy()
        if at.rank + 1 < len(at.tokens):
            at.rank += 1
            at.cost = -float(at.chances[at.rank])
            heappush(self._open, at)
        spelled = decoder.decode(token)
        needs_space = at.needs_space and not spelled
        if at.needs_space and not needs_space:
            if not spelled.startswith(" "):
                return
            spelled = spelled[1:]
        word = at.word + spelled
        head = _head(word)
        if head == word:
            table = self._spaced if needs_space else self._inner
            self._expand(word, text, decoder, chance * _softmax(text.feed([token])), table, needs_space)
        else:  # bytes that are not a letter
            self._add(head, chance)

    def _expand(
        self,
        word: str,
        text: Context,
        decoder: IncrementalDecoder,
        chances: NDArray[np.float64],
        table: _Table,
        needs_space: bool,
    ) -> None:
        self._add(word, float(chances[table.ends].sum()))
        for id, more in table.adds:
            self._add(word + more, float(chances[id]))
        tokens = np.flatnonzero(table.continues)
        if len(tokens):
            tokens = tokens[np.argsort(-chances[tokens], kind="stable")]
            ranked = chances[tokens]
            cost, number = -float(ranked[0]), next(self._numbers)
            heappush(self._open, _Open(cost, number, word, needs_space, text, decoder, tokens, ranked))

    def _add(self, word: str, chance: float) -> None:
        if _LETTER.search(word):
            self._found[word] += chance


def _softmax(logits: Array) -> NDArray[np.float64]:
    chances: NDArray[np.float64] = np.exp(logits - logits.max().astype(np.float64))
    chances /= chances.sum()
    return chances
