"""BPE, unigram, char and word tokenizers by SentencePiece (Kudo and Richardson 2018).

This adds the id `<pad>` after SentencePiece's own, a lossless round trip for every line and every kind, sampling that
depends on the seed alone, and a clear error for a damaged model.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sentencepiece

from tx.errors import TxError
from tx.files import atomic_file
from tx.text.tokenizer import EOS, EOS_ID, PAD, UNK, UNK_ID, canonical, unknown_piece

SPACE = "\u2581"  # SentencePiece's symbol for a space

_sampling = threading.Lock()  # the seed is global to the process


class SentencePieceTokenizer:
    """A trained SentencePiece model; `model` is its serialized form, and error messages call it `name`."""

    eos_id = EOS_ID
    unk_id = UNK_ID

    def __init__(self, kind: str, model: bytes, name: str = "the model") -> None:
        self.kind = kind
        self._model = model
        try:
            if not model:
                raise RuntimeError("the file is empty")
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, ValueError) as error:
            raise TxError(
                f"{name} is not a SentencePiece model, or is damaged", "copy or train the tokenizer again"
            ) from error
        self.pad_id = self.bos_id = self._processor.get_piece_size()
        if self.pad_id < 2 or [self.piece(EOS_ID), self.piece(UNK_ID)] != [EOS, UNK]:
            raise TxError(
                f"{name} has other ids for {EOS} and {UNK} than {EOS_ID} and {UNK_ID}",
                "train the tokenizer with tx, which relies on these ids",
            )

    def __len__(self) -> int:
        return self.pad_id + 1

    def normalize(self, line: str) -> str:
        """NFC, and a space for U+2581, which SentencePiece cannot distinguish from a space."""
        return canonical(line).replace(SPACE, " ")

    def encode(self, line: str) -> list[int]:
        ids: list[int] = self._processor.encode(self.normalize(line))
        return ids

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self._processor.encode([self.normalize(line) for line in lines], num_threads=1)
        return ids

    def sample_batch(self, lines: Sequence[str], seed: int, alpha: float) -> list[list[int]]:
        if alpha == 0 or self.kind not in ("bpe", "unigram"):
            return self.encode_batch(lines)
        normal = [self.normalize(line) for line in lines]

        def sample() -> list[list[int]]:
            ids: list[list[int]] = self._processor.encode(
                normal, enable_sampling=True, alpha=alpha, nbest_size=-1, num_threads=1
            )
            return ids

        # The generator of a thread is seeded at its first use only, so that each call needs a new thread.
        with _sampling, ThreadPoolExecutor(max_workers=1) as fresh:
            sentencepiece.set_random_generator_seed(seed % 2**32)
            return fresh.submit(sample).result()

    def decode(self, ids: Sequence[int]) -> str:
        ids = [id for id in ids if id not in (EOS_ID, self.pad_id)]
        if not ids:
            return ""
        text: str = self._processor.decode(ids)
        if self.kind != "word":
            return text
        # An unknown word is spelled in bytes together with the space before it.
        text = text.replace(SPACE, " ")
        return text.removeprefix(" ") if self._processor.is_byte(ids[0]) else text

    def encode_pieces(self, line: str) -> list[str]:
        pieces: list[str] = self._processor.encode(self.normalize(line), out_type=str)
        return pieces

    def decode_pieces(self, pieces: Sequence[str]) -> str:
        return self.decode([self._id(piece) for piece in pieces])

    def _id(self, piece: str) -> int:
        id: int = self._processor.piece_to_id(piece)
        if id != UNK_ID or piece == UNK:
            return id
        if piece == PAD:
            return self.pad_id
        raise unknown_piece(piece)

    def piece(self, id: int) -> str:
        if id == self.pad_id:
            return PAD
        piece: str = self._processor.id_to_piece(id)
        return piece

    def save(self, folder: Path, name: str) -> str:
        file_name = f"{name}.model"
        with atomic_file(folder / file_name) as file:
            file.write(self._model)
        return file_name
