"""Where a translator looks: its attention by layer and head, their mean, and rollout through the layers.

Rollout (Abnar and Zuidema 2020, https://arxiv.org/abs/2005.00928) follows what a position is made of down to the
inputs: half of it goes on past each sublayer and half is what was looked at. Here it goes through the decoder
too, whose positions mix the source with what had been written.

Shape letters: H heads, T target pieces, S source pieces, both with `</s>`.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from tx.decode.align import Array, WordNumbers, attention_weights, word_numbers, word_weights
from tx.decode.translate import SearchOptions, Translator
from tx.errors import TxError, UsageError
from tx.text.tokenizer import canonical

KINDS = {
    "cross": "from the translation to the source",
    "encoder": "within the source",
    "decoder": "within the translation",
}
START, END = "<s>", "</s>"


@dataclass(frozen=True)
class Axis:
    """The pieces along one side of a picture, and the words that they belong to."""

    pieces: list[str]
    words: list[str]
    of: WordNumbers  # the place in `words` of each piece


@dataclass(frozen=True)
class Candidate:
    piece: str
    probability: float
    chosen: bool


@dataclass(frozen=True)
class Reading:
    """How a model read a source and wrote a translation."""

    source: str
    translation: str
    src: Axis
    tgt: Axis  # what each step wrote
    read: Axis  # what each step had read last: a start mark, then the target
    weights: dict[str, list[Array]]  # of each kind, for each layer: `[H, T, S]`, or as the kind has it
    candidates: list[list[Candidate]]  # of each step, likeliest first; the chosen one is always among them
    logprob: float

    def axes(self, kind: str) -> tuple[Axis, Axis]:
        """Who looks, and what is looked at."""
        return {
            "cross": (self.tgt, self.src),
            "encoder": (self.src, self.src),
            "decoder": (self.tgt, self.read),
        }[kind]


@dataclass(frozen=True)
class Table:
    """Weights with their names: each row is what one piece or word looked at."""

    rows: list[str]
    columns: list[str]
    values: Array
    title: str


def read(
    translator: Translator, source: str, target: str | None, options: SearchOptions, top: int = 10
) -> Reading:
    """Let a model translate `source`, or read `target` as its translation, and keep what it looked at.

    Raises TxError for a line that is blank or too long.
    """
    source, target = canonical(source), target and canonical(target)
    if not source.strip():
        raise TxError("the source has no words", "give one sentence")
    src, limit = translator.src.encode(source), translator.longest_source
    if len(src) > limit:
        raise TxError(
            f"the source has {len(src):,} pieces, and the model reads {limit:,} at once", "give one sentence"
        )
    if target is None:
        (result,) = translator.translate([source], options)
        tgt = result.hypotheses[0].ids
    else:
        tgt = translator.tgt.encode(target)
        if len(tgt) >= translator.max_len:
            raise TxError(
                f"the target has {len(tgt):,} pieces, and the model writes {translator.max_len - 1:,}",
                "shorten it",
            )
    logits, weights = attention_weights(
        translator.model, [src], [tgt], (translator.src.pad_id, translator.tgt.pad_id)
    )
    logprobs = logits[0].float().log_softmax(dim=-1).cpu().numpy()  # [T, V]
    text = translator.tgt.decode(tgt) if target is None else target
    src_axis = _axis(translator.src, src, source)
    written = _axis(translator.tgt, tgt, text)
    return Reading(
        source,
        text,
        src_axis,
        written,
        Axis(
            [START, *written.pieces[:-1]],
            [START, *written.words[:-1]],
            [0, *(n if n is None else n + 1 for n in written.of[:-1])],
        ),
        {
            kind: [value[0].float().cpu().numpy() for name, value in weights.items() if name.startswith(kind)]
            for kind in KINDS
            if any(name.startswith(kind) for name in weights)
        },
        [
            _candidates(translator, row, id, top)
            for row, id in zip(logprobs, [*tgt, translator.tgt.eos_id], strict=True)
        ],
        float(sum(row[id] for row, id in zip(logprobs, [*tgt, translator.tgt.eos_id], strict=True))),
    )


def _axis(tokenizer: Any, ids: Sequence[int], line: str) -> Axis:
    words = line.split()
    of = word_numbers(tokenizer, ids, line)
    return Axis([*map(tokenizer.piece, ids), END], [*words, END], [*of, len(words)])


def _candidates(translator: Translator, logprobs: Array, chosen: int, top: int) -> list[Candidate]:
    ids = [int(id) for id in np.argsort(-logprobs, kind="stable")[:top]]
    ids += [] if chosen in ids else [chosen]
    return [Candidate(translator.tgt.piece(id), float(np.exp(logprobs[id])), id == chosen) for id in ids]


# -- what to show ----------------------------------------------------------------------------------


def rollout(weights: Mapping[str, Sequence[Array]]) -> dict[str, Array]:
    """For each kind what its last layer's positions are made of, `[T, S]`; the rows of a picture sum to 1."""
    found: dict[str, Array] = {}
    if "encoder" not in weights:
        return found
    memory = np.eye(weights["encoder"][0].shape[-1], dtype=np.float32)
    for layer in weights["encoder"]:
        memory = (memory + layer.mean(axis=0) @ memory) / 2
    found["encoder"] = memory
    n_rows, n_src = weights["cross"][0].shape[1:]
    own, other = np.eye(n_rows, dtype=np.float32), np.zeros((n_rows, n_src), np.float32)
    for within, across in zip(weights["decoder"], weights["cross"], strict=True):
        own, other = ((x + within.mean(axis=0) @ x) / 2 for x in (own, other))
        own, other = own / 2, (other + across.mean(axis=0) @ memory) / 2
    found["decoder"] = own / own.sum(axis=1, keepdims=True)
    found["cross"] = other / other.sum(axis=1, keepdims=True)
    return found


def choose(
    reading: Reading,
    kind: str,
    layer: int | None = None,
    head: int | None = None,
    rolled: bool = False,
    words: bool = False,
) -> Table:
    """The weights of one kind: of a layer and head, counted from 1, or the mean over those not given.

    Raises UsageError for what the model does not have.
    """
    if kind not in reading.weights:
        has = ", ".join(reading.weights) or "none"
        raise UsageError(f"this model has no attention {KINDS[kind]}", f"the kinds that it has: {has}")
    layers = reading.weights[kind]
    for value, count, name in ((layer, len(layers), "layer"), (head, layers[0].shape[0], "head")):
        if value is not None and not 1 <= value <= count:
            raise UsageError(f"there is no {name} {value}", f"there are {count}, counted from 1")
    if rolled:
        tables = rollout(reading.weights)
        if kind not in tables:
            raise UsageError(
                "rollout follows attention through layers, and this model has one alone", "leave it away"
            )
        values, title = tables[kind], f"attention {KINDS[kind]}, rollout"
    else:
        chosen = layers if layer is None else [layers[layer - 1]]
        heads = slice(None) if head is None else slice(head - 1, head)
        values = np.mean([weights[heads].mean(axis=0) for weights in chosen], axis=0)
        n = len(chosen) * (layers[0].shape[0] if head is None else 1)
        named = [f"layer {layer}" if layer else "", f"head {head}" if head else ""]
        title = ", ".join(
            filter(None, [f"attention {KINDS[kind]}", *named, f"mean of {n} heads" if n > 1 else ""])
        )
    rows, columns = reading.axes(kind)
    if words:
        return Table(rows.words, columns.words, word_weights(values, columns.of, rows.of), title)
    return Table(rows.pieces, columns.pieces, values, title)


# -- the page --------------------------------------------------------------------------------------


def page(reading: Reading, model: str) -> str:
    """A page of HTML that needs nothing but itself; what the texts hold stays text."""
    data = {
        "about": f"{model}, log-probability {reading.logprob:.2f}",
        "axes": {
            name: {"pieces": axis.pieces, "words": axis.words, "of": axis.of}
            for name, axis in (("src", reading.src), ("tgt", reading.tgt), ("read", reading.read))
        },
        "weights": {kind: [_rounded(layer) for layer in layers] for kind, layers in reading.weights.items()},
        "rollout": {kind: _rounded(values) for kind, values in rollout(reading.weights).items()},
        "candidates": [
            [[c.piece, round(c.probability, 4), c.chosen] for c in step] for step in reading.candidates
        ],
    }
    # As JSON inside a script element: only "<" could end it, and only if it stood there as itself.
    safe = re.sub("[<>&\u2028\u2029]", lambda c: f"\\u{ord(c[0]):04x}", json.dumps(data, ensure_ascii=False))
    values = {"TITLE": html.escape(f"{reading.source} \u2192 {reading.translation}"), "DATA": safe}
    template = files("tx.inspect").joinpath("attention.html").read_text(encoding="utf-8")
    return re.sub("__(TITLE|DATA)__", lambda place: values[place[1]], template)


def _rounded(values: Array) -> Any:
    return np.round(values.astype(np.float64), 3).tolist()
