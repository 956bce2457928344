"""A cache of the SHA-256 of large files, so that a query does not hash gigabytes each time.

A file is identified by its device, inode, size, mtime and ctime; a program cannot set ctime. git detects changes in
the same way, and avoids the same race: a file that changed a moment ago may change again within one tick of the
clock, so it is not cached yet. Silent corruption on disk is not detected; `tx models show` hashes everything.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from tx.errors import TxError
from tx.files import atomic_file, cache_folder

LARGE = 1 << 25  # bytes; hashing a smaller file takes less than 50 ms
_SETTLED = 2_000_000_000  # ns since the last change; the coarsest clock of a file system ticks every 2 s


def is_verified(file: os.stat_result, digest: str) -> bool:
    """Whether this file, unchanged, was found to have this SHA-256."""
    with suppress(OSError, ValueError, RuntimeError):  # RuntimeError: there is no home folder
        return file.st_size >= LARGE and _record(file).read_text(encoding="ascii") == _line(file, digest)
    return False


def store_verified(file: os.stat_result, digest: str) -> None:
    """Record that `file` has this SHA-256, if it is large and has not changed recently; errors are ignored."""
    changed = max(file.st_mtime_ns, file.st_ctime_ns)
    if file.st_size >= LARGE and time.time_ns() - changed > _SETTLED:
        with suppress(OSError, TxError, RuntimeError), atomic_file(_record(file), "w") as record:
            record.write(_line(file, digest))


def _record(file: os.stat_result) -> Path:
    return cache_folder() / "verified" / f"{file.st_dev:x}-{file.st_ino:x}"


def _line(file: os.stat_result, digest: str) -> str:
    return f"{file.st_size} {file.st_mtime_ns} {file.st_ctime_ns} {digest}\n"
