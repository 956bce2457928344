"""model.json, the manifest of a package: strict parsing, validation, serialization.

The manifest contains the SHA-256 of every file and of its own canonical JSON, so that damage is detected before use.
Checksums detect accidents; they do not protect from an attacker, who can compute them, too. The content is therefore
validated as well.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from tx.errors import TxError

FORMAT = 1
SPEECH = "speech"  # the task of packages that are Hugging Face folders as well
MANIFEST = "model.json"
WEIGHTS = "weights.safetensors"
HF_WEIGHTS = "model.safetensors"  # in such a package
CARD = "README.md"
MAX_BYTES = 1 << 24  # far above any real manifest

NAME = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}"
)  # no separator and no leading dot: it stays in the folder
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TYPES: dict[str, tuple[type, ...]] = {
    "task": (str,),
    "arch": (str, type(None)),
    "config": (dict,),
    "tokenizers": (dict,),
    "decode": (dict,),
    "tx_version": (str,),
    "data": (dict,),
    "scores": (list,),
    "files": (dict,),
    "sha256": (str,),
}

Manifest = dict[str, Any]


def damaged_file(where: Path | str, reason: str) -> TxError:
    """The error for a file of a package whose content is not what tx wrote."""
    return TxError(f"{where} is damaged: {reason}", "copy, download or train the package again")


def parse_json(data: bytes, where: Path | str) -> Any:
    """Parse JSON strictly: UTF-8, no duplicate keys, no NaN. Raises TxError for any other input."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        reason = "it is nested too deeply"
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except json.JSONDecodeError as error:
        reason = _no_json(error)
    except ValueError as error:
        reason = "a number has too many digits" if "digits" in str(error) else str(error)
    raise damaged_file(where, reason)


def _no_json(error: json.JSONDecodeError) -> str:
    rest = error.doc[error.pos :].rstrip()
    cut = error.msg.startswith("Unterminated") or any(
        word.startswith(rest) for word in ("true", "false", "null")
    )
    if not error.doc.strip():
        return "it is empty"
    return f"it is {'cut short' if cut else 'not JSON'} (line {error.lineno}, column {error.colno})"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def read_manifest(path: Path, data: bytes) -> Manifest:
    """Parse and check the model.json at `path`, whose content is `data`. Raises TxError."""
    manifest = parse_json(data, path)
    if not isinstance(manifest, dict):
        raise damaged_file(path, "it is not a JSON object")
    format = manifest.get("format")
    if type(format) is not int or format < 1:
        raise damaged_file(path, "it has no format number")
    if format > FORMAT:
        raise TxError(
            f"{path} needs a newer tx: it has format {format}, and this tx reads up to {FORMAT}",
            "pip install --upgrade tx",
        )
    _check(path, manifest)
    if manifest["sha256"] != manifest_digest(path, manifest):
        raise TxError(
            f"{path} was changed after tx wrote it: its own checksum does not match",
            "restore it, or copy the package again; notes belong in README.md",
        )
    return manifest


def _check(path: Path, manifest: Manifest) -> None:
    for key, types in _TYPES.items():
        if not isinstance(manifest.get(key, _check), types):
            raise damaged_file(path, f"'{key}' is missing or of the wrong type")
    if not _SLUG.fullmatch(manifest["task"]):
        raise damaged_file(path, f"{manifest['task']!r} is not a task")
    for name, entry in manifest["files"].items():
        _check_file(path, name, entry)
    for name, entry in manifest["tokenizers"].items():
        if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
            raise damaged_file(path, f"tokenizer {name!r} has no kind")
        if not isinstance(entry.get("file"), str) or entry["file"] not in manifest["files"]:
            raise damaged_file(path, f"tokenizer {name!r} has no file in the package")
    for score in manifest["scores"]:
        if not isinstance(score, dict) or not isinstance(score.get("metric"), str):
            raise damaged_file(path, "a score has no metric")
        if type(score.get("value")) not in (int, float):
            raise damaged_file(path, f"the {score['metric']!r} score is not a number")
    weights = HF_WEIGHTS if manifest["task"] == SPEECH else WEIGHTS
    if manifest["arch"] is not None and weights not in manifest["files"]:
        raise damaged_file(path, f"it names an architecture but lists no {weights}")


def _check_file(path: Path, name: str, entry: Any) -> None:
    if not NAME.fullmatch(name) or name in (MANIFEST, CARD, "LICENSE", "run"):
        raise damaged_file(path, f"{name!r} cannot be the name of a file of the package")
    if not isinstance(entry, dict):
        raise damaged_file(path, f"the entry of {name} is not an object")
    if type(entry.get("bytes")) is not int or entry["bytes"] < 0:
        raise damaged_file(path, f"the size of {name} is missing or no size")
    if not isinstance(entry.get("sha256"), str) or not _DIGEST.fullmatch(entry["sha256"]):
        raise damaged_file(path, f"the SHA-256 of {name} is missing or not one")


def manifest_digest(path: Path, manifest: Manifest) -> str:
    """The SHA-256 of the manifest's canonical JSON, its own `sha256` left out."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    try:
        canonical = json.dumps(
            rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return hashlib.sha256(canonical.encode()).hexdigest()
    except RecursionError:
        raise damaged_file(path, "it is nested too deeply") from None
    except ValueError as error:
        raise damaged_file(path, str(error)) from None


def serialize_manifest(path: Path, manifest: Manifest) -> tuple[Manifest, bytes]:
    """The manifest with its checksum as it will be read, and the bytes to write."""
    try:
        manifest = json.loads(json.dumps(manifest, allow_nan=False))  # turns tuples into lists
    except (TypeError, ValueError) as error:
        raise TxError(f"cannot write {path}: {error}") from None
    manifest["sha256"] = manifest_digest(path, manifest)
    data = json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n"
    return read_manifest(path, data), data
