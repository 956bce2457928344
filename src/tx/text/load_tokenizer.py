"""Loading the tokenizers of a package by their kind."""

from pathlib import Path

from tx.errors import TxError
from tx.package import Package
from tx.text.alphabet import AlphabetTokenizer
from tx.text.tokenizer import Tokenizer, check_kind
from tx.text.wordpiece import WordPieceTokenizer


def load_tokenizer(kind: str, path: Path) -> Tokenizer:
    """Read the file that a tokenizer of this kind saved. Raises TxError where it is missing or damaged."""
    check_kind(kind)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TxError(
            f"cannot read the tokenizer {path}: {error.strerror or error}", "check its permissions"
        ) from error
    if kind == "wordpiece":
        return WordPieceTokenizer.parse(content, str(path))
    if kind == "alphabet":
        return AlphabetTokenizer.parse(content, str(path))
    from tx.text.sentencepiece import SentencePieceTokenizer  # imports a library that the others do not need

    return SentencePieceTokenizer(kind, content, str(path))


def open_tokenizer(package: Package, side: str | None = None) -> Tokenizer:
    """The tokenizer of an opened package; `side` is "src" or "tgt", which a shared tokenizer serves both.

    Raises TxError if the package has no tokenizer, or has two and no side is given.
    """
    entries = package.tokenizers
    chosen = side if side in entries else "tokenizer"
    if chosen not in entries:
        if not entries:
            raise TxError(f"{package.path} has no tokenizer", "name another package with -m")
        lack = f"no tokenizer '{side}'" if side else "a tokenizer for each side"
        choices = " or ".join(f"--side {name}" for name in sorted(entries))
        raise TxError(f"{package.path} has {lack}", f"choose one with {choices}")
    return load_tokenizer(entries[chosen]["kind"], package.file(entries[chosen]["file"]))


def open_tokenizers(package: Package) -> tuple[Tokenizer, Tokenizer]:
    """The source and target tokenizer of a translator: one object twice where they share a vocabulary."""
    src = open_tokenizer(package, "src")
    return src, src if "tokenizer" in package.tokenizers else open_tokenizer(package, "tgt")
