"""Text as one stream of tokens, for language models: on disk, in batches, and in samplers.

A stream is the lines of a text, each followed by `</s>`: that is the newline, so nothing of the text is lost.
"""

from dataclasses import dataclass, field

from torch import Tensor

from tx.data.batch import Tensors


@dataclass
class Carry:
    """What a model hands on from one batch to the next of the same streams: its own tensors, or none yet."""

    tensors: tuple[Tensor, ...] = ()


@dataclass
class StreamBatch(Tensors):
    """B pieces of text of equal length, and for each token the one that follows it.

    With a `carry` each row goes on where the same row of the batch before ended; `fresh` at the first.
    """

    tokens: Tensor  # [B, T]
    targets: Tensor  # [B, T]
    carry: Carry | None = None
    fresh: bool = True
    n_src_tokens: int = field(default=0, init=False)  # there is no source

    @property
    def n_tokens(self) -> int:
        return self.targets.numel()

    def carried(self) -> tuple[Tensor, ...]:
        """What the batch before handed on; nothing at the beginning of the streams."""
        return () if self.carry is None or self.fresh else self.carry.tensors

    def hand_on(self, *tensors: Tensor) -> None:
        """Keep `tensors`, cut off from their history, for the batch that goes on from here."""
        if self.carry is not None:
            self.carry.tensors = tuple(tensor.detach() for tensor in tensors)
