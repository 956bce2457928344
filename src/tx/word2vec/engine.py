"""The engines behind one interface, and which of them a run gets."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tx.config.schema import RunConfig
from tx.errors import TxError, UsageError
from tx.nn.cores import n_cores
from tx.word2vec.numba_cache import has_numba, is_kept, variant
from tx.word2vec.sampling import Matrix

COMPILING_PAYS = 1_500_000  # words over all epochs: compiling takes as long as gensim takes for these
GPU_PAYS = 200_000_000


class Engine(Protocol):
    """Something that learns from blocks of ids. Threads call `train` at the same time, if it is `parallel`.

    What `train` does follows from the matrices and its arguments alone, so that a run is at every block what
    it would be without interruption; with several threads they race for the rows, and no two runs are alike.
    """

    block: int  # ids in a block
    parallel: bool

    def train(self, ids: NDArray[np.int32], rates: tuple[float, float], seed: int) -> tuple[float, int]:
        """Learn from a block, -1 ending a line; the learning rate goes evenly from one of `rates` to the other.

        Returns the summed negative-sampling loss of a sample of the pairs, before they were learned from, and
        the number of these pairs.
        """

    def matrices(self) -> dict[str, Matrix]:
        """All that was learned: "vectors" and "context", `[n_words, dim]` each."""

    def load(self, matrices: dict[str, Matrix]) -> None:
        """Go on from what `matrices` returned."""


def choose_engine(config: RunConfig, n_words: int) -> tuple[str, str]:
    """The engine for `n_words` words over all epochs, and the reason. Raises TxError if it cannot be had."""
    wanted, method = config.word2vec.engine, config.word2vec.method
    if wanted in ("fast", "torch") and method == "cbow":
        raise UsageError(
            f"the engine {wanted} knows skip-gram only", "leave --engine away, or take --engine gensim"
        )
    if wanted == "fast" and not has_numba():
        raise TxError("the engine fast needs numba, which is not installed", "pip install 'tx[fast]'")
    if wanted != "auto":
        return wanted, "as asked"
    if method == "cbow":
        return "gensim", "it alone knows cbow"
    if n_words >= GPU_PAYS and config.train.device != "cpu" and _has_gpu():
        return "torch", f"a GPU, and {n_words:,} words over all epochs"
    if not has_numba():
        return "gensim", "numba is not installed; pip install 'tx[fast]' is about ten times faster"
    sizes = config.word2vec
    if is_kept(variant(sizes.negative, sizes.dim, sizes.window)):
        return "fast", "numba is installed, and the code is compiled already"
    if n_words < COMPILING_PAYS:
        return "gensim", f"{n_words:,} words over all epochs are too few to compile for"
    return "fast", "numba is installed, and compiling pays"


def _has_gpu() -> bool:
    """Whether torch can use a GPU; it is imported only where a driver is, since that takes seconds."""
    if not any(
        Path(device).exists() for device in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    ):
        return False
    import torch

    return torch.cuda.is_available()


def make_engine(name: str, config: RunConfig, words: list[str], counts: NDArray[np.int64]) -> Engine:
    """The engine called `name` with untrained vectors for these words."""
    if name == "fast":
        from tx.word2vec.numba_engine import FastEngine

        return FastEngine(config.word2vec, counts, config.seed)
    if name == "torch":
        from tx.word2vec.torch_engine import TorchEngine

        return TorchEngine(config.word2vec, counts, config.seed, config.train.device)
    from tx.word2vec.gensim_engine import GensimEngine

    return GensimEngine(config.word2vec, words, counts, config.seed)


def n_threads(config: RunConfig, engine: Engine) -> int:
    """Threads to train with."""
    return (config.train.threads or n_cores()) if engine.parallel else 1
