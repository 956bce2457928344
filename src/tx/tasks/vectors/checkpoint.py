"""The checkpoint of a word2vec run: the matrices, and the progress as JSON."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file

from tx.checksums import check_digest, damaged_run_file, dump_checked, load_checked
from tx.files import atomic_folder, recover_folder, sha256
from tx.package.arrays import pack_header
from tx.training.run import Progress
from tx.word2vec.sampling import Matrix

MATRICES, STATE = "matrices.safetensors", "state.json"
ROWS = 1 << 14  # written at a time


@dataclass
class VectorsProgress(Progress):
    """A step is a block of the text, and what it computes depends only on its number and the matrices."""

    engine: str = ""
    total: int = 0  # steps of the whole run
    loss: float = 0.0  # mean negative-sampling loss of a pair, in the last line of the log


def save_checkpoint(folder: Path, progress: VectorsProgress, matrices: dict[str, Matrix]) -> None:
    """Replace the checkpoint at `folder`. Raises TxError if that fails; the old one then stays."""
    with atomic_folder(folder) as temporary:
        with (temporary / MATRICES).open("wb") as file:
            file.write(pack_header({name: ("F32", matrix.shape) for name, matrix in matrices.items()}))
            for matrix in matrices.values():
                for start in range(0, len(matrix), ROWS):  # a copy of the whole matrix would need more memory
                    file.write(matrix[start : start + ROWS].astype("<f4").tobytes())
        state = {
            name: getattr(progress, name) for name in ("engine", "total", "seconds", "loss", "log_bytes")
        }
        state |= {"blocks": progress.step, "words": progress.tokens, "digest": sha256(temporary / MATRICES)}
        (temporary / STATE).write_text(dump_checked(state))


def load_checkpoint(folder: Path) -> tuple[VectorsProgress, dict[str, Matrix]]:
    """The checkpoint that `save_checkpoint` wrote. Raises TxError if it is missing or damaged."""
    recover_folder(folder)
    try:
        state = load_checked(folder / STATE)
    except FileNotFoundError as error:
        raise damaged_run_file(folder / STATE) from error
    check_digest(folder / MATRICES, state.pop("digest"))
    progress = VectorsProgress(step=state.pop("blocks"), tokens=state.pop("words"), **state)
    return progress, load_file(folder / MATRICES)
