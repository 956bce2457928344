"""Writing a package so that it opens at any moment, also after any crash: as the old one or as the new one.

A new package is built aside and renamed. One that is there already cannot be replaced so: it holds run/, and
folders have no atomic exchange that works everywhere. Renaming model.json is the single commit instead:

    1  build and check the new package in a folder inside the old one
    2  move each changed file to its staged name, `.new-DIGEST-weights.safetensors`
    3  rename the new model.json onto the old one: from here on the package is the new one
    4  rename the staged files onto their plain names, and remove what model.json no longer lists

A reader takes a listed file from its staged name if it is there, else from its plain name. Killed before 3,
the old model.json lists the old files, still at their names. Killed after 3, the new one finds its files
staged, and the next writer finishes step 4. Names with a digest in them for good would need no step 4, but
nobody could say `de-en/weights.safetensors` any more.
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
    fsync_folder,
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
    """What a package asks of a tokenizer."""

    @property
    def kind(self) -> str: ...

    def save(self, folder: Path, name: str) -> str:
        """Write into `folder` under a file name that starts with `name`; return the file name."""


class Fields(TypedDict, total=False):
    """What model.json says beside the digests; all but `task` may be left out."""

    task: Required[str]
    arch: str | None
    config: dict[str, Any]
    tokenizers: Mapping[str, Saveable]  # "tokenizer", or "src" and "tgt"
    decode: dict[str, Any]
    data: dict[str, Any]
    scores: list[dict[str, Any]]  # each with `metric` and `value`; `data` and `signature` where known


_BUILD = f"{TEMPORARY}package"
_DEFAULTS: Manifest = {"arch": None, "config": {}, "decode": {}, "data": {}, "scores": []}
Fill = Callable[[Path], object]  # writes weights and other files into the folder it is given


def _nothing(folder: Path) -> None:
    """Fill no folder: the tokenizers are all there is."""


def write_package(
    path: Path | str, fill: Fill = _nothing, *, overwrite: bool = False, **fields: Unpack[Fields]
) -> Package:
    """Write a new package: the tokenizers, and whatever `fill` leaves in the folder it is given.

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
    """Raise TxError if `path` holds something already, unless `overwrite` is given and it is a package."""
    if (path.is_dir() and not any(path.iterdir())) or not (path.exists() or path.is_symlink()):
        return
    if not (path / MANIFEST).is_file() and not _holds_only_run(path):
        raise not_a_package(path, overwrite)
    if not overwrite:
        raise TxError(f"{path} exists already", "replace it with --overwrite, or choose another -o")


def not_a_package(path: Path, overwrite: bool) -> TxError:
    """The error for a package that would take the place of something else."""
    told = (
        "is not a package, and --overwrite replaces only packages"
        if overwrite
        else "exists, and is not a package"
    )
    return TxError(f"{path} {told}", "choose another -o")


def _holds_only_run(path: Path) -> bool:
    return path.is_dir() and all(
        entry.name == "run" or entry.name.startswith(".") for entry in path.iterdir()
    )


def update_package(path: Path | str, fill: Fill = _nothing, **fields: Unpack[Fields]) -> Package:
    """Replace the package at `path`, or write the first one there; run/ and what else is there stay.

    A card that a person has edited is kept. Raises TxError if writing fails; the old package is then whole.
    """
    path = Path(path)
    with write_errors(path, inside=path), _library_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        with locked(path):
            old = _settle(path)
            folder = path / _BUILD
            try:
                folder.mkdir()
                new = _build(folder, path.resolve().name, fill, fields)
                _install(path, folder, old, new)
            finally:
                remove(folder)
            return Package.open(path)


def update_manifest(package: Package, **changes: Any) -> Package:
    """Change keys of model.json, `scores` for instance, and rewrite the card; the files and other keys stay.

    Raises TxError if the package has been replaced since it was opened: a score belongs to what was measured.
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
    """Keep `scores` in the package, in place of earlier ones on the same data. Raises as `update_manifest`."""
    data = {score.get("data") for score in scores}
    kept = [old for old in package.scores if old.get("data") not in data]
    return update_manifest(package, scores=[*kept, *scores])


@contextmanager
def _library_errors(path: Path) -> Iterator[None]:
    """Tell a full disk as the one sentence it is, also where a library wraps it."""
    try:
        yield
    except SafetensorError as error:
        raise cannot_write(path, OSError(str(error))) from error


def _build(folder: Path, name: str, fill: Fill, fields: Fields) -> Manifest:
    """Make a complete, synced and verified package in the empty `folder`."""
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
    Package.open(folder)  # a package that cannot be opened never replaces one that can
    return new


def _install(path: Path, folder: Path, old: Manifest, new: Manifest) -> None:
    """Steps 2 to 4: move the package built in `folder` into `path`."""
    for name, entry in new["files"].items():
        if old.get("files", {}).get(name) != entry or not _is_intact(path / name, entry):
            (folder / name).replace(staged(path, name, entry))
    fsync_folder(path)
    text = (folder / CARD).read_text(encoding="utf-8")
    (folder / MANIFEST).replace(path / MANIFEST)
    fsync_folder(path)
    _settle(path)
    for name in old.get("files", {}).keys() - new["files"].keys():
        remove(path / name)
    _write_card(path, text)


def _is_intact(path: Path, entry: dict[str, Any]) -> bool:
    return path.is_file() and not path.is_symlink() and sha256(path) == entry["sha256"]


def _settle(path: Path) -> Manifest:
    """Finish what a killed writer left (step 4), clear the rest, and return the manifest."""
    manifest = _manifest_of(path)
    for name, entry in manifest.get("files", {}).items():
        waiting = staged(path, name, entry)
        if waiting.exists():
            waiting.replace(path / name)
    fsync_folder(path)
    for entry in path.iterdir():
        if entry.name.startswith(STAGED) or entry.name == _BUILD:
            remove(entry)
    return manifest


def _manifest_of(path: Path) -> Manifest:
    """The manifest in `path`, or {} where there is none that can be read: then there is nothing to keep."""
    with suppress(TxError, FileNotFoundError):
        return read_manifest(path / MANIFEST, (path / MANIFEST).read_bytes())
    return {}


def _write_card(path: Path, text: str) -> None:
    """Write the model card unless a person has edited it."""
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
