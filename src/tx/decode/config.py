"""The options of beam search that a package stores; apart from the search, so that reading them needs no torch."""

from dataclasses import dataclass

from tx.config.schema import option

MAX_BEAM_SIZE = 1000  # that a single call can ask for


@dataclass
class DecodeConfig:
    """How `tx translate` searches by default."""

    beam_size: int = option(5, "Beam size: number of hypotheses at each step; 1: greedy", ge=1)
    length_penalty: float = option(
        1.0, "Length penalty: scores are divided by the length to this power", ge=0
    )
    max_len_ratio: float = option(
        1.5, "Maximum hypothesis length, as a multiple of the source length in pieces", ge=0
    )
    max_len_extra: int = option(10, "Number of pieces added to max_len_ratio times the source length", ge=0)
