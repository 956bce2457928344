"""A character tokenizer with one piece for each character of a text, as in the char-RNN.

Its vocabulary is as small as possible, and closed: a character that does not occur in the text becomes `<unk>`, which
is decoded as U+FFFD. The kind `char` is open.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tx.errors import TxError
from tx.files import atomic_file
from tx.text.tokenizer import EOS, PAD, UNK, UNK_ID, PieceList, canonical

UNKNOWN = "\ufffd"
_SPACE = "\u2581"  # the piece of a space


class _Ids(dict[str, int]):
    def __missing__(self, character: str) -> int:
        return UNK_ID


class AlphabetTokenizer(PieceList):
    """The different characters of the string `alphabet` have the ids from 2 on."""

    kind = "alphabet"

    def __init__(self, alphabet: str) -> None:
        super().__init__([EOS, UNK, *map(_piece_of, alphabet), PAD])
        self._alphabet = alphabet
        self._characters = ["", UNKNOWN, *alphabet, ""]
        self._ids = _Ids({character: id for id, character in enumerate(alphabet, start=2)})

    @classmethod
    def parse(cls, content: bytes, name: str) -> "AlphabetTokenizer":
        """Parse the file that `save` wrote; error messages call it `name`. Raises TxError if it is damaged."""
        try:
            alphabet = json.loads(content)["alphabet"]
            if alphabet and isinstance(alphabet, str) and len(set(alphabet)) == len(alphabet):
                return cls(alphabet)
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        raise TxError(f"{name} is not an alphabet, or is damaged", "copy or train the tokenizer again")

    def normalize(self, line: str) -> str:
        """NFC, and U+FFFD for every character that is not in the alphabet."""
        return "".join(c if c in self._ids else UNKNOWN for c in canonical(line))

    def encode(self, line: str) -> list[int]:
        ids = self._ids
        return [ids[character] for character in canonical(line)]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self._characters[id] for id in ids)

    def save(self, folder: Path, name: str) -> str:
        file_name = f"{name}.alphabet.json"
        with atomic_file(folder / file_name, "w") as file:
            file.write(json.dumps({"alphabet": self._alphabet}) + "\n")
        return file_name


def _piece_of(character: str) -> str:
    """The piece of a character, which contains no space and no line break."""
    if character == " ":
        return _SPACE
    return character if character.isprintable() and character != _SPACE else f"<U+{ord(character):04X}>"


def learn_alphabet(counts: Mapping[str, int], vocab_size: int) -> str:
    """The characters of `counts`; if there are more than `vocab_size` - 3, the most frequent ones."""
    frequent = sorted(counts, key=lambda character: (-counts[character], character))
    return "".join(sorted(frequent[: vocab_size - 3]))
