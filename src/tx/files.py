"""The one way tx writes to disk: aside, synced, renamed.

Every file and folder that tx keeps goes through this module, so that a crash at any moment leaves the old
state or the new one, and so that tests can make the n-th write fail. The order (write, fsync, rename, fsync
of the parent) is the one databases use.
"""

import errno
import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tx.errors import TxError

TEMPORARY = ".tmp-"  # what starts so is unfinished or already replaced: never read, removed when found


def _aside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; what is not there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _clear_litter(path: Path) -> None:
    """Remove what killed processes left when they wrote `path`."""
    for litter in path.parent.glob(f"{TEMPORARY}{glob.escape(path.name)}-*"):
        process = litter.name.rpartition("-")[2]
        if process.isdecimal() and not _is_alive(int(process)):
            remove(litter)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


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


def fsync_tree(path: Path) -> None:
    """Make a folder and everything in it durable."""
    for entry in sorted(path.rglob("*")):
        if entry.is_file():
            fsync_file(entry)
        else:
            fsync_folder(entry)
    fsync_folder(path)


def cannot_write(path: Path, error: OSError) -> TxError:
    """The sentence for a failed write, with the cause the system gave."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return TxError(
        f"cannot write {path}: {error.strerror or error}",
        f"{'free some space' if full else 'check its permissions'} or choose another place with -o; "
        "what was there before is untouched",
    )


def check_output(path: Path) -> None:
    """Raise TxError where no file can be at `path`, a name that was typed: a mistyped folder is not made."""
    if path.is_dir():
        raise TxError(f"cannot write {path}: it is a folder", "name a file in it")
    if not path.absolute().parent.is_dir():
        raise TxError(
            f"cannot write {path}: there is no folder {path.parent}", f"make it first: mkdir -p {path.parent}"
        )


@contextmanager
def write_errors(path: Path, inside: Path) -> Iterator[None]:
    """Turn a failure to write `path` into its TxError; `inside` is the file or folder where the work is done.

    An OSError that names another file passes: the caller failed to read something meanwhile.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str | bytes | os.PathLike):  # a full disk names no file
            culprit = Path(os.fsdecode(error.filename))
            if not culprit.is_relative_to(inside) and not path.is_relative_to(culprit):
                raise
        raise cannot_write(path, error) from error


@contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary sibling of `path`; on success sync it and rename it onto `path`, else remove it."""
    temporary = _aside(path)
    try:
        with write_errors(path, inside=temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            _clear_litter(path)
            text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
            with temporary.open(mode, **text) as file:  # type: ignore[call-overload]
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            fsync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success sync its files and rename it onto `path`.

    A folder already at `path` is replaced: it is moved aside first, so for a moment neither name exists, and
    `recover_folder` puts back the old one if the process dies right then.
    """
    temporary = _aside(path)
    try:
        with write_errors(path, inside=temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            recover_folder(path)
            _clear_litter(path)
            remove(temporary)
            temporary.mkdir()
            yield temporary
            fsync_tree(temporary)
            if path.exists():
                path.replace(_old(path))
            temporary.replace(path)
            fsync_folder(path.parent)
    finally:
        with suppress(OSError):
            remove(temporary)
            recover_folder(path)


def _old(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{path.name}-old")


def recover_folder(path: Path) -> None:
    """Undo a replacement of `path` that died between its two renames, and clear what it left."""
    old = _old(path)
    if old.exists():
        if path.exists():
            remove(old)
        else:
            old.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which one process at a time can have; the others wait here.

    The end of a process frees its lock. Some network drives have no locks: there nothing is locked.
    """
    from filelock import FileLock  # takes as long to import as all the rest of a command

    lock = FileLock(folder / f"{TEMPORARY}lock", fallback_to_soft=False)
    with suppress(OSError):
        lock.acquire()
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows does not remove an open file
                Path(lock.lock_file).unlink()
            lock.release()


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where tx keeps what it can make again: `cache` in TX_HOME, or tx in the XDG cache folder."""
    if home := os.environ.get("TX_HOME"):
        return Path(home).expanduser() / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tx"
