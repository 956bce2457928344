"""JSON files that contain their own checksum, and files checked against a known one: the state of training runs."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tx.errors import TxError
from tx.files import sha256


def dump_checked(content: dict[str, Any]) -> str:
    """`content` as JSON, with its SHA-256."""
    return json.dumps({"sha256": _digest(content), **content}, indent=1) + "\n"


def load_checked(path: Path) -> dict[str, Any]:
    """The content that `dump_checked` wrote. Raises TxError if damaged, FileNotFoundError if missing."""
    try:
        content = json.loads(path.read_bytes())
        if content.pop("sha256") == _digest(content):
            return content  # type: ignore[no-any-return]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        pass
    raise damaged_run_file(path)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def damaged_run_file(path: Path) -> TxError:
    """The error for a file of a run whose content is not what tx wrote."""
    return TxError(
        f"{path} is damaged: its content does not match its digest",
        "start again with --overwrite; the best model so far is still in the package",
    )


def check_digest(path: Path, digest: str) -> None:
    """Raise TxError unless `path` is there and has this SHA-256."""
    try:
        if sha256(path) != digest:
            raise damaged_run_file(path)
    except OSError as error:
        raise TxError(
            f"cannot read {path}: {error.strerror or error}",
            "start again with --overwrite; the best model so far is still in the package",
        ) from error
