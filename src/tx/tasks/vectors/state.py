"""Where a run of word2vec stands, on disk: the matrices, the number of blocks done, and a page of JSON."""

from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.numpy import load_file

from tx.checksums import check_digest, damaged_run_file, dump_checked, load_checked
from tx.files import atomic_folder, recover_folder, sha256
from tx.package.arrays import pack_header
from tx.word2vec.sampling import Matrix

MATRICES, STATE = "matrices.safetensors", "state.json"
ROWS = 1 << 14  # written at a time


@dataclass
class Progress:
    """How far a run has come; what a block does follows from its number, so there is nothing else to keep."""

    engine: str
    blocks: int = 0  # done, of all epochs together
    total: int = 0
    words: int = 0
    seconds: float = 0.0
    loss: float = 0.0  # mean negative-sampling loss of a pair, lately
    log_bytes: int = 0

    @property
    def finished(self) -> bool:
        return self.blocks >= self.total


def save_state(folder: Path, progress: Progress, matrices: dict[str, Matrix]) -> None:
    """Replace the state at `folder`. Raises TxError if that fails; the old one then stays."""
    with atomic_folder(folder) as temporary:
        with (temporary / MATRICES).open("wb") as file:
            file.write(pack_header({name: ("F32", matrix.shape) for name, matrix in matrices.items()}))
            for matrix in matrices.values():
                for start in range(0, len(matrix), ROWS):  # a whole copy would show in the peak of memory
                    file.write(matrix[start : start + ROWS].astype("<f4").tobytes())
        content = asdict(progress) | {"digest": sha256(temporary / MATRICES)}
        (temporary / STATE).write_text(dump_checked(content))


def load_state(folder: Path) -> tuple[Progress, dict[str, Matrix]]:
    """What `save_state` wrote. Raises TxError if it is missing or damaged."""
    recover_folder(folder)
    try:
        content = load_checked(folder / STATE)
    except FileNotFoundError as error:
        raise damaged_run_file(folder / STATE) from error
    check_digest(folder / MATRICES, content.pop("digest"))
    return Progress(**content), load_file(folder / MATRICES)
