"""Opening a package: everything is checked before its use, and a reader never sees half of an update.

A writer may replace a package while it is read (see `tx.package.write`). A reader needs no lock: it reads model.json,
then the files, then model.json again, and starts again if that has changed. Operating systems call this a seqlock;
here the manifest is the sequence number.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from tx.errors import TxError
from tx.package.hash_cache import is_verified, store_verified
from tx.package.manifest import (
    HF_WEIGHTS,
    MANIFEST,
    MAX_BYTES,
    WEIGHTS,
    Manifest,
    damaged_file,
    read_manifest,
)
from tx.package.weights import Tensor, read_header

# Follow no links, and do not wait for a named pipe; Windows has no such flags.
_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)
STAGED = ".new-"  # prefix of files that model.json lists already but that do not have their final name yet
_TRIES = 20

T = TypeVar("T")


@dataclass(frozen=True)
class Package:
    """An opened package with verified checksums; `manifest` is model.json, including unknown keys.

    `tensors` are the names, types and shapes of the weights, which are checked before they are loaded.
    """

    path: Path
    manifest: Manifest
    tensors: dict[str, Tensor]
    _files: dict[str, Path] = field(repr=False)
    _seen: bytes = field(repr=False)

    @classmethod
    def open(cls, path: Path | str, task: str | None = None, *, rehash: bool = False) -> "Package":
        """Open and check the package at `path`. Raises TxError if it is missing, damaged, too new or of another task.

        A large file that was verified before and has not changed since is only hashed again with `rehash`. A writer
        may replace the package after this: see `load_package`.
        """
        path = Path(path)
        for _ in range(_TRIES):
            seen = _read_small(path)
            try:
                return cls._verify(path, seen, task, rehash)
            except TxError:
                if _read_small(path) == seen:
                    raise
        raise _never_still(path)

    @classmethod
    def _verify(cls, path: Path, seen: bytes, task: str | None, rehash: bool) -> "Package":
        manifest = read_manifest(path / MANIFEST, seen)
        if task is not None and manifest["task"] != task:
            raise TxError(
                f"{path} is a {manifest['task']} package, but a {task} package is needed",
                f"`tx models list` shows the packages there are; --model chooses a {task} package",
            )
        files, tensors = {}, {}
        for name, entry in manifest["files"].items():
            files[name], header = _verify_file(path, name, entry, rehash)
            if name in (WEIGHTS, HF_WEIGHTS):
                tensors = header
        return cls(path, manifest, tensors, files, seen)

    def file(self, name: str) -> Path:
        """The path of the file `name`. Raises TxError if model.json does not list it."""
        if name not in self._files:
            raise TxError(f"{self.path} has no file {name}")
        return self._files[name]

    def is_current(self) -> bool:
        """Whether the package is unchanged since it was opened."""
        with suppress(TxError):
            return _read_small(self.path) == self._seen and all(
                file.exists() for file in self._files.values()
            )
        return False

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def task(self) -> str:
        return str(self.manifest["task"])

    @property
    def arch(self) -> str | None:
        arch: str | None = self.manifest["arch"]
        return arch

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.manifest["config"])

    @property
    def tokenizers(self) -> dict[str, dict[str, Any]]:
        return dict(self.manifest["tokenizers"])

    @property
    def decode(self) -> dict[str, Any]:
        return dict(self.manifest["decode"])

    @property
    def data(self) -> dict[str, Any]:
        return dict(self.manifest["data"])

    @property
    def scores(self) -> list[dict[str, Any]]:
        return list(self.manifest["scores"])


def load_package(path: Path | str, build: Callable[[Package], T], task: str | None = None) -> T:
    """Open a package and call `build` on it, again if a writer replaced the package meanwhile.

    The result comes from the old package or from the new one, never from both. Raises the errors of `Package.open`
    and `build`.
    """
    for _ in range(_TRIES):
        package = Package.open(path, task)
        try:
            built = build(package)
        except Exception:
            if package.is_current():
                raise
            continue
        if package.is_current():
            return built
    raise _never_still(Path(path))


def read_unverified(path: Path) -> Manifest:
    """The model.json of the package at `path`; its files are not checked. Raises TxError."""
    return read_manifest(path / MANIFEST, _read_small(path))


def staged(path: Path, name: str, entry: dict[str, Any]) -> Path:
    """The path of a new file `name` between the commit of model.json and its final rename."""
    return path / f"{STAGED}{entry['sha256'][:16]}-{name}"


def _never_still(path: Path) -> TxError:
    return TxError(f"{path} is being rewritten continuously", "try again later")


def _read_small(path: Path) -> bytes:
    """The content of the model.json in `path`."""
    manifest = path / MANIFEST
    try:
        with _open_regular(manifest) as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _no_package(path) from None
    except NotADirectoryError:
        raise TxError(f"{path} is a file, and a package is a folder", "give the folder") from None
    if len(data) > MAX_BYTES:
        raise damaged_file(manifest, "it is too large")
    return data


def _no_package(path: Path) -> TxError:
    if not path.is_dir():
        return TxError(f"there is no package at {path}", "`tx models list` shows the packages there are")
    if (path / "run").is_dir():
        return TxError(
            f"{path} has no {MANIFEST} yet",
            "its training run has not written the package yet; see its run folder",
        )
    return TxError(f"{path} is not a package: it has no {MANIFEST}", "give a folder that tx wrote")


def _open_regular(path: Path) -> BufferedReader:
    """Open a regular file without following links. Raises TxError, or FileNotFoundError if there is none."""
    try:
        descriptor = os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise TxError(
                f"{path} is a link, but packages contain regular files only", "replace it by a copy"
            ) from None
        raise TxError(f"cannot read {path}: {error.strerror}", "check its permissions and the disk") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise damaged_file(path, "it is not a regular file")
    return os.fdopen(descriptor, "rb")


def _verify_file(
    path: Path, name: str, entry: dict[str, Any], rehash: bool
) -> tuple[Path, dict[str, Tensor]]:
    """Find and check one listed file; its path and, for safetensors, its header."""
    # The staged name comes first: if it has been renamed meanwhile, the file has its final name.
    for where in (staged(path, name, entry), path / name):
        with suppress(FileNotFoundError, NotADirectoryError), _open_regular(where) as file:
            return where, _verify_content(file, where, entry, rehash)
    raise TxError(
        f"{path / name} is missing, and {MANIFEST} lists it", "copy, download or train the package again"
    )


def _verify_content(
    file: BufferedReader, where: Path, entry: dict[str, Any], rehash: bool
) -> dict[str, Tensor]:
    found = os.fstat(file.fileno())
    if found.st_size != entry["bytes"]:
        raise damaged_file(where, f"it has {found.st_size:,} bytes, and {MANIFEST} lists {entry['bytes']:,}")
    if rehash or not is_verified(found, entry["sha256"]):
        try:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise TxError(
                f"cannot read {where}: {error.strerror}", "check its permissions and the disk"
            ) from None
        if digest != entry["sha256"]:
            raise damaged_file(where, f"its SHA-256 is not the one {MANIFEST} lists")
        store_verified(found, digest)
    return read_header(file, found.st_size, where) if where.suffix == ".safetensors" else {}
