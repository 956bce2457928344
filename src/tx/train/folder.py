"""The run folder: who may write into a package while it is trained, and what happens to what is there."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tx.errors import TxError
from tx.files import remove


@contextmanager
def claim(out: Path, resume: bool, overwrite: bool) -> Iterator[Path]:
    """Hold the run folder of the package `out` for one process.

    Raises TxError if there is something at `out` already and neither `resume` nor `overwrite` is given, or if
    another process trains there. With `overwrite` an earlier run is forgotten at once; the package itself stays
    until the first better one replaces it.
    """
    if not resume and not overwrite and out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise TxError(
            f"{out} exists already", "go on with --resume, replace it with --overwrite, or choose another -o"
        )
    run = out / "run"
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TxError(
            f"cannot make the folder {run}: {error.strerror or error}", "choose another -o"
        ) from error
    descriptor = os.open(run / "lock", os.O_RDWR | os.O_CREAT)
    try:
        _lock(descriptor, out)
        if overwrite and not resume:
            for entry in run.iterdir():
                if entry.name != "lock":
                    remove(entry)
        yield out
    finally:
        os.close(descriptor)  # which frees the lock, as the death of the process does
        if not any(entry.name != "lock" for entry in run.iterdir()):
            remove(run)
            if not any(out.iterdir()):
                out.rmdir()


def _lock(descriptor: int, out: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 32, 0).decode() or "another process"
        raise TxError(
            f"{out} is being trained by process {owner}", "wait for it, or choose another -o"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a dry run, which leaves nothing behind."""
    with TemporaryDirectory(prefix="tx-") as folder:
        yield Path(folder)
