"""A Whisper model on disk: a Hugging Face folder, with or without the model.json of a tx package.

Only JSON and safetensors files are opened, and their contents are checked before use: `tx.models.whisper` compares
the names and shapes of the weights with the configuration before it allocates memory for them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tx.errors import TxError
from tx.package import MANIFEST, Package
from tx.package.manifest import SPEECH, parse_json

CONFIG, GENERATION = "config.json", "generation_config.json"
TOKENIZER, FEATURES = "tokenizer.json", "preprocessor_config.json"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
HINT = "give a folder with a Whisper model in Hugging Face format: config.json, model.safetensors, tokenizer.json"


@dataclass(frozen=True)
class HfFolder:
    """A folder with a Whisper model, its `config.json` and its `generation_config.json`."""

    path: Path
    config: dict[str, Any]
    generation: dict[str, Any]
    package: Package | None

    def file(self, name: str) -> Path:
        """The path of the file `name`. Raises TxError if it is missing."""
        if self.package is not None:
            return self.package.file(name)
        if not (self.path / name).is_file():
            raise TxError(f"{self.path} has no {name}", HINT)
        return self.path / name

    def has(self, name: str) -> bool:
        return name in self.package.manifest["files"] if self.package else (self.path / name).is_file()

    def read_json(self, name: str) -> dict[str, Any]:
        """The JSON object in the file `name`. Raises TxError if there is none."""
        return _read_json(self.file(name))

    def weight_files(self) -> list[Path]:
        """The safetensors files with the weights. Raises TxError if there are none, or only pickled ones."""
        if self.has(SINGLE):
            return [self.file(SINGLE)]
        if not self.has(INDEX):
            pickled = any((self.path / name).exists() for name in ("pytorch_model.bin", "model.pt"))
            hint = "pickled weights can run code and are not loaded; convert them with transformers"
            raise TxError(f"{self.path} has no {SINGLE}", hint if pickled else HINT)
        shards = self.read_json(INDEX).get("weight_map")
        names = sorted(set(shards.values())) if isinstance(shards, dict) else []
        if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise TxError(f"{self.path / INDEX} lists no weight files, or some outside its folder", HINT)
        return [self.file(name) for name in names]

    def fingerprint(self) -> str:
        """A string that changes with the model: digests from model.json, else sizes and modification times."""
        names = [name for name in (CONFIG, GENERATION, TOKENIZER, FEATURES) if self.has(name)]
        if self.package is not None:
            files = self.package.manifest["files"]
            return " ".join(f"{name}:{files[name]['sha256']}" for name in (*names, SINGLE))
        paths = [*self.weight_files(), *(self.path / name for name in names)]
        return " ".join(f"{path.name}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in paths)

    def positive_int(self, name: str) -> int:
        """A positive integer in config.json. Raises TxError if the value is anything else."""
        value = self.config.get(name)
        if type(value) is not int or not 0 < value < 1 << 24:
            raise TxError(f"{self.path / CONFIG}: {name} is {value!r}, but must be a positive integer", HINT)
        return value


def open_model(path: Path) -> Package | Path:
    """The package at `path`, or `path` itself if it is a Hugging Face folder that is not a package."""
    is_hf_folder = not (path / MANIFEST).exists() and (path / CONFIG).exists()
    return path if is_hf_folder else Package.open(path)


def open_hf_folder(path: Path | str) -> HfFolder:
    """Open the Whisper model at `path`. Raises TxError if there is none, or if its package is damaged."""
    path = Path(path)
    if not path.is_dir():
        raise TxError(f"there is no folder {path}", HINT)
    return as_hf_folder(path, Package.open(path, SPEECH) if (path / MANIFEST).is_file() else None)


def as_hf_folder(path: Path, package: Package | None) -> HfFolder:
    """The folder at `path`, with the files of `package` if it is one. Raises TxError as `open_hf_folder` does."""
    config = _read_json(package.file(CONFIG) if package else path / CONFIG)
    if (model_type := config.get("model_type")) != "whisper":
        found = f": its model type is {model_type}" if isinstance(model_type, str) else ""
        raise TxError(f"{path} is not a Whisper model{found}", HINT)
    folder = HfFolder(path, config, {}, package)
    return replace(folder, generation=folder.read_json(GENERATION)) if folder.has(GENERATION) else folder


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(path.read_bytes(), path)
    except FileNotFoundError:
        raise TxError(f"{path.parent} has no {path.name}", HINT) from None
    except OSError as error:
        raise TxError(f"cannot read {path}: {error.strerror}", HINT) from None
    if not isinstance(value, dict):
        raise TxError(f"{path} is not a JSON object", HINT)
    return value
