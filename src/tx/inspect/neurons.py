"""The hidden units of a language model over a text: one in colours, and which of them follow a simple property.

After "Visualizing and Understanding Recurrent Networks" (Karpathy et al. 2015, https://arxiv.org/abs/1506.02078),
where cells turned up that count the position in a line or switch on within quotes. How well a unit tells where
something holds is the area under its ROC curve (1: a threshold separates the two perfectly, 0.5: it knows nothing);
how well it follows a number is Spearman's rank correlation.

Shape letters: T characters, U units of all layers, P properties.
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

LIMIT = 2.0  # to which values are scaled: where the colours of `tx.plots.color` are full
RARE = 10  # characters with a property, or without it, that it takes to judge


@dataclass(frozen=True, order=True)
class Unit:
    """A hidden unit: its layer and its place in it, both counted from 1."""

    layer: int
    place: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.place}"


@dataclass(frozen=True)
class Trace:
    """What all units said after each character of a text; `values` is `[T, U]`, layer after layer."""

    text: str
    values: NDArray[np.float32]
    widths: tuple[int, ...]  # units of each layer

    def unit(self, column: int) -> Unit:
        """The unit whose values stand in a column."""
        layer = 0
        while column >= self.widths[layer]:
            column -= self.widths[layer]
            layer += 1
        return Unit(layer + 1, column + 1)

    def column(self, unit: Unit) -> int:
        """Where the values of a unit stand. Raises UsageError for one that is not there."""
        if not 1 <= unit.layer <= len(self.widths) or not 1 <= unit.place <= self.widths[unit.layer - 1]:
            shape = ", ".join(f"{number}:1 to {number}:{n}" for number, n in enumerate(self.widths, 1))
            raise UsageError(f"there is no unit {unit}", f"the units are {shape}")
        return sum(self.widths[: unit.layer - 1]) + unit.place - 1

    def head(self, n: int) -> "Trace":
        """The first `n` characters of it."""
        return Trace(self.text[:n], self.values[:n], self.widths)

    def scaled(self, unit: Unit) -> Array:
        """The values of one unit `[T]`, as colours want them: its 2nd and 98th percentile become ±`LIMIT`.

        Else few outliers, or a unit that is never far from saturation, would leave all the rest one colour. Where
        the two are one value, the lowest and the highest take their place; a constant becomes 0.
        """
        values = self.values[:, self.column(unit)].astype(np.float64)
        low, high = np.percentile(values, (2, 98))
        if low == high:
            low, high = values.min(), values.max()
        scaled: Array = LIMIT * (2 * values - low - high) / ((high - low) or 1.0)
        return scaled


def parse_unit(text: str) -> Unit:
    """The unit written LAYER:N. Raises UsageError for all else."""
    if found := re.fullmatch(r"(\d{1,9}):(\d{1,9})", text):
        return Unit(int(found[1]), int(found[2]))
    raise UsageError(f"'{text}' is no unit", "write LAYER:N, such as 1:17")


def trace(model: LanguageModel, text: str) -> Trace:
    """Read `text` from its beginning. Characters that one token spells share its values.

    Raises TxError for an empty text, or a model that only torch reads.
    """
    reading, decoder = Context(model.empty, model.max_len), IncrementalDecoder(model.tokenizer)
    reading.feed([model.tokenizer.eos_id])
    if not reading.activations:
        raise TxError(
            "this model does not show its hidden units", f"those do that are a {', '.join(NUMPY_MODELS)}"
        )
    if not text:
        raise TxError("there is no text to colour", "name a file with some text in it")
    spelled: list[str] = []
    rows: list[NDArray[np.float32]] = []
    for id in encode_text(text, model.tokenizer):
        reading.feed([id])
        part = decoder.decode(id)
        spelled.append(part)
        rows += [np.concatenate(reading.activations)] * len(part)
    return Trace("".join(spelled), np.array(rows), tuple(map(len, reading.activations)))


# -- properties ------------------------------------------------------------------------------------


def _between(opening: str, closing: str) -> Callable[[str], Array]:
    """Whether each character stands between two signs; a blank line ends what was left open."""

    def inside(text: str) -> Array:
        found, is_open = np.zeros(len(text)), False
        for at, character in enumerate(text):
            if is_open and (character in closing or text[at : at + 2] == "\n\n"):
                is_open = False
            elif character in opening:
                is_open = True
            found[at] = is_open and character not in opening
        return found

    return inside


def _each(holds: Callable[[str], bool]) -> Callable[[str], Array]:
    return lambda text: np.array([holds(character) for character in text], np.float64)


def _within(pattern: str) -> Callable[[str], Array]:
    """Whether each character belongs to a match."""

    def inside(text: str) -> Array:
        found = np.zeros(len(text))
        for match in re.finditer(pattern, text):
            found[match.start() : match.end()] = 1
        return found

    return inside


def _since(starts: Callable[[str], bool]) -> Callable[[str], Array]:
    """How many characters have come since the last one that `starts` something."""

    def count(text: str) -> Array:
        found, n = np.zeros(len(text)), 0
        for at, character in enumerate(text):
            n = 0 if starts(character) else n + 1
            found[at] = n
        return found

    return count


def _is_letter(character: str) -> bool:
    return character.isalpha() or character in "'’"


HOLDS: dict[str, Callable[[str], Array]] = {
    "inside quotes": _between('"“„«', '"”“»'),
    "inside brackets": _between("([{", ")]}"),
    "after a newline": _each(lambda c: c == "\n"),
    "in the first word of a line": _within(r"(?m)^[^\s]+"),
    "in a word of capitals": _within(r"\b[^\W\d_a-z]{2,}\b"),
    "capital letter": _each(str.isupper),
    "digit": _each(str.isdigit),
    "space": _each(lambda c: c == " "),
    "punctuation": _each(lambda c: not (c.isalnum() or c.isspace())),
    "vowel": _each(lambda c: c.lower() in "aeiouyäöü"),
    "last letter of a word": _within(r"[^\W\d_](?![\w'’])"),
}
COUNTS: dict[str, Callable[[str], Array]] = {
    "position in line": _since(lambda c: c == "\n"),
    "position in word": _since(lambda c: not _is_letter(c)),
}


@dataclass(frozen=True)
class Match:
    """How well a unit follows a property: by AUC from 0.5 on, or by correlation; `sign` -1: upside down."""

    property: str
    unit: Unit
    measure: str  # "AUC" or "rho"
    value: float
    sign: int


def rank_units(traced: Trace, top: int = 1) -> tuple[list[Match], list[str]]:
    """For each property the `top` units that follow it best, and the properties that are too rare to judge."""
    ranks = _ranks(traced.values.astype(np.float64))  # [T, U]
    n = len(traced.text)
    matches: list[Match] = []
    rare: list[str] = []
    for name, holds in HOLDS.items():
        wanted = holds(traced.text)
        n_true = int(wanted.sum())
        if min(n_true, n - n_true) < RARE:
            rare.append(name)
            continue
        # Mann and Whitney's U: how often a character with the property has the higher value.
        auc = (wanted @ ranks - n_true * (n_true + 1) / 2) / (n_true * (n - n_true))
        matches += _best(traced, name, "AUC", auc - 0.5, top, 0.5)
    centered = ranks - ranks.mean(axis=0)
    for name, count in COUNTS.items():
        numbers = _ranks(count(traced.text)[:, None])[:, 0]
        numbers -= numbers.mean()
        sizes = np.sqrt((centered**2).sum(axis=0) * (numbers**2).sum())
        if not numbers.any():
            rare.append(name)
            continue
        rho = np.divide(numbers @ centered, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        matches += _best(traced, name, "rho", rho, top, 0.0)
    return matches, rare


def _best(traced: Trace, name: str, measure: str, values: Array, top: int, zero: float) -> list[Match]:
    columns = np.argsort(-np.abs(values), kind="stable")[:top]
    return [
        Match(name, traced.unit(int(c)), measure, zero + abs(float(values[c])), 1 if values[c] >= 0 else -1)
        for c in columns
    ]


def _ranks(values: Array) -> Array:
    """The rank of each value in its column, from 1; equal ones share the mean of theirs."""
    ranks = np.empty_like(values)
    for column, ranked in zip(values.T, ranks.T, strict=True):
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        ranked[:] = (counts.cumsum() - (counts - 1) / 2)[inverse]
    return ranks
