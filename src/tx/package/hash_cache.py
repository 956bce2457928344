"""A memory of large files whose SHA-256 has been checked, so that a query does not hash gigabytes each time.

A file is known again by its device, inode, size and both of its times; ctime is among them because a program
cannot set it. This is how git knows which files to look into, and the same race is kept out: a file changed a
moment ago may change again within one tick of the clock, so it is not remembered yet. What this cannot see is
a disk that lies; `tx models show` reads everything.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from tx.errors import TxError
from tx.files import atomic_file, cache_folder

LARGE = 1 << 25  # bytes; below, hashing takes less than a twentieth of a second
_SETTLED = 2_000_000_000  # ns since the last change; the coarsest clock of a file system ticks every 2 s


def is_verified(file: os.stat_result, digest: str) -> bool:
    """Whether this very file has been found to have this SHA-256."""
    with suppress(OSError, ValueError, RuntimeError):  # RuntimeError: there is no home folder
        return file.st_size >= LARGE and _record(file).read_text(encoding="ascii") == _line(file, digest)
    return False


def store_verified(file: os.stat_result, digest: str) -> None:
    """Keep in mind that `file` has this SHA-256, if it is large and at rest; where that fails, do without."""
    changed = max(file.st_mtime_ns, file.st_ctime_ns)
    if file.st_size >= LARGE and time.time_ns() - changed > _SETTLED:
        with suppress(OSError, TxError, RuntimeError), atomic_file(_record(file), "w") as record:
            record.write(_line(file, digest))


def _record(file: os.stat_result) -> Path:
    return cache_folder() / "verified" / f"{file.st_dev:x}-{file.st_ino:x}"


def _line(file: os.stat_result, digest: str) -> str:
    return f"{file.st_size} {file.st_mtime_ns} {file.st_ctime_ns} {digest}\n"
