"""The alphabet of a text: one piece for each of its characters and nothing else, as in the char-RNN.

For models over characters, whose vocabulary it keeps as small as the text allows. It is closed: a character
that the text did not have becomes `<unk>`, which reads U+FFFD. The `char` kind is the open one.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tx.errors import TxError
from tx.files import atomic_file
from tx.text.tokenizer import EOS, EOS_ID, PAD, UNK, UNK_ID, canonical, unknown_piece

UNKNOWN = "\ufffd"
_SPACE = "\u2581"  # how a space is shown among pieces


class _Ids(dict[str, int]):
    def __missing__(self, character: str) -> int:
        return UNK_ID


class AlphabetTokenizer:
    """The characters of the string `alphabet`, each once, as the ids from 2 on."""

    kind = "alphabet"
    eos_id = EOS_ID
    unk_id = UNK_ID

    def __init__(self, alphabet: str) -> None:
        self._alphabet = alphabet
        self._characters = ["", UNKNOWN, *alphabet, ""]
        self._pieces = [EOS, UNK, *map(_shown, alphabet), PAD]
        self.pad_id = self.bos_id = len(self._pieces) - 1
        self._ids = _Ids({character: id for id, character in enumerate(alphabet, start=2)})

    @classmethod
    def parse(cls, content: bytes, name: str) -> "AlphabetTokenizer":
        """Read what `save` wrote; errors call it `name`. Raises TxError if it is damaged."""
        try:
            alphabet = json.loads(content)["alphabet"]
            if alphabet and isinstance(alphabet, str) and len(set(alphabet)) == len(alphabet):
                return cls(alphabet)
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        raise TxError(f"{name} is not an alphabet, or is damaged", "copy or train the tokenizer again")

    def __len__(self) -> int:
        return len(self._pieces)

    def normalize(self, line: str) -> str:
        """NFC, and U+FFFD for every character that the alphabet lacks."""
        return "".join(c if c in self._ids else UNKNOWN for c in canonical(line))

    def encode(self, line: str) -> list[int]:
        ids = self._ids
        return [ids[character] for character in canonical(line)]

    def encode_batch(self, lines: Sequence[str]) -> list[list[int]]:
        return [self.encode(line) for line in lines]

    def sample_batch(self, lines: Sequence[str], seed: int, alpha: float) -> list[list[int]]:
        return self.encode_batch(lines)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self._characters[id] for id in ids)

    def encode_pieces(self, line: str) -> list[str]:
        return [self._pieces[id] for id in self.encode(line)]

    def decode_pieces(self, pieces: Sequence[str]) -> str:
        ids = {piece: id for id, piece in enumerate(self._pieces)}
        if unknown := [piece for piece in pieces if piece not in ids]:
            raise unknown_piece(unknown[0])
        return self.decode([ids[piece] for piece in pieces])

    def piece(self, id: int) -> str:
        return self._pieces[id]

    def save(self, folder: Path, name: str) -> str:
        file_name = f"{name}.alphabet.json"
        with atomic_file(folder / file_name, "w") as file:
            file.write(json.dumps({"alphabet": self._alphabet}) + "\n")
        return file_name


def _shown(character: str) -> str:
    """A character as a piece, which holds no space and cannot be mistaken for the end of a line."""
    if character == " ":
        return _SPACE
    return character if character.isprintable() and character != _SPACE else f"<U+{ord(character):04X}>"


def learn_alphabet(counts: Mapping[str, int], vocab_size: int) -> str:
    """The characters of `counts`, at most `vocab_size` less the three special pieces: the most frequent ones."""
    frequent = sorted(counts, key=lambda character: (-counts[character], character))
    return "".join(sorted(frequent[: vocab_size - 3]))
