"""The embedding matrix of any model as word vectors: its rows, named by the pieces of its tokenizer."""

import numpy as np

from tx.errors import TxError
from tx.package import WEIGHTS, Package
from tx.package.arrays import map_tensor
from tx.package.manifest import damaged
from tx.text.tokenizer import open_tokenizer
from tx.vectors.store import WordVectors

_NAMES = ("embedding.weight", "tgt_embedding.weight", "src_embedding.weight")


def read_embedding(package: Package, side: str | None = None) -> WordVectors:
    """The embeddings of an opened package that has a tokenizer; `side` is "src" or "tgt" where it has two.

    Read as the file states them, without torch: before any scaling in the model, and without positions.
    Raises TxError if the package has no embedding matrix, or one for each side and `side` is not given.
    """
    names = [name for name in (f"{side}_embedding.weight", *_NAMES) if name in package.tensors]
    if not names:
        raise TxError(
            f"{package.path} is a {package.task} package without word vectors or embeddings",
            "`tx models list` shows the packages there are",
        )
    tokenizer = open_tokenizer(package, side)
    where, tensor = package.file(WEIGHTS), package.tensors[names[0]]
    if len(tensor.shape) != 2 or tensor.shape[0] != len(tokenizer):
        raise damaged(where, f"{names[0]} has no row for each of the {len(tokenizer)} pieces")
    matrix = map_tensor(where, tensor).astype(np.float32)
    pieces = (tokenizer.piece(id).replace("\n", "\\n") for id in range(len(tokenizer)))
    return WordVectors.of(pieces, matrix, name=package.name)
