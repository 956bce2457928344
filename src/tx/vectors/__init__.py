"""Words as vectors: kept, searched, and exchanged with other tools, without torch."""

import shlex
from pathlib import Path

from tx.errors import TxError
from tx.package import find, load_package
from tx.vectors.store import TASK, WordVectors, read_vectors, write_blocks, write_vectors

__all__ = ["TASK", "WordVectors", "open_vectors", "read_vectors", "write_blocks", "write_vectors"]


def open_vectors(name: str | Path | None = None, side: str | None = None) -> WordVectors:
    """The vectors of the package called `name`, or in the folder `name`; without one, the default for vectors.

    Of a package for another task it is the embedding matrix, with the tokenizer's pieces as words (`side`:
    "src" or "tgt", where there are two). Raises TxError if there are none, or they are damaged.
    """
    if name is not None and Path(name).is_file():
        raise TxError(
            f"{name} is a file, and vectors are read from a package",
            f"import it once: tx models import {shlex.quote(str(name))} -o NAME",
        )
    from tx.vectors.embedding import read_embedding

    return load_package(
        find(None if name is None else str(name), TASK),
        lambda package: read_vectors(package) if package.task == TASK else read_embedding(package, side),
    )
