"""`tx tokenize` and `tx detokenize`: lines to pieces or ids, and back."""

from collections.abc import Callable
from typing import Annotated, Literal

from tx.cli import console
from tx.cli.console import option
from tx.cli.pipe import BATCH, Files, Input, Output, input_paths
from tx.errors import TxError, UsageError
from tx.package import find_package, load_package
from tx.text.lines import LineWriter, available_lines, open_input
from tx.text.load_tokenizer import open_tokenizer
from tx.text.tokenizer import Tokenizer

Side = Annotated[
    Literal["src", "tgt"] | None, option("Use the source or the target tokenizer of a translation model.")
]


def tokenize(
    files: Files = None,
    model: console.Model = None,
    ids: Annotated[bool, option("Print ids instead of pieces.")] = False,
    side: Side = None,
    sample: Annotated[
        float,
        option(
            "Subword regularization: BPE-dropout probability, or alpha of unigram sampling.",
            metavar="ALPHA",
            min=0,
            max=1,
        ),
    ] = 0.0,
    seed: Annotated[int, option("Random seed of --sample.")] = 1,
    input: Input = "-",
    output: Output = "-",
    quiet: console.Quiet = False,
) -> None:
    """Split each line of text into pieces with a tokenizer, separated by spaces.

    ```
    $ tx tokenize -m bpe8k < train.de > train.pieces
    $ echo "Ein Hund." | tx tokenize -m bpe8k --ids | tx detokenize -m bpe8k --ids
    $ tx tokenize -m unigram8k --sample 0.1 --seed 3 train.de.gz -o pieces.gz
    ```

    The model can be any package that contains a tokenizer. The same --seed gives the same pieces, in whatever batches
    the lines arrive.
    """
    tokenizer = _open(model, side)
    if sample and tokenizer.kind not in ("bpe", "unigram"):
        raise UsageError(f"a {tokenizer.kind} tokenizer cannot sample segmentations", "omit --sample")

    def encode(line: str, number: int) -> str:
        if sample:
            found = tokenizer.sample_batch([line], seed * 1_000_003 + number, sample)[0]
        elif ids:
            found = tokenizer.encode(line)
        else:
            return " ".join(tokenizer.encode_pieces(line))
        return " ".join(str(id) if ids else tokenizer.piece(id) for id in found)

    _each_line(files, input, output, encode)


def detokenize(
    files: Files = None,
    model: console.Model = None,
    ids: Annotated[bool, option("Read ids instead of pieces.")] = False,
    side: Side = None,
    input: Input = "-",
    output: Output = "-",
    quiet: console.Quiet = False,
) -> None:
    """Join the pieces (with --ids, the ids) of each line into text.

    ```
    $ tx detokenize -m bpe8k < train.pieces
    $ tx tokenize -m bpe8k < train.de | tx detokenize -m bpe8k | diff - train.de
    ```

    The result is the original text in Unicode's composed form (NFC), without a carriage return at the end of the
    line. SentencePiece writes U+2581 for a space, so a U+2581 of the text comes back as a space.
    """
    tokenizer = _open(model, side)

    def decode(line: str, number: int) -> str:
        pieces = [piece for piece in line.split(" ") if piece]
        if not ids:
            return tokenizer.decode_pieces(pieces)
        for piece in pieces:
            if not (piece.isascii() and piece.isdigit() and len(piece) < 10 and int(piece) < len(tokenizer)):
                raise TxError(
                    f"'{piece}' is not an id of this tokenizer, whose ids are 0 to {len(tokenizer) - 1:,}",
                    "omit --ids to read pieces",
                )
        return tokenizer.decode([int(piece) for piece in pieces])

    _each_line(files, input, output, decode)


def _open(model: str | None, side: str | None) -> Tokenizer:
    return load_package(find_package(model, "tokenizer"), lambda package: open_tokenizer(package, side))


def _each_line(files: list[str] | None, input: str, output: str, change: Callable[[str, int], str]) -> None:
    """Write `change(line, number)` for each line of the inputs, as they arrive."""
    paths = input_paths(files, input)
    with LineWriter(output, exact=True) as writer:
        number = 0
        for path in paths:
            before = number  # lines of earlier files
            with open_input(path) as stream:
                for lines in available_lines(stream, BATCH, console.warn):
                    changed = []
                    for number, line in enumerate(lines, number + 1):  # noqa: B020
                        try:
                            changed.append(change(line, number))
                        except TxError as error:
                            n = number - before
                            where = f"line {n}" if path == "-" else f"{path}:{n}"
                            raise TxError(f"{where}: {error.message}", error.hint) from error
                    writer.write(changed)
