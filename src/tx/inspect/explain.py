"""One sentence on its way through a translator: its pieces, what each layer looks at, and what searches find."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tx.config.schema import DecodeConfig
from tx.decode.align import Array
from tx.decode.sampling import Sampling
from tx.decode.translate import SearchOptions, Translator
from tx.inspect.attention import Axis, Reading, read

BEAM = 5  # where the model's own search is greedy


@dataclass(frozen=True)
class Glance:
    """The piece that was looked at most, and how much: the mean over all heads of a layer."""

    piece: str
    place: int
    weight: float


@dataclass(frozen=True)
class Choice:
    """What one way to search found."""

    search: str
    text: str
    logprob: float
    score: float


@dataclass(frozen=True)
class Explanation:
    reading: Reading
    src_ids: list[int]
    glances: dict[
        str, list[Glance]
    ]  # of "encoder 1" for each source piece, of "decoder 1", "cross 1" for each step
    choices: list[Choice]

    def as_json(self, n_steps: int) -> dict[str, Any]:
        """All of it as plain values, with the first `n_steps` steps."""
        reading = self.reading
        pieces = zip(reading.src.pieces, self.src_ids, strict=True)
        steps = [
            {
                "piece": reading.tgt.pieces[n],
                "after": reading.read.pieces[n],
                "candidates": [vars(candidate) for candidate in reading.candidates[n]],
                "looks_at": {name: vars(seen[n]) for name, seen in self._looks("decoder", "cross")},
            }
            for n in range(min(n_steps, len(reading.candidates)))
        ]
        return {
            "source": reading.source,
            "translation": reading.translation,
            "pieces": [
                {
                    "piece": piece,
                    "id": id,
                    "looks_at": {name: vars(seen[n]) for name, seen in self._looks("encoder")},
                }
                for n, (piece, id) in enumerate(pieces)
            ],
            "steps": steps,
            "choices": [vars(choice) for choice in self.choices],
        }

    def _looks(self, *kinds: str) -> list[tuple[str, list[Glance]]]:
        return [(name, seen) for name, seen in self.glances.items() if name.startswith(kinds)]


def explain(
    translator: Translator, decode: DecodeConfig, source: str, top: int = 5, samples: int = 3, seed: int = 1
) -> Explanation:
    """Follow `source` through the model; the steps are those of what `tx translate` gives for it.

    Raises TxError for a line that is blank or too long.
    """
    reading = read(translator, source, None, SearchOptions(decode), top)
    glances = {
        f"{kind} {number}": _glances(weights, reading.axes(kind)[1])
        for kind, layers in reading.weights.items()
        for number, weights in enumerate(layers, 1)
    }
    beam_size = decode.beam_size if decode.beam_size > 1 else BEAM
    greedy, beam = replace(decode, beam_size=1), replace(decode, beam_size=beam_size)
    searches = [("greedy", SearchOptions(greedy, with_scores=True))]
    searches.append((f"beam {beam_size}", SearchOptions(beam, min(3, beam_size))))
    for number in range(seed, seed + samples):
        drawn = SearchOptions(decode, sampling=Sampling(seed=number), with_scores=True)
        searches.append((f"sample {number}", drawn))
    choices: list[Choice] = []
    for name, options in searches:
        (result,) = translator.translate([reading.source], options)
        found = zip(result.texts, result.hypotheses, strict=True)
        for rank, (text, h) in enumerate(found, 1):
            choices.append(Choice(name if rank == 1 else f"{name}, no. {rank}", text, h.logprob, h.score))
    ids = [*translator.src.encode(reading.source), translator.src.eos_id]
    return Explanation(reading, ids, glances, choices)


def _glances(weights: Array, columns: Axis) -> list[Glance]:
    rows: Sequence[Array] = list(weights.mean(axis=0))
    return [Glance(columns.pieces[int(row.argmax())], int(row.argmax()), float(row.max())) for row in rows]
