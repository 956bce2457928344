"""Where a run stands, on disk: weights, optimizer, and a page of JSON; safetensors only, nothing pickled.

A checkpoint is a folder that is written aside and renamed, so a killed run finds a whole one. It names the
digest of each of its files, and one that does not match is refused.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tx.errors import TxError
from tx.files import atomic_folder, recover_folder, sha256

FILES = ("weights.safetensors", "optimizer.safetensors")


def save_checkpoint(
    folder: Path, weights: dict[str, Tensor], optimizer: dict[str, Tensor], state: dict[str, Any]
) -> None:
    """Replace the checkpoint at `folder`."""
    with atomic_folder(folder) as temporary:
        for name, tensors in zip(FILES, (weights, optimizer), strict=True):
            save_file({key: value.contiguous() for key, value in tensors.items()}, temporary / name)
        digests = {name: sha256(temporary / name) for name in FILES}
        (temporary / "state.json").write_text(json.dumps({"digests": digests, **state}, indent=1))


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """What `save_checkpoint` wrote. Raises TxError if there is none, or if it is damaged."""
    recover_folder(folder)
    try:
        state = json.loads((folder / "state.json").read_text())
        for name in FILES:
            if sha256(folder / name) != state["digests"][name]:
                raise TxError(
                    f"the checkpoint {folder / name} is damaged: its content does not match its digest",
                    "start again with --overwrite; the best model so far is still in the package",
                )
        weights, optimizer = (load_file(folder / name) for name in FILES)
    except FileNotFoundError as error:
        raise TxError(f"there is no checkpoint to resume in {folder.parent.parent}") from error
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise TxError(
            f"the checkpoint {folder} cannot be read: {error}",
            "start again with --overwrite; the best model so far is still in the package",
        ) from error
    return weights, optimizer, state
