"""What a translator looks at, piece by piece, and the word alignment that can be read off it.

The weights are those of a forward pass over a source and a finished target: the same that each step had. Bahdanau et
al. (2015) looked at them first; how well they align words, Koehn and Knowles (2017) and many since measured.

Shape letters: B pairs, H heads, T target pieces, S source pieces, both with `</s>`; V vocabulary.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tx.data.batch import make_batch
from tx.errors import TxError
from tx.nn.attention import record_attention
from tx.text.tokenizer import Tokenizer

Array = NDArray[np.float32]
Alignment = list[tuple[int, int]]  # (source word, target word), both from 0
WordNumbers = list[int | None]  # the word of each piece; None: of none
CROSS = "cross"
_BYTE = re.compile("(?:##)?<0x([0-9A-F]{2})>")  # how tokenizers spell what they have no piece for


def require_cross_attention(model: Any) -> None:
    """Raise TxError for a model whose decoder does not attend to the source."""
    if not any(name.startswith(CROSS) for name in model.attentions()):
        raise TxError(
            "this model has no attention: its decoder knows the source by one vector alone",
            "use a transformer, or an rnn that was trained with attention = bahdanau or luong",
        )


@torch.inference_mode()
def attention_weights(
    model: Any, src: Sequence[Sequence[int]], tgt: Sequence[Sequence[int]], pad_ids: tuple[int, int]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The logits `[B, T, V]` of every target position, and where the model looked meanwhile.

    Row t is the step that writes target piece t. The weights of "encoder 1" ... are `[B, H, S, S]`, of "decoder 1"
    ... `[B, H, T, T]` (over what it had read: a start mark, then the target), of "cross 1" ... `[B, H, T, S]`.
    """
    batch = make_batch(src, tgt, *pad_ids).to(next(model.parameters()).device)
    with record_attention(model.attentions()) as seen:
        logits = model(batch)
    return logits, {name: torch.cat(calls, dim=2) for name, calls in seen.items()}


def word_numbers(tokenizer: Tokenizer, ids: Sequence[int], line: str | None = None) -> WordNumbers:
    """The number of the word that each piece belongs to; a space belongs to the word after it.

    Words are what stands between whitespace: of `line`, the raw text that `ids` encode, else of the decoded `ids`.
    """
    found: list[int] = []
    number = start = 0  # the last letter is in word `number`, and its pieces start at `start`
    while len(found) < len(ids):
        end = len(found) + 1
        while end < len(ids) and _goes_on(tokenizer.piece(ids[end])):
            end += 1
        text = tokenizer.decode(ids[start:end])
        n = len(text.split())
        is_space = not n or text[-1].isspace()
        if not is_space:
            start, number = len(found), number + n - 1
        found += [number + n if is_space else number] * (end - len(found))
    n_words = len(tokenizer.decode(ids).split())
    numbers = list(range(n_words))
    if line is not None:  # normalizing may make several words of one, or none
        numbers = [n for n, word in enumerate(line.split()) for _ in tokenizer.normalize(word).split()]
    return [numbers[n] if n < len(numbers) else None for n in found]


def _goes_on(piece: str) -> bool:
    """Whether a piece is a byte that continues a letter."""
    byte = _BYTE.fullmatch(piece)
    return byte is not None and 0x80 <= int(byte[1], 16) < 0xC0


def word_weights(weights: Array, src: WordNumbers, tgt: WordNumbers) -> Array:
    """`weights` `[T, S]` of pieces as those of words: summed over what is looked at, averaged over who looks."""
    n_pieces: Array = np.maximum(_membership(tgt).sum(axis=0), np.float32(1))
    table: Array = _summed(weights, src, tgt) / n_pieces[:, None]
    return table


def extract_alignment(weights: Array, src: WordNumbers, tgt: WordNumbers) -> Alignment:
    """The word alignment that `weights` `[T, S]` of pieces amount to: words that are each other's best match.

    How well two words match is the weight between all their pieces, times the share that it has of all that the
    source word got: some words, and marks like the full stop, are looked at from everywhere. A target word without
    a source of its own stays without a link.
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
    """`[pieces, words]`, 1 where a piece belongs to a word."""
    numbers = [number for number in words if number is not None]
    table = np.zeros((len(words), max(numbers, default=-1) + 1), np.float32)
    for piece, number in enumerate(words):
        if number is not None:
            table[piece, number] = 1
    return table


def mean_cross_attention(weights: Mapping[str, Tensor]) -> Tensor:
    """The attention to the source, `[B, T, S]`: the mean over all layers and heads, which aligned words as well as
    the best single layer did."""
    layers = [value.mean(dim=1) for name, value in weights.items() if name.startswith(CROSS)]
    return torch.stack(layers).mean(dim=0)
