"""Reads a folder saved by the library `datasets`; its audio is decoded by `tx.speech.media`.

The library's own decoder, torchcodec, needs a fitting FFmpeg on the system. With `decode=False`, an audio column
gives the bytes or the path that it stores.
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from tx.errors import TxError
from tx.speech.items import Item, Problem
from tx.speech.tables import LANGUAGE, PATH, TEXT, parse_language

DATASET, DATASETS = "state.json", "dataset_dict.json"


@dataclass(frozen=True)
class DatasetAudio:
    """The audio in one row of a saved dataset; picklable, read when it is needed."""

    folder: str
    column: str
    row: int

    def __str__(self) -> str:
        return f"{self.folder}, row {self.row}"

    def open_audio(self) -> BinaryIO:
        return io.BytesIO(_open(self.folder, self.column)[self.row][self.column]["bytes"])


def split_names(folder: Path) -> list[str]:
    """The splits of a saved `DatasetDict`."""
    try:
        return [str(name) for name in json.loads((folder / DATASETS).read_text(encoding="utf-8"))["splits"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TxError(f"cannot read {folder / DATASETS}: {error}", "save the dataset again") from error


def read_saved(folder: Path) -> Iterator[Item | Problem]:
    """The items of a saved `Dataset`, in its order. Raises TxError if it has no audio or no text."""
    dataset = _load(folder)
    by_name = {name.lower(): name for name in dataset.column_names}
    audio = next(iter(_audio_columns(dataset)), _find_column(by_name, PATH))
    text, language = _find_column(by_name, TEXT), _find_column(by_name, LANGUAGE)
    if audio is None or text is None:
        name = "audio" if audio is None else "text"
        raise TxError(
            f"{folder} has no column for the {name}: its columns are {', '.join(dataset.column_names)}",
            f"rename one: dataset.rename_column(NAME, '{name}').save_to_disk(FOLDER)",
        )
    # Without the audio, so that reading the texts does not read all bytes.
    texts = dataset.select_columns([name for name in (text, language) if name])
    for row, (media, values) in enumerate(zip(_media(folder, audio), texts, strict=True)):
        origin = f"{folder}, row {row}"
        if media is None:
            yield Problem(origin, "missing media", "neither audio nor the path of an existing file")
            continue
        words, named = str(values[text] or "").split(), values[language] if language else None
        yield Item(media, " ".join(words), language=parse_language(named), origin=origin)


def _find_column(columns: Mapping[str, str], known: tuple[str, ...]) -> str | None:
    return next((columns[name] for name in known if name in columns), None)


def _media(folder: Path, column: str) -> Iterator[Path | DatasetAudio | None]:
    """The audio of each row; rows with bytes are found without reading the bytes."""
    row = 0
    for chunk in _open(str(folder), column).data.column(column).chunks:
        names = [chunk.type.field(i).name for i in range(chunk.type.num_fields)]
        if names and not {"bytes", "path"} <= set(names):
            raise TxError(
                f"the column '{column}' of {folder} has the fields {', '.join(names)}, not encoded audio",
                "save it with the feature Audio(), before the audio is decoded",
            )
        held = chunk.field("bytes").is_valid() if names else [None] * len(chunk)
        for has_bytes, value in zip(held, chunk.field("path") if names else chunk, strict=True):
            name = Path(str(value.as_py() or ""))
            if has_bytes is not None and has_bytes.as_py():
                yield DatasetAudio(str(folder), column, row)
            else:
                yield next((path for path in (name, folder / name) if path.is_file()), None)
            row += 1


@lru_cache(maxsize=8)
def _open(folder: str, column: str) -> Any:
    """The rows of a dataset with only the undecoded audio."""
    return _load(Path(folder)).select_columns([column])


def _load(folder: Path) -> Any:
    datasets = _datasets()
    try:
        dataset = datasets.load_from_disk(str(folder))
        for name in _audio_columns(dataset):
            dataset = dataset.cast_column(name, datasets.Audio(decode=False))
    except Exception as error:  # the library raises many kinds of errors for damaged files
        reason = (str(error).split("\n") or [""])[0] or type(error).__name__
        raise TxError(f"cannot read the dataset in {folder}: {reason}", "save the dataset again") from error
    return dataset


def _audio_columns(dataset: Any) -> list[str]:
    return [name for name, kind in dataset.features.items() if isinstance(kind, _datasets().Audio)]


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise TxError(
            "reading a saved dataset needs the library datasets", "pip install 'tx[whisper]'"
        ) from error
    return datasets
