"""The hidden units of a language model over a text, and which of them follow a simple property of the text.

After "Visualizing and Understanding Recurrent Networks" (Karpathy et al. 2015, https://arxiv.org/abs/1506.02078),
which found cells that count the position in a line or switch on inside quotes. How well a unit separates the
characters that have a property from the others is the area under the ROC curve (1: a threshold separates them
perfectly; 0.5: chance level); how well it follows a number is Spearman's rank correlation.

Shape letters: T characters, U units of all layers.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tx.decode.generate import Context, LanguageModel
from tx.decode.numpy_lm import NUMPY_MODELS
from tx.errors import TxError, UsageError
from tx.text.incremental import IncrementalDecoder, encode_text

Array = NDArray[np.float64]

MIN_EXAMPLES = 10  # characters with a property, and without it, that a score needs


@dataclass(frozen=True, order=True)
class Unit:
    """A hidden unit: its layer and its number in the layer, both counted from 1."""

    layer: int
    number: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.number}"


@dataclass(frozen=True)
class Activations:
    """The activations of all units after each character of a text; `values` is `[T, U]`, layer after layer."""

    text: str
    values: NDArray[np.float32]
    layer_sizes: tuple[int, ...]

    @property
    def units(self) -> list[Unit]:
        """The unit of each column of `values`."""
        sizes = enumerate(self.layer_sizes, 1)
        return [Unit(layer, number) for layer, size in sizes for number in range(1, size + 1)]

    def of(self, unit: Unit) -> NDArray[np.float32]:
        """The activations of one unit, `[T]`. Raises UsageError for a unit that does not exist."""
        if unit not in self.units:
            ranges = ", ".join(f"{layer}:1 to {layer}:{n}" for layer, n in enumerate(self.layer_sizes, 1))
            raise UsageError(f"there is no unit {unit}", f"the units are {ranges}")
        return self.values[:, self.units.index(unit)]

    def head(self, n: int) -> "Activations":
        """Those of the first `n` characters."""
        return Activations(self.text[:n], self.values[:n], self.layer_sizes)


def parse_unit(text: str) -> Unit:
    """The unit that is written LAYER:N. Raises UsageError for anything else."""
    if found := re.fullmatch(r"(\d{1,9}):(\d{1,9})", text):
        return Unit(int(found[1]), int(found[2]))
    raise UsageError(f"'{text}' is not a unit", "write LAYER:N, such as 1:17")


def compute_activations(model: LanguageModel, text: str) -> Activations:
    """Run the model over `text` from its beginning. The characters of one token share its activations.

    Raises TxError for an empty text, or a model whose units cannot be read.
    """
    reading, decoder = Context(model.empty, model.max_len), IncrementalDecoder(model.tokenizer)
    reading.feed([model.tokenizer.eos_id])
    if not reading.activations:
        hint = f"supported architectures: {', '.join(NUMPY_MODELS)}"
        raise TxError("the hidden units of this model cannot be read", hint)
    if not text:
        raise TxError("the text is empty", "name a file with some text in it")
    spelled: list[str] = []
    rows: list[NDArray[np.float32]] = []
    for id in encode_text(text, model.tokenizer):
        reading.feed([id])
        part = decoder.decode(id)
        spelled.append(part)
        rows += [np.concatenate(reading.activations)] * len(part)
    return Activations("".join(spelled), np.array(rows), tuple(map(len, reading.activations)))


# -- properties ------------------------------------------------------------------------------------


def _each(holds: Callable[[str], bool]) -> Callable[[str], Array]:
    return lambda text: np.array([holds(character) for character in text], np.float64)


def _within(pattern: str, group: int = 0) -> Callable[[str], Array]:
    """1 for each character of a match, or of a group of it."""

    def inside(text: str) -> Array:
        found = np.zeros(len(text))
        for match in re.finditer(pattern, text):
            found[match.start(group) : match.end(group)] = 1
        return found

    return inside


def _between(opening: str, closing: str) -> Callable[[str], Array]:
    """1 for each character between two signs; a blank line closes what was left open."""
    return _within(rf"[{opening}]((?:(?!\n\n)[^{closing}])*)[{closing}]?", 1)


def _since(pattern: str) -> Callable[[str], Array]:
    """For each character the number of characters since the last one of a match."""
    starts = _within(pattern)

    def count(text: str) -> Array:
        places = np.arange(len(text), dtype=np.float64)
        found: Array = places - np.maximum.accumulate(np.where(starts(text), places, -1.0))
        return found

    return count


BINARY_PROPERTIES: dict[str, Callable[[str], Array]] = {
    "inside quotes": _between('"“„«', '"”“»'),
    "inside brackets": _between(r"(\[{", r")\]}"),
    "after a newline": _within(r"\n"),
    "in the first word of a line": _within(r"(?m)^[^\s]+"),
    "in a word of capitals": _within(r"\b[^\W\d_a-z]{2,}\b"),
    "capital letter": _each(str.isupper),
    "digit": _each(str.isdigit),
    "space": _within(" "),
    "punctuation": _each(lambda c: not (c.isalnum() or c.isspace())),
    "vowel": _within("(?i)[aeiouyäöü]"),
    "last letter of a word": _within(r"[^\W\d_](?![\w'’])"),
}
COUNT_PROPERTIES: dict[str, Callable[[str], Array]] = {
    "position in line": _since(r"\n"),
    "position in word": _since(r"[^\w'’]|[\d_]"),
}
PROPERTIES = (*BINARY_PROPERTIES, *COUNT_PROPERTIES)


@dataclass(frozen=True)
class UnitScore:
    """How well a unit follows a property: the AUC, from 0.5 to 1, or the absolute rank correlation.

    `sign` is -1 where the unit is low if the property holds, or falls as the number rises.
    """

    property: str
    unit: Unit
    measure: str  # "AUC" or "rho"
    value: float
    sign: int


def rank_units(activations: Activations, top: int = 1) -> tuple[list[UnitScore], list[str]]:
    """For each property the `top` units that follow it best, and the properties too rare for a score."""
    ranks = _ranks(activations.values.astype(np.float64))  # [T, U]
    centered = ranks - ranks.mean(axis=0)
    n, units = len(activations.text), activations.units
    scores: list[UnitScore] = []
    rare: list[str] = []

    def add_best(name: str, measure: str, values: Array, chance: float) -> None:
        for column in map(int, np.argsort(-np.abs(values), kind="stable")[:top]):
            value, sign = float(values[column]), 1 if values[column] >= 0 else -1
            scores.append(UnitScore(name, units[column], measure, chance + abs(value), sign))

    for name, holds in BINARY_PROPERTIES.items():
        labels = holds(activations.text)
        n_true = int(labels.sum())
        if min(n_true, n - n_true) < MIN_EXAMPLES:
            rare.append(name)
            continue
        # Mann and Whitney's U statistic, as a share of all pairs of one character with the property and one without.
        auc = (labels @ ranks - n_true * (n_true + 1) / 2) / (n_true * (n - n_true))
        add_best(name, "AUC", auc - 0.5, 0.5)
    for name, count in COUNT_PROPERTIES.items():
        numbers = _ranks(count(activations.text)[:, None])[:, 0]
        numbers -= numbers.mean()
        if not numbers.any():
            rare.append(name)
            continue
        sizes = np.sqrt((centered**2).sum(axis=0) * (numbers**2).sum())
        rho = np.divide(numbers @ centered, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        add_best(name, "rho", rho, 0.0)
    return scores, rare


def _ranks(values: Array) -> Array:
    """The rank of each value in its column, from 1; equal values share the mean of their ranks."""
    ranks = np.empty_like(values)
    for column, ranked in zip(values.T, ranks.T, strict=True):
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        ranked[:] = (counts.cumsum() - (counts - 1) / 2)[inverse]
    return ranks
