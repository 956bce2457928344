"""Crash-safe writing: to a temporary file, which is synced and renamed.

All files and folders that tx writes go through this module, so that a crash at any moment leaves the old state or the
new one, and tests can make the n-th write fail. The order (write, fsync, rename, fsync
of the parent) is that of databases.
"""

import errno
import glob
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tx.errors import TxError

TEMPORARY = ".tmp-"  # prefix of unfinished and replaced files: never read, and removed when found


def _temporary(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of killed processes that wrote `path`."""
    for leftover in path.parent.glob(f"{TEMPORARY}{glob.escape(path.name)}-*"):
        process = leftover.name.rpartition("-")[2]
        if process.isdecimal() and not _is_alive(int(process)):
            remove(leftover)


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # there `os.kill` would end the process
        return process == os.getpid()
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def fsync(path: Path) -> None:
    """Make the content of a file durable, or the renames inside a folder; Windows always does so for folders."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(path: Path) -> None:
    """Make a folder and everything in it durable."""
    for entry in (*sorted(path.rglob("*")), path):
        fsync(entry)


def cannot_write(path: Path, error: OSError) -> TxError:
    """The error for a failed write, with the reason from the operating system."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return TxError(
        f"cannot write {path}: {error.strerror or error}",
        f"{'free some space' if full else 'check its permissions'} or choose another place with -o; "
        "the old content is unchanged",
    )


def check_output(path: Path) -> None:
    """Raise TxError if no file can be written at `path`; folders are not created for it."""
    if path.is_dir():
        raise TxError(f"cannot write {path}: it is a folder", "name a file in it")
    if not path.absolute().parent.is_dir():
        raise TxError(
            f"cannot write {path}: there is no folder {path.parent}", f"make it first: mkdir -p {path.parent}"
        )


@contextmanager
def write_errors(path: Path, inside: Path) -> Iterator[None]:
    """Turn a failure to write `path` into a TxError; `inside` is the file or folder that is written to.

    An OSError that names another file is passed on: the caller failed to read something.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str | bytes | os.PathLike):  # a full disk names none
            culprit = Path(os.fsdecode(error.filename))
            if not culprit.is_relative_to(inside) and not path.is_relative_to(culprit):
                raise
        raise cannot_write(path, error) from error


@contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file next to `path`; on success sync and rename it to `path`, else remove it."""
    temporary = _temporary(path)
    try:
        with write_errors(path, inside=temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(path)
            text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
            with temporary.open(mode, **text) as file:  # type: ignore[call-overload]
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            fsync(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder next to `path`; on success sync its files and rename it to `path`.

    An existing folder at `path` is first renamed, so that for a moment `path` does not exist; if the process dies in
    that moment, `recover_folder` restores the old folder.
    """
    temporary = _temporary(path)
    try:
        with write_errors(path, inside=temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            recover_folder(path)
            _remove_leftovers(path)
            remove(temporary)
            temporary.mkdir()
            yield temporary
            fsync_tree(temporary)
            if path.exists():
                path.replace(_old(path))
            temporary.replace(path)
            fsync(path.parent)
    finally:
        with suppress(OSError):
            remove(temporary)
            recover_folder(path)


def _old(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{path.name}-old")


def recover_folder(path: Path) -> None:
    """Undo a replacement of `path` that was interrupted between its two renames, and remove what it left."""
    old = _old(path)
    if old.exists() and not path.exists():
        old.replace(path)
    remove(old)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`; other processes wait until it is released, at the latest when this process ends.

    On file systems without locks (some network drives) nothing is locked.
    """
    from filelock import FileLock  # slow to import

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


_SETTLED = 2_000_000_000  # ns since the last change; the coarsest clock of a file system ticks every 2 s
_digests: dict[tuple[int, ...], str] = {}


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal.

    A file is hashed once in a process, and again when its device, inode, size or times have changed. A file that
    changed a moment ago may change again within one tick of the clock, so its digest is not remembered.
    """
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        key = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
        if key in _digests:
            return _digests[key]
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > _SETTLED:
        _digests[key] = digest
    return digest


def cache_folder() -> Path:
    """The folder for data that can be computed again: `cache` in TX_HOME, or tx in the XDG cache folder."""
    if home := os.environ.get("TX_HOME"):
        return Path(home).expanduser() / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tx"
