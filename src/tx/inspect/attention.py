"""The attention of a translator: weights by layer and head, their mean, and attention rollout.

Attention rollout (Abnar and Zuidema 2020, https://arxiv.org/abs/2005.00928) traces each position back to the inputs
through all layers, where the output of a sublayer is half its input and half the attention-weighted mean of what it
attends to. Here it also goes through the decoder, whose positions mix the source with the target prefix.

Shape letters: H heads, T target pieces, S source pieces, both including `</s>`; V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tx.decode.align import Array, WordNumbers, attention_weights, word_numbers, word_weights
from tx.decode.translate import SearchOptions, Translator
from tx.errors import TxError, UsageError
from tx.text.tokenizer import Tokenizer, canonical

KINDS = {
    "cross": "from the translation to the source",
    "encoder": "within the source",
    "decoder": "within the translation",
}
START, END = "<s>", "</s>"


@dataclass(frozen=True)
class Tokens:
    """The pieces of one side, and the words that they belong to."""

    pieces: list[str]
    words: list[str]
    word_ids: WordNumbers  # for each piece the index of its word in `words`


@dataclass(frozen=True)
class Prediction:
    """One of the most probable next pieces at a step, or the piece that was chosen there."""

    piece: str
    probability: float
    chosen: bool


@dataclass(frozen=True)
class AttentionMaps:
    """All attention weights of one translation, with the model's predictions at each step."""

    source: str
    translation: str
    src: Tokens
    tgt: Tokens  # the output of each step
    decoder_input: Tokens  # the input of each step: a start mark, then the target
    weights: dict[str, list[Array]]  # for each kind one array for each layer, `[H, queries, keys]`
    predictions: list[list[Prediction]]  # of each step, most probable first; always with the chosen piece
    logprob: float

    def queries_and_keys(self, kind: str) -> tuple[Tokens, Tokens]:
        """The rows and the columns of the weights of one kind: what attends, and what is attended to."""
        return {
            "cross": (self.tgt, self.src),
            "encoder": (self.src, self.src),
            "decoder": (self.tgt, self.decoder_input),
        }[kind]


@dataclass(frozen=True)
class AttentionMatrix:
    """Attention weights `[rows, columns]` with their labels: each row attends to the columns."""

    rows: list[str]
    columns: list[str]
    values: Array
    title: str


def compute_attention(
    translator: Translator, source: str, target: str | None, options: SearchOptions, top: int = 10
) -> AttentionMaps:
    """Translate `source`, or force `target` as its translation, and return the attention weights of every step.

    With each step come its `top` most probable pieces. Raises TxError for a line that is blank or too long.
    """
    source, target = canonical(source), target and canonical(target)
    if not source.strip():
        raise TxError("the source has no words", "give one sentence")
    src, limit = translator.src.encode(source), translator.longest_source
    if len(src) > limit:
        size = f"the source has {len(src):,} pieces"
        raise TxError(f"{size}, and the model accepts at most {limit:,}", "give one sentence")
    if target is None:
        (result,) = translator.translate([source], options)
        tgt = result.hypotheses[0].ids
        target = translator.tgt.decode(tgt)
    else:
        tgt = translator.tgt.encode(target)
        if len(tgt) >= translator.max_len:
            size, limit = f"the target has {len(tgt):,} pieces", translator.max_len - 1
            raise TxError(f"{size}, and the model generates at most {limit:,}", "shorten it")
    pad_ids = translator.src.pad_id, translator.tgt.pad_id
    logits, weights = attention_weights(translator.model, [src], [tgt], pad_ids)
    logprobs = logits[0].float().log_softmax(dim=-1).cpu().numpy()  # [T, V]
    steps = list(zip(logprobs, [*tgt, translator.tgt.eos_id], strict=True))
    output = _tokens(translator.tgt, tgt, target)
    decoder_input = Tokens(
        [START, *output.pieces[:-1]],
        [START, *output.words[:-1]],
        [0, *(n if n is None else n + 1 for n in output.word_ids[:-1])],
    )
    layers = {name: layer[0].float().cpu().numpy() for name, layer in weights.items()}
    by_kind = {kind: [layer for name, layer in layers.items() if name.startswith(kind)] for kind in KINDS}
    return AttentionMaps(
        source,
        target,
        _tokens(translator.src, src, source),
        output,
        decoder_input,
        {kind: found for kind, found in by_kind.items() if found},
        [_predictions(translator.tgt, row, id, top) for row, id in steps],
        float(sum(row[id] for row, id in steps)),
    )


def _tokens(tokenizer: Tokenizer, ids: Sequence[int], line: str) -> Tokens:
    words = line.split()
    word_ids = [*word_numbers(tokenizer, ids, line), len(words)]
    return Tokens([*map(tokenizer.piece, ids), END], [*words, END], word_ids)


def _predictions(tokenizer: Tokenizer, logprobs: Array, chosen: int, top: int) -> list[Prediction]:
    ids = [int(id) for id in np.argsort(-logprobs, kind="stable")[:top]]
    ids += [] if chosen in ids else [chosen]
    return [Prediction(tokenizer.piece(id), float(np.exp(logprobs[id])), id == chosen) for id in ids]


def rollout(weights: Mapping[str, Sequence[Array]]) -> dict[str, Array]:
    """For each kind how much each input contributes to each position of the last layer, `[T, S]`; rows sum to 1.

    A model without an encoder that attends has none.
    """
    if "encoder" not in weights:
        return {}
    memory = np.eye(weights["encoder"][0].shape[-1], dtype=np.float32)
    for layer in weights["encoder"]:
        memory = (memory + layer.mean(axis=0) @ memory) / 2
    n_rows, n_src = weights["cross"][0].shape[1:]
    from_tgt, from_src = np.eye(n_rows, dtype=np.float32), np.zeros((n_rows, n_src), np.float32)
    for within, across in zip(weights["decoder"], weights["cross"], strict=True):
        from_tgt, from_src = ((x + within.mean(axis=0) @ x) / 2 for x in (from_tgt, from_src))
        from_tgt, from_src = from_tgt / 2, (from_src + across.mean(axis=0) @ memory) / 2
    return {
        "encoder": memory,
        "decoder": from_tgt / from_tgt.sum(axis=1, keepdims=True),
        "cross": from_src / from_src.sum(axis=1, keepdims=True),
    }


def select_attention(
    maps: AttentionMaps,
    kind: str,
    layer: int | None = None,
    head: int | None = None,
    rolled_out: bool = False,
    words: bool = False,
) -> AttentionMatrix:
    """The weights of one kind: of a layer and head, counted from 1, or the mean over those not given.

    `rolled_out` gives attention rollout instead; `words` merges the pieces of each word. Raises UsageError for a
    kind, layer or head that the model does not have.
    """
    if kind not in maps.weights:
        has = ", ".join(maps.weights) or "none"
        raise UsageError(f"this model has no attention {KINDS[kind]}", f"it has: {has}")
    layers = np.stack(maps.weights[kind])  # [layers, H, queries, keys]
    title = [f"attention {KINDS[kind]}"]
    for axis, (name, number) in enumerate((("layer", layer), ("head", head))):
        if number is not None:
            count = layers.shape[axis]
            if not 1 <= number <= count:
                raise UsageError(f"there is no {name} {number}", f"there are {count}, counted from 1")
            layers = layers.take([number - 1], axis)
            title.append(f"{name} {number}")
    values, n = layers.mean(axis=(0, 1)), layers.shape[0] * layers.shape[1]
    title += [f"mean over {n} heads"] * (n > 1)
    if rolled_out:
        if kind not in (found := rollout(maps.weights)):
            reason = "rollout needs several layers, and this model has a single one"
            raise UsageError(reason, "omit --rollout")
        values, title[1:] = found[kind], ["rollout"]
    queries, keys = maps.queries_and_keys(kind)
    rows, columns = queries.pieces, keys.pieces
    if words:
        values = word_weights(values, keys.word_ids, queries.word_ids)
        rows, columns = queries.words, keys.words
    return AttentionMatrix(rows, columns, values, ", ".join(title))
