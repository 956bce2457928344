"""One sentence on its way through a translator: its pieces, the attention of each layer, and what searches find."""

from dataclasses import dataclass, replace
from typing import Any

from tx.decode.config import DecodeConfig
from tx.decode.sampling import Sampling
from tx.decode.translate import SearchOptions, Translator
from tx.inspect.attention import AttentionMaps, compute_attention

BEAM_SIZE = 5  # where the model's own search is greedy


@dataclass(frozen=True)
class StrongestAttention:
    """The piece with the largest attention weight, as the mean over all heads of a layer."""

    piece: str
    place: int
    weight: float


@dataclass(frozen=True)
class SearchResult:
    """A translation that one search method found."""

    search: str
    text: str
    logprob: float
    score: float


@dataclass(frozen=True)
class Explanation:
    maps: AttentionMaps
    src_ids: list[int]
    # For each layer, "encoder 1", "decoder 1", "cross 1" ..., one for each source piece or each step.
    strongest: dict[str, list[StrongestAttention]]
    results: list[SearchResult]

    def as_json(self, n_steps: int) -> dict[str, Any]:
        """All of it as plain values, with the first `n_steps` steps."""
        maps = self.maps

        def strongest(n: int, *kinds: str) -> dict[str, dict[str, Any]]:
            layers = ((name, found) for name, found in self.strongest.items() if name.startswith(kinds))
            return {name: vars(found[n]) for name, found in layers}

        return {
            "source": maps.source,
            "translation": maps.translation,
            "pieces": [
                {"piece": piece, "id": id, "looks_at": strongest(n, "encoder")}
                for n, (piece, id) in enumerate(zip(maps.src.pieces, self.src_ids, strict=True))
            ],
            "steps": [
                {
                    "piece": maps.tgt.pieces[n],
                    "after": maps.decoder_input.pieces[n],
                    "candidates": [vars(prediction) for prediction in predictions],
                    "looks_at": strongest(n, "decoder", "cross"),
                }
                for n, predictions in enumerate(maps.predictions[:n_steps])
            ],
            "choices": [vars(result) for result in self.results],
        }


def explain(
    translator: Translator, decode: DecodeConfig, source: str, top: int = 5, samples: int = 3, seed: int = 1
) -> Explanation:
    """Follow `source` through the model; the steps are those of its translation by `tx translate`.

    Raises TxError for a line that is blank or too long.
    """
    maps = compute_attention(translator, source, None, SearchOptions(decode), top)
    strongest: dict[str, list[StrongestAttention]] = {}
    for kind, layers in maps.weights.items():
        keys = maps.queries_and_keys(kind)[1].pieces
        for number, weights in enumerate(layers, 1):
            strongest[f"{kind} {number}"] = [
                StrongestAttention(keys[int(row.argmax())], int(row.argmax()), float(row.max()))
                for row in weights.mean(axis=0)
            ]
    beam_size = decode.beam_size if decode.beam_size > 1 else BEAM_SIZE
    searches = {
        "greedy": SearchOptions(replace(decode, beam_size=1), with_scores=True),
        f"beam {beam_size}": SearchOptions(replace(decode, beam_size=beam_size), min(3, beam_size)),
    }
    for number in range(seed, seed + samples):
        sampling = Sampling(seed=number)
        searches[f"sample {number}"] = SearchOptions(decode, sampling=sampling, with_scores=True)
    results: list[SearchResult] = []
    for name, options in searches.items():
        (found,) = translator.translate([maps.source], options)
        for rank, (text, h) in enumerate(zip(found.texts, found.hypotheses, strict=True), 1):
            label = name if rank == 1 else f"{name}, no. {rank}"
            results.append(SearchResult(label, text, h.logprob, h.score))
    ids = [*translator.src.encode(maps.source), translator.src.eos_id]
    return Explanation(maps, ids, strongest, results)
