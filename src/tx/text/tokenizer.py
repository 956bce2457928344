"""The interface of tokenizers, and the layout of their ids.

`</s>` is 0, `<unk>` is 1, then come the pieces, and `<pad>` is last. The decoder of a translator starts from `<pad>`,
whose embedding is zero and never trained: `bos_id == pad_id`. This is the layout of Marian's models, so that other
tools can load models trained with tx.

For every line `decode(encode(line)) == normalize(line)`. Every tokenizer but the alphabet spells characters without a
piece in bytes, so that nothing is unknown.
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
    """Converts lines of text to ids and back; `encode` adds no `</s>`, `decode` skips `</s>` and `<pad>`.

    Pieces contain no spaces, so that they can be joined by spaces and split again.
    """

    kind: str  # one of KINDS
    eos_id: int
    unk_id: int
    pad_id: int
    bos_id: int

    def __len__(self) -> int:
        """The size of the vocabulary, `<pad>` included."""

    def normalize(self, line: str) -> str:
        """The form of `line` that encoding and decoding returns."""

    def encode(self, line: str) -> list[int]: ...

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]: ...

    def sample_batch(self, lines: Sequence[str], seed: int, alpha: float) -> list[list[int]]:
        """Encode with random segmentations, which depend on the seed alone (subword regularization).

        BPE-dropout with probability `alpha` (Provilkov et al. 2020), or unigram sampling with smoothing
        `alpha` (Kudo 2018). The other kinds, and every kind with an `alpha` of 0, have one segmentation.
        """

    def decode(self, ids: Sequence[int]) -> str: ...

    def encode_pieces(self, line: str) -> list[str]: ...

    def decode_pieces(self, pieces: Sequence[str]) -> str:
        """Raises TxError for a piece that is not in the vocabulary."""

    def piece(self, id: int) -> str: ...

    def save(self, folder: Path, name: str) -> str:
        """Write the tokenizer into `folder`, to a file whose name starts with `name`; return the file name."""


class PieceList:
    """The part of a tokenizer that follows from its list of `pieces`, for kinds with one segmentation per line."""

    eos_id = EOS_ID
    unk_id = UNK_ID

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = list(pieces)
        self.pad_id = self.bos_id = len(pieces) - 1
        self._piece_ids = {piece: id for id, piece in enumerate(pieces)}

    def __len__(self) -> int:
        return len(self._pieces)

    def encode(self, line: str) -> list[int]:
        raise NotImplementedError

    def decode(self, ids: Sequence[int]) -> str:
        raise NotImplementedError

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]:
        return [self.encode(line) for line in lines]

    def sample_batch(self, lines: Sequence[str], seed: int, alpha: float) -> list[list[int]]:
        return self.encode_batch(lines)

    def encode_pieces(self, line: str) -> list[str]:
        return [self._pieces[id] for id in self.encode(line)]

    def decode_pieces(self, pieces: Sequence[str]) -> str:
        if unknown := [piece for piece in pieces if piece not in self._piece_ids]:
            raise unknown_piece(unknown[0])
        return self.decode([self._piece_ids[piece] for piece in pieces])

    def piece(self, id: int) -> str:
        return self._pieces[id]


def canonical(line: str) -> str:
    """`line` in Unicode's composed form (NFC), in which text that looks the same is the same.

    Compatibility forms (NFKC) would change how it looks. Half a surrogate pair, which has no bytes, becomes U+FFFD.
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
    """The error for a piece that is not in the vocabulary."""
    return TxError(
        f"the vocabulary has no piece '{piece}'",
        "decode pieces with the tokenizer that produced them; to decode ids use --ids",
    )


def vocab_too_small(vocab_size: int, needed: int) -> TxError:
    """The error for a vocabulary that is too small to hold the characters of the text."""
    return TxError(
        f"a vocabulary of {vocab_size} is too small: bytes and characters alone need {needed}",
        f"use --vocab-size {needed} or more",
    )
