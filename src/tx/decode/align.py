"""The attention weights of a translator, and the word alignment that follows from them.

The weights of a forward pass over a source and a finished target equal those of the decoding steps. Bahdanau et al.
(2015) first showed them; Koehn and Knowles (2017) measured how well they align words.

Shape letters: B pairs, H heads, T target pieces, S source pieces, both with `</s>`; V vocabulary.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tx.data.batch import make_batch
from tx.errors import TxError
from tx.nn.attention import record_attention
from tx.text.incremental import BYTE
from tx.text.tokenizer import Tokenizer

Array = NDArray[np.float32]
Alignment = list[tuple[int, int]]  # (source word, target word), both from 0
WordNumbers = list[int | None]  # the number of each piece's word; None: it has no word
CROSS = "cross"


def require_cross_attention(model: Any) -> None:
    """Raise TxError for a model whose decoder does not attend to the source."""
    if not any(name.startswith(CROSS) for name in model.attentions()):
        raise TxError(
            "this model has no cross-attention: its decoder receives the source as a single vector",
            "use a transformer, or an rnn that was trained with attention = bahdanau or luong",
        )


@torch.inference_mode()
def attention_weights(
    model: Any, src: Sequence[Sequence[int]], tgt: Sequence[Sequence[int]], pad_ids: tuple[int, int]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The logits `[B, T, V]` of every target position, and the attention weights by layer.

    Row t belongs to the step that predicts target piece t. The weights of "encoder 1" ... are `[B, H, S, S]`, of
    "decoder 1" ... `[B, H, T, T]` (over the tokens read: `<pad>`, then the target), of "cross 1" ... `[B, H, T, S]`.
    """
    batch = make_batch(src, tgt, *pad_ids).to(next(model.parameters()).device)
    with record_attention(model.attentions()) as seen:
        logits = model(batch)
    return logits, {name: torch.cat(calls, dim=2) for name, calls in seen.items()}


def word_numbers(tokenizer: Tokenizer, ids: Sequence[int], line: str | None = None) -> WordNumbers:
    """The number of the word that each piece belongs to; a space belongs to the word after it.

    Words are separated by whitespace: in `line`, the raw text that `ids` encode, or else in the decoded `ids`.
    """
    found: list[int] = []
    number = start = 0  # of the last word, and of the pieces of its last letter
    while len(found) < len(ids):
        end = len(found) + 1
        while end < len(ids) and _continues_character(tokenizer.piece(ids[end])):
            end += 1
        text = tokenizer.decode(ids[start:end])
        n = len(text.split())
        is_space = not n or text[-1].isspace()
        if not is_space:
            start, number = len(found), number + n - 1
        found += [number + n if is_space else number] * (end - len(found))
    n_words = len(tokenizer.decode(ids).split())
    numbers = list(range(n_words))
    if line is not None:  # normalisation may turn a word into several, or none
        numbers = [n for n, word in enumerate(line.split()) for _ in tokenizer.normalize(word).split()]
    return [numbers[n] if n < len(numbers) else None for n in found]


def _continues_character(piece: str) -> bool:
    """Whether a piece is a UTF-8 continuation byte."""
    byte = BYTE.fullmatch(piece)
    return byte is not None and 0x80 <= int(byte[1], 16) < 0xC0


def word_weights(weights: Array, src: WordNumbers, tgt: WordNumbers) -> Array:
    """`weights` `[T, S]` of pieces as weights of words: summed over source pieces, averaged over target pieces."""
    n_pieces: Array = np.maximum(_membership(tgt).sum(axis=0), np.float32(1))
    table: Array = _summed(weights, src, tgt) / n_pieces[:, None]
    return table


def extract_alignment(weights: Array, src: WordNumbers, tgt: WordNumbers) -> Alignment:
    """The word alignment from `weights` `[T, S]` of pieces: the pairs of words that are each other's best match.

    The match of two words is the weight between their pieces, times its share of the weight that the source word
    receives in total: some words, and marks like the full stop, are attended to from everywhere. A target word that
    is no source word's best match stays unaligned.
    """
    table = _summed(weights, src, tgt)
    if not table.size:
        return []
    match = table**2 / np.maximum(table.sum(axis=0), 1e-9)
    best_src, best_tgt = match.argmax(axis=1), match.argmax(axis=0)
    return sorted((int(s), t) for t, s in enumerate(best_src) if best_tgt[s] == t and match[t, s] > 0)


def _summed(weights: Array, src: WordNumbers, tgt: WordNumbers) -> Array:
    table: Array = np.linalg.multi_dot([_membership(tgt).T, weights, _membership(src)])
    return table


def _membership(words: WordNumbers) -> Array:
    """A matrix `[pieces, words]` with 1 where a piece belongs to a word."""
    numbers = [number for number in words if number is not None]
    table = np.zeros((len(words), max(numbers, default=-1) + 1), np.float32)
    for piece, number in enumerate(words):
        if number is not None:
            table[piece, number] = 1
    return table


def mean_cross_attention(weights: Mapping[str, Tensor]) -> Tensor:
    """The cross-attention `[B, T, S]`, averaged over layers and heads: it aligns words as well as the best layer."""
    layers = [value.mean(dim=1) for name, value in weights.items() if name.startswith(CROSS)]
    return torch.stack(layers).mean(dim=0)
