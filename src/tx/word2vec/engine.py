"""The training engines: their common interface, and the choice between them."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError, UsageError
from tx.word2vec.config import Config
from tx.word2vec.jit import has_numba
from tx.word2vec.sampling import Matrix

FAST_FROM = 1_500_000  # words over all epochs; compiling takes as long as gensim takes for these


class Engine(Protocol):
    """Trains vectors on blocks of ids. If it is `parallel`, several threads call `train` at the same time.

    What `train` does depends on the matrices and its arguments only, so that an interrupted run computes what an
    uninterrupted one does. Several threads update the same rows without locks, so that no two runs are equal.
    """

    block: int  # ids in a block
    parallel: bool

    def train(self, ids: NDArray[np.int32], rates: tuple[float, float], seed: int) -> tuple[float, int]:
        """Train on a block, in which -1 ends a line; the learning rate changes linearly between the two `rates`.

        Returns the sum of the negative-sampling losses of a sample of the pairs, each before its update, and the
        number of these pairs.
        """

    def matrices(self) -> dict[str, Matrix]:
        """The parameters: "vectors" and "context", `[n_words, dim]` each."""

    def load(self, matrices: dict[str, Matrix]) -> None:
        """Set the parameters to what `matrices` returned."""


def choose_engine(config: Config, n_words: int) -> tuple[str, str]:
    """The engine for `n_words` words over all epochs, and the reason.

    "auto" depends on the configuration, the size of the text and whether numba is installed, and on nothing else of
    the machine. Raises TxError if the engine cannot be used.
    """
    wanted, method, device = config.word2vec.engine, config.word2vec.method, config.train.device
    if wanted in ("fast", "torch") and method == "cbow":
        hint = "omit --engine, or choose --engine gensim"
        raise UsageError(f"the engine {wanted} supports only skip-gram", hint)
    if wanted == "fast" and not has_numba():
        raise TxError("the engine fast needs numba, which is not installed", "pip install 'tx[fast]'")
    if wanted != "auto":
        return wanted, "as configured"
    if method == "cbow":
        return "gensim", "the only one for CBOW"
    if device not in ("auto", "cpu"):
        return "torch", f"for the device {device}"
    if not has_numba():
        how = "pip install 'tx[fast]' makes training about ten times faster"
        return "gensim", f"numba is not installed; {how}"
    if n_words < FAST_FROM:
        return "gensim", f"--engine fast is faster only above {FAST_FROM:,} words in all epochs together"
    return "fast", f"{n_words:,} words over all epochs"


def make_engine(name: str, config: Config, words: list[str], counts: NDArray[np.int64]) -> Engine:
    """The engine called `name` with untrained vectors for these words."""
    if name == "fast":
        from tx.word2vec.numba_engine import FastEngine

        return FastEngine(config.word2vec, counts, config.seed)
    if name == "torch":
        from tx.word2vec.torch_engine import TorchEngine

        return TorchEngine(config.word2vec, counts, config.seed, config.train.device)
    from tx.word2vec.gensim_engine import GensimEngine

    return GensimEngine(config.word2vec, words, counts, config.seed)
