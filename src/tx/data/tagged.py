"""Batches of sentences for taggers: subword pieces, words, characters and word shapes.

The tag of a word is predicted at its first piece (Devlin et al. 2019). Each piece also gets the features of its word:
its id in a lexicon, its characters, and its shape, which help with unknown names.

Shape letters: B sentences, W words, P subword pieces, C characters of a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tx.data.batch import Tensors, lengths
from tx.data.sampler import WindowSampler
from tx.text.alphabet import AlphabetTokenizer
from tx.text.lexicon import Lexicon
from tx.text.tokenizer import Tokenizer

MAX_PIECES = 8  # per word, from its beginning; the first one predicts the tag
HEAD, TAIL = 16, 8  # characters read of a long word, at its beginning and at its end
WINDOW = 64  # batches whose sentences are sorted by length together, for little padding


def shape_of(word: str) -> list[bool]:
    """The orthographic features of a word: capitals, digits, punctuation, mentions, hashtags and addresses."""
    letters = [c for c in word if c.isalpha()]
    return [
        word[:1].isupper(),
        bool(letters) and word.isupper(),
        word.islower(),
        any(c.isupper() for c in word[1:]) and not word.isupper(),
        any(c.isdigit() for c in word),
        word.isdigit(),
        not any(c.isalnum() for c in word),
        word.startswith("@"),
        word.startswith("#"),
        "://" in word or word.startswith("www."),
        "-" in word[1:],
        word.endswith(".") and bool(letters),
        not word.isascii(),
    ]


N_SHAPES = len(shape_of(""))


@dataclass(frozen=True)
class EncodedWord:
    """The ids and features of one word."""

    pieces: list[int]
    characters: list[int]
    shape: list[bool]
    id: int


@dataclass
class TagBatch(Tensors):
    """Sentences with padding at the end; `tags` is 0 in the padding, and everywhere if no tags were given."""

    pieces: Tensor  # [B, P]
    word_of: Tensor  # [B, P], the word of each piece
    n_pieces: Tensor  # [B]
    first: Tensor  # [B, W], the first piece of each word
    words: Tensor  # [B, W], ids of the lexicon
    characters: Tensor  # [B, W, C]
    shapes: Tensor  # [B, W, N_SHAPES], 0.0 or 1.0
    mask: Tensor  # [B, W], True at words
    tags: Tensor  # [B, W]
    n_tokens: int  # words
    n_src_tokens: int  # pieces


class WordEncoder:
    """Encodes words by a tokenizer, a character vocabulary and a lexicon."""

    def __init__(self, tokenizer: Tokenizer, characters: AlphabetTokenizer, lexicon: Lexicon) -> None:
        self.tokenizer, self.characters, self.lexicon = tokenizer, characters, lexicon
        self.encode = lru_cache(1 << 16)(self._encode)

    def _encode(self, word: str) -> EncodedWord:
        read = word if len(word) <= HEAD + TAIL else word[:HEAD] + word[-TAIL:]
        pieces = self.tokenizer.encode(read)[:MAX_PIECES] or [self.tokenizer.unk_id]
        characters = self.characters.encode(read) or [self.characters.unk_id]
        return EncodedWord(pieces, characters, shape_of(word), self.lexicon.id(word))

    def batch(
        self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[int]] | None = None
    ) -> TagBatch:
        """A batch of sentences, each of at least one word; `tags` are their tag ids."""
        coded = [[self.encode(word) for word in sentence] for sentence in sentences]
        n_words, n_pieces = lengths(coded), np.array([sum(len(w.pieces) for w in s) for s in coded])
        longest = max(len(word.characters) for sentence in coded for word in sentence)
        b, w, p = len(coded), int(n_words.max()), int(n_pieces.max())
        pieces = np.full((b, p), self.tokenizer.pad_id)
        characters = np.full((b, w, longest), self.characters.pad_id)
        word_of, first, words, known = (np.zeros((b, n), np.int64) for n in (p, w, w, w))
        shapes = np.zeros((b, w, N_SHAPES), np.float32)
        for i, sentence in enumerate(coded):
            start = 0
            for j, word in enumerate(sentence):
                end = start + len(word.pieces)
                pieces[i, start:end], word_of[i, start:end], first[i, j] = word.pieces, j, start
                words[i, j], shapes[i, j] = word.id, word.shape
                characters[i, j, : len(word.characters)] = word.characters
                start = end
            if tags is not None:
                known[i, : len(sentence)] = tags[i]
        tensor = torch.from_numpy
        return TagBatch(
            pieces=tensor(pieces),
            word_of=tensor(word_of),
            n_pieces=tensor(n_pieces),
            first=tensor(first),
            words=tensor(words),
            characters=tensor(characters),
            shapes=tensor(shapes),
            mask=tensor(np.arange(w) < n_words[:, None]),
            tags=tensor(known),
            n_tokens=int(n_words.sum()),
            n_src_tokens=int(n_pieces.sum()),
        )


class TagSampler(WindowSampler):
    """Batches of `batch_size` tagged sentences, in an order that depends only on (seed, epoch)."""

    n_windows = 1

    def __init__(
        self,
        encoder: WordEncoder,
        sentences: Sequence[Sequence[str]],
        tags: Sequence[Sequence[int]],
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.encoder, self.sentences, self.tags = encoder, sentences, tags
        self.batch_size, self.seed = batch_size, seed

    def _load(self, epoch: int, window: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch])
        order, n = rng.permutation(len(self.sentences)), self.batch_size
        batches = []
        for start in range(0, len(order), WINDOW * n):
            near = order[start : start + WINDOW * n]
            near = near[np.argsort([len(self.sentences[i]) for i in near], kind="stable")]
            batches += [near[at : at + n] for at in range(0, len(near), n)]
        rng.shuffle(batches)
        return batches

    def _batch(self, index: np.ndarray) -> TagBatch:
        return self.encoder.batch([self.sentences[i] for i in index], [self.tags[i] for i in index])
