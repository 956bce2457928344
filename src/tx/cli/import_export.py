"""`tx models import` and `export`: vectors from other tools, and for them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tx.cli import console
from tx.cli.models import Name
from tx.errors import TxError, UsageError, did_you_mean

if TYPE_CHECKING:
    from tx.vectors.formats import Format
    from tx.vectors.store import Block

_SUFFIXES: "dict[str, Format]" = {".bin": "word2vec-binary", ".vec": "fasttext"}
_KINDS = "word2vec, word2vec-binary, glove or fasttext"


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Vectors, plain or .gz; - is stdin.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="NAME", help="The package to write.")],
    format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help=f"{_KINDS}; else what the content shows.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Warn of a faulty row and leave it out, instead of stopping.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in -o.")] = False,
    quiet: console.Quiet = False,
) -> None:
    """Make a package of word vectors that another tool wrote: word2vec (text or binary), GloVe, fastText (.vec).

    ```
    $ tx models import glove.6B.50d.txt -o glove
    $ tx models import GoogleNews-vectors-negative300.bin.gz -o news
    $ tx models import glove.840B.300d.txt -o glove840 --skip-bad
    ```

    A row that is short, twice there, not UTF-8 or not a number is named with its line. Pickles are refused.
    """
    console.set_quiet(quiet)
    from tx.vectors.formats import import_vectors

    told = 0

    def warn(message: str) -> None:
        nonlocal told
        told += 1
        if told <= 20:
            console.warn(message)

    package = import_vectors(
        file, output, _checked(format), skip_bad=skip_bad, overwrite=overwrite, warn=warn, watch=_watch
    )
    if told > 20:
        console.warn(f"and {told - 20:,} more")
    n_words, dim = package.tensors["vectors"].shape
    console.note(f"{output}: {n_words:,} words, {dim} dimensions; try: tx neighbors WORD --model {output}")


def export(
    name: Name,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Packed if it ends in .gz; - is stdout.")
    ],
    format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help=f"{_KINDS}; else by the file's name.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write word vectors for another tool: gensim, spaCy, fastText and most others read one of these formats.

    ```
    $ tx models export vectors -o vectors.bin
    $ tx models export vectors --format glove -o vectors.txt.gz
    $ tx models export vectors --format word2vec -o - | head
    ```

    Of any other model, its embeddings are written.
    """
    from tx.vectors import open_vectors
    from tx.vectors.formats import export_vectors

    path = Path(output)
    if output != "-" and path.is_file() and not overwrite:
        raise TxError(f"{output} exists already", "replace it with --overwrite, or choose another -o")
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    export_vectors(open_vectors(name), path, _checked(format) or _SUFFIXES.get(plain.suffix, "word2vec"))


def _checked(format: str | None) -> "Format | None":
    from tx.vectors.formats import FORMATS

    chosen = next((known for known in FORMATS if known == format), None)
    if format is not None and chosen is None:
        hint = did_you_mean(format, FORMATS) or f"the formats are {_KINDS}"
        raise UsageError(f"there is no format '{format}'", hint)
    return chosen


def _watch(blocks: "Iterable[Block]") -> "Iterator[Block]":
    """Show on a terminal how far an import is."""
    n_words = 0
    with console.stderr().status("reading") as status:
        for block in blocks:
            yield block
            n_words += len(block[0])
            status.update(f"{n_words:,} words read")
