"""Writing a package so that at any moment, also after a crash, either the old or the new one can be opened.

A new package is built in a temporary folder, which is renamed. An existing one cannot be replaced like that, since it
contains run/ and there is no portable atomic exchange of folders. Instead, renaming model.json is the commit:

    1  build and check the new package in a folder inside the old one
    2  move each changed file to its staged name, `.new-DIGEST-weights.safetensors`
    3  rename the new model.json to model.json: from now on the package is the new one
    4  rename the staged files to their final names, and remove the files that model.json no longer lists

A reader looks for a file under its staged name first, then under its final name. After a crash before 3 the old
model.json lists the old files, which still have their names. After a crash later the new model.json finds its files
staged, and the next writer completes step 4.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, Required, TypedDict, Unpack

from safetensors import SafetensorError

from tx import __version__
from tx.errors import TxError
from tx.files import (
    TEMPORARY,
    atomic_file,
    atomic_folder,
    cannot_write,
    fsync,
    fsync_tree,
    locked,
    remove,
    sha256,
    write_errors,
)
from tx.package.card import is_untouched, model_card
from tx.package.manifest import CARD, FORMAT, MANIFEST, Manifest, read_manifest, serialize_manifest
from tx.package.read import STAGED, Package, staged


class Saveable(Protocol):
    """What a package needs from a tokenizer."""

    @property
    def kind(self) -> str: ...

    def save(self, folder: Path, name: str) -> str:
        """Write a file into `folder` whose name starts with `name`; return the file name."""


class Fields(TypedDict, total=False):
    """The content of model.json except the checksums; only `task` is required."""

    task: Required[str]
    arch: str | None
    config: dict[str, Any]
    tokenizers: Mapping[str, Saveable]  # "tokenizer", or "src" and "tgt"
    decode: dict[str, Any]
    data: dict[str, Any]
    scores: list[dict[str, Any]]  # each with `metric` and `value`, and `data` and `signature` if known


_BUILD = f"{TEMPORARY}package"
_DEFAULTS: Manifest = {"arch": None, "config": {}, "decode": {}, "data": {}, "scores": []}
Fill = Callable[[Path], object]  # writes weights and other files into the folder it is given


def _nothing(folder: Path) -> None:
    """The default `fill`: the package consists of tokenizers only."""


def write_package(
    path: Path | str, fill: Fill = _nothing, *, overwrite: bool = False, **fields: Unpack[Fields]
) -> Package:
    """Write a new package with the tokenizers, and the files that `fill` writes into the folder passed to it.

    Raises TxError as `check_place` does, and if writing fails.
    """
    path = Path(path)
    check_place(path, overwrite)
    if path.exists():
        return update_package(path, fill, **fields)
    with atomic_folder(path) as folder, _library_errors(path):
        _build(folder, path.resolve().name, fill, fields)
    return Package.open(path)


def check_place(path: Path, overwrite: bool) -> None:
    """Raise TxError if `path` exists and is not empty, unless it is a package and `overwrite` is given."""
    if (path.is_dir() and not any(path.iterdir())) or not (path.exists() or path.is_symlink()):
        return
    if not (path / MANIFEST).is_file() and not _holds_only_run(path):
        raise not_a_package(path, overwrite)
    if not overwrite:
        raise TxError(f"{path} exists already", "replace it with --overwrite, or choose another -o")


def not_a_package(path: Path, overwrite: bool) -> TxError:
    """The error for an output that exists and is not a package."""
    only = ", and --overwrite only replaces packages" if overwrite else ""
    return TxError(f"{path} exists and is not a package{only}", "choose another -o")


def _holds_only_run(path: Path) -> bool:
    return path.is_dir() and all(
        entry.name == "run" or entry.name.startswith(".") for entry in path.iterdir()
    )


def update_package(path: Path | str, fill: Fill = _nothing, **fields: Unpack[Fields]) -> Package:
    """Replace the package at `path`, or write the first one; run/ and other files stay.

    A model card that was edited stays, too. Raises TxError if writing fails; the old package is then unchanged.
    """
    path = Path(path)
    with write_errors(path, inside=path), _library_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        with locked(path):
            old = _recover(path)
            folder = path / _BUILD
            try:
                folder.mkdir()
                new = _build(folder, path.resolve().name, fill, fields)
                _install(path, folder, old, new)
            finally:
                remove(folder)
            return Package.open(path)


def update_manifest(package: Package, **changes: Any) -> Package:
    """Change keys of model.json, for example `scores`, and rewrite the card; files and other keys stay.

    Raises TxError if the package has been replaced since it was opened: a score belongs to the model measured.
    """
    path = package.path
    with write_errors(path, inside=path), locked(path):
        current = _manifest_of(path)
        if current.get("files") != package.manifest["files"]:
            raise TxError(f"{path} was replaced while it was in use", "run the command again")
        new, data = serialize_manifest(path / MANIFEST, {**current, **changes, "files": current["files"]})
        with atomic_file(path / MANIFEST) as file:
            file.write(data)
        _write_card(path, model_card(new, package.name))
        return Package.open(path)


def add_scores(package: Package, scores: list[dict[str, Any]]) -> Package:
    """Store `scores` in the package, replacing earlier ones on the same data. Raises as `update_manifest`."""
    data = {score.get("data") for score in scores}
    kept = [old for old in package.scores if old.get("data") not in data]
    return update_manifest(package, scores=[*kept, *scores])


@contextmanager
def _library_errors(path: Path) -> Iterator[None]:
    """Turn the error that safetensors raises on a full disk into the usual TxError."""
    try:
        yield
    except SafetensorError as error:
        raise cannot_write(path, OSError(str(error))) from error


def _build(folder: Path, name: str, fill: Fill, fields: Fields) -> Manifest:
    """Write a complete, synced and verified package into the empty `folder`."""
    fill(folder)
    tokenizers = fields.get("tokenizers", {}).items()
    entries = {
        side: {"kind": tokenizer.kind, "file": tokenizer.save(folder, side)} for side, tokenizer in tokenizers
    }
    files = {
        file.name: {"sha256": sha256(file), "bytes": file.stat().st_size} for file in sorted(folder.iterdir())
    }
    fixed = {"tokenizers": entries, "tx_version": __version__, "files": files}
    new, data = serialize_manifest(folder / MANIFEST, {"format": FORMAT, **_DEFAULTS, **fields, **fixed})
    (folder / MANIFEST).write_bytes(data)
    (folder / CARD).write_text(model_card(new, name), encoding="utf-8", newline="\n")
    fsync_tree(folder)
    Package.open(folder)  # only a valid package may replace the old one
    return new


def _install(path: Path, folder: Path, old: Manifest, new: Manifest) -> None:
    """Steps 2 to 4: move the package built in `folder` to `path`."""
    for name, entry in new["files"].items():
        if old.get("files", {}).get(name) != entry or not _is_intact(path / name, entry):
            (folder / name).replace(staged(path, name, entry))
    fsync(path)
    text = (folder / CARD).read_text(encoding="utf-8")
    (folder / MANIFEST).replace(path / MANIFEST)
    fsync(path)
    _recover(path)
    for name in old.get("files", {}).keys() - new["files"].keys():
        remove(path / name)
    _write_card(path, text)


def _is_intact(path: Path, entry: dict[str, Any]) -> bool:
    return path.is_file() and not path.is_symlink() and sha256(path) == entry["sha256"]


def _recover(path: Path) -> Manifest:
    """Complete step 4 of an interrupted writer, remove its temporary files, and return the manifest."""
    manifest = _manifest_of(path)
    for name, entry in manifest.get("files", {}).items():
        waiting = staged(path, name, entry)
        if waiting.exists():
            waiting.replace(path / name)
    fsync(path)
    for entry in path.iterdir():
        if entry.name.startswith(STAGED) or entry.name == _BUILD:
            remove(entry)
    return manifest


def _manifest_of(path: Path) -> Manifest:
    """The manifest in `path`, or {} if there is none that can be read."""
    with suppress(TxError, FileNotFoundError):
        return read_manifest(path / MANIFEST, (path / MANIFEST).read_bytes())
    return {}


def _write_card(path: Path, text: str) -> None:
    """Write the model card, unless it has been edited."""
    readme = path / CARD
    try:
        if readme.is_symlink() or not is_untouched(readme.read_bytes().decode()):
            return
    except FileNotFoundError:
        pass
    except (OSError, ValueError):
        return
    with atomic_file(readme) as file:
        file.write(text.encode())
