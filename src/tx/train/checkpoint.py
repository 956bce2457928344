"""Where a run stands, on disk: weights, optimizer, and a page of JSON; safetensors only, nothing pickled.

A checkpoint is a folder that is written aside and renamed, so a killed run finds a whole one. It names the
digest of each of its files and of itself, and what does not match is refused.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tx.errors import TxError
from tx.files import atomic_folder, cannot_write, recover_folder, sha256

FILES = ("weights.safetensors", "optimizer.safetensors")
STATE = "state.json"


def seal(content: dict[str, Any]) -> str:
    """JSON text of `content` that carries its own digest."""
    return json.dumps({"sha256": _digest(content), **content}, indent=1) + "\n"


def unseal(path: Path) -> dict[str, Any]:
    """The content that `seal` wrote. Raises TxError if it is damaged, FileNotFoundError if there is none."""
    try:
        content = json.loads(path.read_bytes())
        if content.pop("sha256") == _digest(content):
            return content  # type: ignore[no-any-return]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        pass
    raise damaged(path)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def damaged(path: Path) -> TxError:
    """The sentence for a file of a run that is not what tx wrote."""
    return TxError(
        f"{path} is damaged: its content does not match its digest",
        "start again with --overwrite; the best model so far is still in the package",
    )


def check_digest(path: Path, digest: str) -> None:
    """Raise TxError unless `path` is there and has this SHA-256."""
    try:
        if sha256(path) != digest:
            raise damaged(path)
    except OSError as error:
        raise TxError(
            f"cannot read {path}: {error.strerror or error}",
            "start again with --overwrite; the best model so far is still in the package",
        ) from error


def save_checkpoint(
    folder: Path, weights: dict[str, Tensor], optimizer: dict[str, Tensor], state: dict[str, Any]
) -> None:
    """Replace the checkpoint at `folder`. Raises TxError if that fails; the old one then stays."""
    with atomic_folder(folder) as temporary:
        try:
            for name, tensors in zip(FILES, (weights, optimizer), strict=True):
                save_file({key: value.contiguous() for key, value in tensors.items()}, temporary / name)
        except SafetensorError as error:  # so the library tells a full disk
            raise cannot_write(folder, OSError(str(error))) from error
        digests = {name: sha256(temporary / name) for name in FILES}
        (temporary / STATE).write_text(seal({"digests": digests, **state}))


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """What `save_checkpoint` wrote. Raises TxError if there is none, or if it is damaged."""
    recover_folder(folder)
    try:
        state = unseal(folder / STATE)
    except FileNotFoundError as error:
        raise TxError(
            f"there is no checkpoint in {folder}",
            "start again with --overwrite; the best model so far is still in the package",
        ) from error
    for name in FILES:
        check_digest(folder / name, state["digests"][name])
    weights, optimizer = (load_file(folder / name) for name in FILES)
    return weights, optimizer, state
