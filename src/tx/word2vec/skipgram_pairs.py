"""The training pairs of skip-gram with negative sampling (Mikolov et al. 2013, https://arxiv.org/abs/1310.4546).

For each word of a text and each word in its context window, the model learns to distinguish that word (label 1)
from `negative` random words (label 0), which are drawn in proportion to the 0.75th power of their frequency.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tx.errors import UsageError
from tx.word2vec.sampling import noise_distribution

_TRIES = 1000  # draws for one negative sample; all fail only if the true neighbour is almost the only word


class Pair(NamedTuple):
    """An input word and an output word; `label` is 1 if the output is a neighbour in the text, 0 if it was drawn."""

    input: str
    output: str
    label: int


def skipgram_pairs(
    words: Sequence[str],
    window: int,
    negative: int,
    seed: int,
    vocabulary: tuple[Sequence[str], NDArray[np.int64]] | None = None,
    dynamic: bool = False,
) -> list[Pair]:
    """The training pairs of a text in its order: each pair of neighbours, followed by its negative samples.

    Negative samples are drawn from the words and counts of `vocabulary`, by default those of the text; a draw that
    gives the neighbour itself is repeated. With `dynamic`, the window of each word is drawn from 1 to `window`, as
    in training. Raises UsageError for a text without neighbours or without other words to draw.
    """
    if len(words) < 2:
        raise UsageError("a text of one word has no neighbours", "give two words or more")
    rng = np.random.default_rng(seed)
    known, counts = vocabulary or (list(Counter(words)), np.array(list(Counter(words).values())))
    if negative and len(known) < 2:
        raise UsageError(
            "there is no other word to draw as a negative sample", "give a text with different words"
        )
    bounds = noise_distribution(counts).cumsum()
    pairs: list[Pair] = []
    for at, center in enumerate(words):
        reach = int(rng.integers(1, window + 1)) if dynamic else window
        for other in range(max(at - reach, 0), min(at + reach + 1, len(words))):
            if other == at:
                continue
            pairs.append(Pair(center, words[other], 1))
            n_drawn = 0
            for _ in range(_TRIES * negative):
                if n_drawn == negative:
                    break
                word = known[int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))]
                if word != words[other]:
                    pairs.append(Pair(center, word, 0))
                    n_drawn += 1
    return pairs
