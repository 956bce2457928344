"""A Whisper model on disk: a Hugging Face folder, with or without tx's model.json, read with suspicion.

Only JSON and safetensors are opened. What the JSON claims is checked against what Whisper is: the names and
shapes of the weights are compared with the configuration before anything is allocated (see `network`).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tx.config.schema import SPEECH
from tx.errors import TxError
from tx.package import MANIFEST, Package
from tx.package.manifest import parse_json

CONFIG, GENERATION, TOKENIZER, FEATURES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "preprocessor_config.json",
)
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
HINT = "name a folder with a Whisper model in Hugging Face's form: config.json, model.safetensors, tokenizer.json"


@dataclass(frozen=True)
class Folder:
    """An opened folder: its two configurations, and where its files are."""

    path: Path
    config: dict[str, Any]
    generation: dict[str, Any]
    package: Package | None

    def file(self, name: str) -> Path:
        """Where `name` is. Raises TxError if it is not there."""
        if self.package is not None:
            return self.package.file(name)
        if not (self.path / name).is_file():
            raise TxError(f"{self.path} holds no {name}", HINT)
        return self.path / name

    def has(self, name: str) -> bool:
        return name in self.package.manifest["files"] if self.package else (self.path / name).is_file()

    def read(self, name: str) -> dict[str, Any]:
        """The JSON object in the file `name`. Raises TxError if it is none."""
        return _read(self.file(name))

    def weight_files(self) -> list[Path]:
        """The safetensors files. Raises TxError where there are none, or only pickles."""
        if self.has(SINGLE):
            return [self.file(SINGLE)]
        if not self.has(INDEX):
            pickled = any((self.path / name).exists() for name in ("pytorch_model.bin", "model.pt"))
            hint = "pickles can run code and are not opened; convert it with transformers: save_pretrained"
            raise TxError(f"{self.path} holds no {SINGLE}", hint if pickled else HINT)
        shards = self.read(INDEX).get("weight_map")
        names = sorted(set(shards.values())) if isinstance(shards, dict) else []
        if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise TxError(f"{self.path / INDEX} names no weights, or some outside its folder", HINT)
        return [self.file(name) for name in names]

    def identity(self) -> str:
        """What changes when the model does: their digests in model.json, else the sizes and times of the files."""
        names = [name for name in (CONFIG, GENERATION, TOKENIZER, FEATURES) if self.has(name)]
        if self.package is not None:
            listed = self.package.manifest["files"]
            return " ".join(f"{name}:{listed[name]['sha256']}" for name in (*names, SINGLE))
        files = [*self.weight_files(), *(self.path / name for name in names)]
        return " ".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)

    def number(self, name: str) -> int:
        """A positive whole number of the configuration. Raises TxError if it is none."""
        value = self.config.get(name)
        if type(value) is not int or not 0 < value < 1 << 24:
            raise TxError(
                f"{self.path / CONFIG}: {name} is {value!r}, and a Whisper model needs a number", HINT
            )
        return value

    @property
    def n_mels(self) -> int:
        return self.number("num_mel_bins")


def open_folder(path: Path | str) -> Folder:
    """Open the Whisper model at `path`. Raises TxError where there is none, or its package is damaged."""
    path = Path(path)
    if not path.is_dir():
        raise TxError(f"there is no folder {path}", HINT)
    return folder_of(path, Package.open(path, SPEECH) if (path / MANIFEST).is_file() else None)


def folder_of(path: Path, package: Package | None) -> Folder:
    """The folder at `path`, whose files are those of `package` if it is one. Raises TxError as `open_folder` does."""
    place = package.file if package else path.joinpath
    config = _read(place(CONFIG))
    if config.get("model_type") != "whisper":
        kind = config.get("model_type")
        raise TxError(
            f"{path} is no Whisper model" + (f" but a {kind}" if isinstance(kind, str) else ""), HINT
        )
    folder = Folder(path, config, {}, package)
    return replace(folder, generation=folder.read(GENERATION)) if folder.has(GENERATION) else folder


def _read(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(path.read_bytes(), path)
    except FileNotFoundError:
        raise TxError(f"{path.parent} holds no {path.name}", HINT) from None
    except OSError as error:
        raise TxError(f"cannot read {path}: {error.strerror}", HINT) from None
    if not isinstance(value, dict):
        raise TxError(f"{path} is not a JSON object", HINT)
    return value
