"""The checkpoint of a run: weights, optimizer state and JSON; safetensors only, nothing pickled.

A checkpoint is a folder that is written aside and renamed, so a killed run finds a whole one. It names the
digest of each of its files and of itself, and what does not match is refused.
"""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tx.checksums import check_digest, dump_checked, load_checked
from tx.errors import TxError
from tx.files import atomic_folder, cannot_write, recover_folder, sha256

FILES = ("weights.safetensors", "optimizer.safetensors")
STATE = "state.json"


def save_checkpoint(
    folder: Path, weights: dict[str, Tensor], optimizer: dict[str, Tensor], state: dict[str, Any]
) -> None:
    """Replace the checkpoint at `folder`. Raises TxError if that fails; the old one then stays."""
    with atomic_folder(folder) as temporary:
        try:
            for name, tensors in zip(FILES, (weights, optimizer), strict=True):
                save_file({key: value.contiguous() for key, value in tensors.items()}, temporary / name)
        except SafetensorError as error:  # the library's error for a full disk
            raise cannot_write(folder, OSError(str(error))) from error
        digests = {name: sha256(temporary / name) for name in FILES}
        (temporary / STATE).write_text(dump_checked({"digests": digests, **state}))


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """What `save_checkpoint` wrote. Raises TxError if there is none, or if it is damaged."""
    recover_folder(folder)
    state = load_state(folder)
    for name in FILES:
        check_digest(folder / name, state["digests"][name])
    weights, optimizer = (load_file(folder / name) for name in FILES)
    return weights, optimizer, state


def load_state(folder: Path) -> dict[str, Any]:
    """The `state` of a checkpoint alone. Raises TxError if there is none, or if it is damaged."""
    try:
        return load_checked(folder / STATE)
    except FileNotFoundError as error:
        raise TxError(
            f"there is no checkpoint in {folder}",
            "start again with --overwrite; the best model so far is still in the package",
        ) from error
