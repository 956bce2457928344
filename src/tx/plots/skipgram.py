"""What word2vec is really fed: pairs of neighbours labelled 1, and pairs with random words labelled 0.

Skip-gram with negative sampling (Mikolov et al. 2013, https://arxiv.org/abs/1310.4546): for each word of a text
and each word around it, the model learns to tell that word from `negative` others, drawn in proportion to the
0.75th power of their frequency.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tx.errors import UsageError

_POWER = 0.75
_TRIES = 1000  # draws of one negative; more are needed only where the true neighbour is almost the only word


@dataclass(frozen=True)
class Example:
    """Is `output` a neighbour of `input`? `label` is 1 where it is, in the text, and 0 where it was drawn."""

    input: str
    output: str
    label: int


def skipgram_examples(
    words: Sequence[str],
    window: int,
    negative: int,
    seed: int,
    noise: tuple[Sequence[str], NDArray[np.int64]] | None = None,
    dynamic: bool = False,
) -> list[Example]:
    """The training examples of a text, in its order: each pair of neighbours, followed by its negatives.

    `noise` holds the words that negatives are drawn from and their counts, else those of the text itself; a draw
    that gives the neighbour itself is repeated. With `dynamic`, the window of each word is drawn from 1 to
    `window`, as in training. Raises UsageError for a text without neighbours or without other words to draw.
    """
    if len(words) < 2:
        raise UsageError("there are no neighbours in a text of one word", "give two words or more")
    rng = np.random.default_rng(seed)
    known, counts = noise or (list(Counter(words)), np.array(list(Counter(words).values())))
    if negative and len(known) < 2:
        raise UsageError("there is no other word to draw as a negative", "give a text with different words")
    bounds = np.cumsum(np.asarray(counts, np.float64) ** _POWER)
    examples: list[Example] = []
    for at, center in enumerate(words):
        reach = int(rng.integers(1, window + 1)) if dynamic else window
        for other in range(max(at - reach, 0), min(at + reach + 1, len(words))):
            if other == at:
                continue
            examples.append(Example(center, words[other], 1))
            drawn = _draw(rng, known, bounds, negative, words[other])
            examples += [Example(center, word, 0) for word in drawn]
    return examples


def _draw(
    rng: np.random.Generator, known: Sequence[str], bounds: NDArray[np.float64], n: int, neighbor: str
) -> list[str]:
    found: list[str] = []
    for _ in range(_TRIES * n):
        if len(found) == n:
            break
        word = known[int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))]
        if word != neighbor:
            found.append(word)
    return found
