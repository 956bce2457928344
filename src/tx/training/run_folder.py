"""The run folder of a package: who may write there, when a run has begun, and what it was begun with.

A run has begun once run/config.toml is there, which is written last. inputs.json holds the configuration and
the digest of every file of text: a run resumes with the same ones, or not at all.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tx.checksums import damaged_run_file, dump_checked, load_checked
from tx.config.schema import RunConfig
from tx.config.toml import to_toml
from tx.errors import TxError
from tx.files import atomic_file, remove, sha256, write_errors
from tx.package import MANIFEST, not_a_package

LOCK, OWNER, CONFIG, INPUTS = "lock", "process", "config.toml", "inputs.json"

# What may change in a resumed run: its limits and its display, never what an update computes.
RESUMABLE = {
    *("train.max_steps", "train.max_epochs", "train.max_time", "train.patience", "train.threads"),
    *("train.device", "train.log_every", "train.tensorboard"),
}


def has_begun(run: Path) -> bool:
    """Whether there is a run that can be resumed."""
    return (run / CONFIG).is_file()


@contextmanager
def claim(out: Path, resume: bool, overwrite: bool) -> Iterator[None]:
    """Hold the run folder of the package `out` for one process, and leave no trace if no run begins.

    Raises TxError if there is something at `out` already and neither `resume` nor `overwrite` is given, if it
    is nothing that tx wrote, or if another process trains there. What is there stays until a run begins.
    """
    run = out / "run"
    _check_place(out, resume, overwrite)
    with write_errors(run, inside=run):
        run.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(run / LOCK, blocking=False).acquire()
        except Timeout as error:
            owner = "another process"
            with suppress(OSError):
                owner = f"process {(run / OWNER).read_text()}"
            raise TxError(
                f"{out} is being trained by {owner}", "wait for it, or choose another -o"
            ) from error
    with lock:  # which the end of the process frees, too
        try:
            with write_errors(run / OWNER, inside=run):
                (run / OWNER).write_text(str(os.getpid()))
            yield
        finally:
            if not has_begun(run):
                clear(run)
                remove(run)
                if not any(out.iterdir()):
                    out.rmdir()


def _check_place(out: Path, resume: bool, overwrite: bool) -> None:
    """Raise TxError if a run must not begin at `out`; the remains of a start that was killed are allowed."""
    run = out / "run"
    entries = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    if resume or not (out.exists() or out.is_symlink()):
        return
    ours = (run / LOCK).exists() or not run.exists() or (run.is_dir() and not any(run.iterdir()))
    is_package = ours and out.is_dir() and (MANIFEST in entries or entries <= {"run"})
    if not is_package and (overwrite or not has_begun(run)):
        raise not_a_package(out, overwrite)
    if not overwrite and (has_begun(run) or entries - {"run"}):
        raise TxError(
            f"{out} exists already",
            "resume it with --resume, replace it with --overwrite, or choose another -o",
        )


def clear(run: Path, but: Path | None = None) -> None:
    """Remove an earlier run, its config.toml first; the entry `but` stays."""
    with write_errors(run, inside=run):
        remove(run / CONFIG)
        for entry in run.iterdir() if run.exists() else ():
            if entry.name not in (LOCK, OWNER) and entry != but:
                remove(entry)


def save_inputs(run: Path, config: RunConfig, files: Sequence[str] = ()) -> None:
    """Store the configuration that the run begins with, and the digests of the `files` that must not change.

    It writes config.toml, which marks the run as begun, last.
    """
    digests = {path: sha256(Path(path)) for path in files}
    with atomic_file(run / INPUTS, "w") as file:
        file.write(dump_checked({"config": asdict(config), "files": digests}))
    save_config(run, config)


def save_config(run: Path, config: RunConfig) -> None:
    """Write run/config.toml."""
    with atomic_file(run / CONFIG, "w") as file:
        file.write(to_toml(config))


def check_inputs(run: Path, config: RunConfig) -> None:
    """Raise TxError, naming the difference, unless `config` and the text are those that the run began with."""
    try:
        stored = load_checked(run / INPUTS)
    except FileNotFoundError as error:
        raise damaged_run_file(run / INPUTS) from error
    now, before = _flat(asdict(config)), _flat(asdict(type(config)())) | _flat(stored["config"])
    keys = [
        key for key in before if key in now or key.startswith("model.")
    ]  # others: of other tasks or versions
    for key in [*keys, *(now.keys() - before.keys())]:
        if before.get(key) != now.get(key) and key not in RESUMABLE:
            raise TxError(
                f"{key} was {before.get(key)!r} in this run and is {now.get(key)!r} now",
                "a run is resumed with its original settings: omit the change, or start a new run with another -o",
            )
    for path, digest in stored["files"].items():
        if not Path(path).is_file():
            raise TxError(f"there is no file {path}", "resume in the folder where the run began")
        if sha256(Path(path)) != digest:
            raise TxError(
                f"{path} has changed since the run began",
                "restore the old file, or start a new run with another -o",
            )


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    tables = {key: value for key, value in config.items() if isinstance(value, dict)}
    inner = {f"{table}.{key}": value for table, values in tables.items() for key, value in values.items()}
    return {key: value for key, value in config.items() if key not in tables} | inner
