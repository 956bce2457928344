"""`tx models import` and `export`: word vectors in the formats of other tools."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tx.cli import console
from tx.cli.console import argument, option
from tx.cli.models import Name
from tx.errors import TxError

if TYPE_CHECKING:
    from tx.vectors.store import Block

Format = Literal["word2vec", "word2vec-binary", "glove", "fasttext"]
_SUFFIXES: dict[str, Format] = {".bin": "word2vec-binary", ".vec": "fasttext"}
_MAX_WARNINGS = 20


def import_(
    file: Annotated[str, argument("FILE", "Word vectors, plain or .gz; - is stdin.")],
    output: Annotated[str, option("Package to write.", "-o", metavar="NAME")],
    format: Annotated[Format | None, option("Format; by default detected from the content.")] = None,
    skip_bad: Annotated[bool, option("Skip faulty rows with a warning instead of stopping.")] = False,
    overwrite: Annotated[bool, option("Replace an existing package.")] = False,
    quiet: console.Quiet = False,
) -> None:
    """Import word vectors from another tool as a package: word2vec (text or binary), GloVe or fastText (.vec).

    ```
    $ tx models import glove.6B.50d.txt -o glove
    $ tx models import GoogleNews-vectors-negative300.bin.gz -o news
    $ tx models import glove.840B.300d.txt -o glove840 --skip-bad
    ```

    A faulty row (too few numbers, a duplicate word, invalid UTF-8 or a non-number) is reported with its line number.
    Pickle files are not accepted.
    """
    from tx.vectors.formats import import_vectors

    n_warnings = 0

    def warn(message: str) -> None:
        nonlocal n_warnings
        n_warnings += 1
        if n_warnings <= _MAX_WARNINGS:
            console.warn(message)

    package = import_vectors(
        file, output, format, skip_bad=skip_bad, overwrite=overwrite, warn=warn, watch=_show_progress
    )
    if n_warnings > _MAX_WARNINGS:
        console.warn(f"and {n_warnings - _MAX_WARNINGS:,} more")
    n_words, dim = package.tensors["vectors"].shape
    console.note(f"{output}: {n_words:,} words, {dim} dimensions; try: tx neighbors WORD --model {output}")


def export(
    name: Name,
    output: Annotated[
        str, option("File to write, compressed if it ends in .gz; - is stdout.", "-o", metavar="FILE")
    ],
    format: Annotated[Format | None, option("Format; by default chosen by the name of FILE.")] = None,
    overwrite: Annotated[bool, option("Replace an existing file.")] = False,
) -> None:
    """Export word vectors for other tools: gensim, spaCy, fastText and most others read one of these formats.

    ```
    $ tx models export vectors -o vectors.bin
    $ tx models export vectors --format glove -o vectors.txt.gz
    $ tx models export vectors --format word2vec -o - | head
    ```

    For any other model, the embeddings are exported.
    """
    from tx.vectors import open_vectors
    from tx.vectors.formats import export_vectors

    path = Path(output)
    if output != "-" and path.is_file() and not overwrite:
        raise TxError(f"{output} exists already", "replace it with --overwrite, or choose another -o")
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    export_vectors(open_vectors(name), path, format or _SUFFIXES.get(plain.suffix, "word2vec"))


def _show_progress(blocks: "Iterable[Block]") -> "Iterator[Block]":
    """Show the number of words read on a terminal."""
    n_words = 0
    with console.stderr().status("reading") as status:
        for block in blocks:
            yield block
            n_words += len(block[0])
            status.update(f"{n_words:,} words read")
