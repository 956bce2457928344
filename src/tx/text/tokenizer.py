"""What every tokenizer can do, and how ids are laid out.

Layout: `</s>` is 0, `<unk>` is 1, then the pieces, and `<pad>` is last. The decoder of a translator starts from
`<pad>`, whose embedding row is zero and never trained, so `bos_id == pad_id`. This is the layout of Marian
models, which lets other tools load what tx trains.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

EOS_ID = 0
UNK_ID = 1


class Tokenizer(Protocol):
    """A line of text to ids and back; `encode` adds no `</s>`, `decode` skips `</s>` and `<pad>`."""

    kind: str  # "bpe", "unigram", "char", "word" or "wordpiece"
    eos_id: int
    unk_id: int
    pad_id: int
    bos_id: int

    def __len__(self) -> int:
        """The size of the vocabulary, `<pad>` included."""

    def normalize(self, line: str) -> str:
        """The form of `line` that a round trip gives back."""

    def encode(self, line: str) -> list[int]: ...

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]: ...

    def sample_batch(self, lines: Sequence[str], seed: int, alpha: float) -> list[list[int]]:
        """Encode with random segmentations (BPE-dropout with probability `alpha`, Provilkov et al. 2020; or unigram
        sampling with smoothing `alpha`, Kudo 2018); the same seed gives the same ids, whatever ran before."""

    def decode(self, ids: Sequence[int]) -> str: ...

    def encode_pieces(self, line: str) -> list[str]: ...

    def decode_pieces(self, pieces: Sequence[str]) -> str: ...

    def piece(self, id: int) -> str: ...

    def save(self, folder: Path, name: str) -> str:
        """Write this tokenizer into `folder` under a file name that starts with `name`; return the file name."""
