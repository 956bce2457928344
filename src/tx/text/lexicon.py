"""The word vocabulary of a tagger, which represents all other words by pieces, characters and shapes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from tx.errors import TxError
from tx.files import atomic_file
from tx.text.tokenizer import canonical


class Lexicon:
    """Words with ids from 1 on; 0 is the unknown word.

    A word is looked up as it is, then in lower case.
    """

    kind = "lexicon"

    def __init__(self, words: Iterable[str]) -> None:
        self.words = list(words)
        self._ids = {word: id for id, word in enumerate(self.words, start=1)}

    @classmethod
    def parse(cls, content: bytes, name: str) -> Self:
        """Parse the file that `save` wrote; error messages call it `name`. Raises TxError if it is damaged."""
        try:
            lexicon = cls(content.decode().removesuffix("\n").split("\n") if content else ())
            if len(lexicon._ids) == len(lexicon.words) and "" not in lexicon._ids:
                return lexicon
        except UnicodeDecodeError:
            pass
        raise TxError(f"{name} is not a list of words, or is damaged", "copy or train the model again")

    def __len__(self) -> int:
        """The number of ids."""
        return len(self.words) + 1

    def id(self, word: str) -> int:
        """The id of `word`, or 0."""
        word = canonical(word)
        return self._ids.get(word) or self._ids.get(word.lower(), 0)

    def save(self, folder: Path, name: str) -> str:
        file_name = f"{name}.txt"
        with atomic_file(folder / file_name, "w") as file:
            file.writelines(f"{word}\n" for word in self.words)
        return file_name


def learn_lexicon(sentences: Iterable[Iterable[str]], known: Iterable[str] = ()) -> Lexicon:
    """A lexicon of the words of the sentences, followed by the other words of `known`.

    A word of a sentence that is not in `known` is added in lower case.
    """
    others = dict.fromkeys(known)
    words = dict[str, None]()
    for sentence in sentences:
        for word in map(canonical, sentence):
            words.setdefault(word if word in others else word.lower())
    return Lexicon(word for word in (words | others) if word and "\n" not in word)
