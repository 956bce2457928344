"""The one way tx writes to disk: aside, synced, renamed.

Every file and folder that tx keeps goes through this module, so that a crash at any moment leaves the old
state or the new one, and so that tests can make the n-th write fail. The order (write, fsync, rename, fsync
of the parent) is the one databases use.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tx.errors import TxError

TEMPORARY = ".tmp-"  # what starts so is unfinished or already replaced: never read, removed when found


def _aside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")


def fsync_folder(path: Path) -> None:
    """Make renames inside `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make the content of a file that a library wrote durable."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> TxError:
    """The sentence for a failed write, with the cause the system gave."""
    return TxError(
        f"cannot write {path}: {error.strerror or error}",
        "free some space or choose another place with -o; what was there before is untouched",
    )


@contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary sibling of `path`; on success sync it and rename it onto `path`, else remove it."""
    temporary = _aside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
        with open(temporary, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success sync its files and rename it onto `path`.

    A folder already at `path` is replaced: it is moved aside first, so for a moment neither name exists, and
    `recover_folder` puts back the old one if the process dies right then.
    """
    temporary = _aside(path)
    old = path.with_name(f"{TEMPORARY}{path.name}-old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(path)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                fsync_file(file)
            else:
                fsync_folder(file)
        fsync_folder(temporary)
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
        fsync_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        recover_folder(path)
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Undo a replacement of `path` that died between its two renames, and clear what it left."""
    old = path.with_name(f"{TEMPORARY}{path.name}-old")
    if old.exists():
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(old, path)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
