"""What every tokenizer can do, and how ids are laid out.

Layout: `</s>` is 0, `<unk>` is 1, then the pieces, and `<pad>` is last. The decoder of a translator starts
from `<pad>`, whose embedding row is zero and never trained, so `bos_id == pad_id`. This is the layout of
Marian models, which lets other tools load what tx trains.

For any line `decode(encode(line)) == normalize(line)`. Every tokenizer but the alphabet spells what it has no
piece for in bytes, so that nothing is unknown.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tx.errors import TxError, did_you_mean

EOS_ID = 0
UNK_ID = 1
EOS, UNK, PAD = "</s>", "<unk>", "<pad>"

KINDS = ("bpe", "unigram", "char", "word", "wordpiece", "alphabet")

_SURROGATE = re.compile("[\ud800-\udfff]")


class Tokenizer(Protocol):
    """A line of text to ids and back; `encode` adds no `</s>`, `decode` skips `</s>` and `<pad>`.

    A piece holds no space, so pieces can be joined by spaces and split again.
    """

    kind: str  # one of KINDS
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
        """Encode with random segmentations; the same seed gives the same ids, whatever ran before.

        BPE-dropout with probability `alpha` (Provilkov et al. 2020), or unigram sampling with smoothing
        `alpha` (Kudo 2018). The other kinds have one segmentation only, and so has every kind at `alpha` 0.
        """

    def decode(self, ids: Sequence[int]) -> str: ...

    def encode_pieces(self, line: str) -> list[str]: ...

    def decode_pieces(self, pieces: Sequence[str]) -> str:
        """Raises TxError for a piece that the vocabulary does not have."""

    def piece(self, id: int) -> str: ...

    def save(self, folder: Path, name: str) -> str:
        """Write this tokenizer into `folder` under a file name that starts with `name`; return that name."""


def canonical(line: str) -> str:
    """`line` in Unicode's composed form (NFC): what looks the same is the same, and nothing looks different.

    Compatibility forms (NFKC) would change what a reader sees. Half a surrogate pair, which has no bytes,
    becomes U+FFFD.
    """
    return line if line.isascii() else unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", line))


def check_kind(kind: str) -> None:
    """Raise TxError unless `kind` is one of KINDS."""
    if kind not in KINDS:
        raise TxError(
            f"there is no tokenizer kind '{kind}'",
            did_you_mean(kind, KINDS) or f"the kinds are {', '.join(KINDS)}",
        )


def unknown_piece(piece: str) -> TxError:
    """The sentence for a piece that the vocabulary lacks."""
    return TxError(
        f"the vocabulary has no piece '{piece}'",
        "decode pieces with the tokenizer that made them; ids need --ids",
    )


def vocab_too_small(vocab_size: int, needed: int) -> TxError:
    """The sentence for a vocabulary that has no room for more than single characters."""
    return TxError(
        f"a vocabulary of {vocab_size} is too small: bytes and characters alone take {needed}",
        f"ask for --vocab-size {needed} or more",
    )
