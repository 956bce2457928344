"""Tables of audio files and their texts: .tsv, .csv and .jsonl.

The names of columns are those of Common Voice, audiofolder and NeMo. Without a header, the columns are path and text.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tx.errors import TxError
from tx.speech.items import Item, NoSpeechError, Problem
from tx.speech.languages import language_code
from tx.speech.subtitles import Cue
from tx.text.lines import read_lines

TABLE_SUFFIXES = (".tsv", ".csv", ".jsonl", ".ndjson")
PATH = ("path", "file_name", "file", "filename", "audio", "audio_path", "audio_file", "audio_filepath", "wav")
TEXT = ("text", "sentence", "transcription", "transcript", "raw_transcription", "normalized_text", "caption")
LANGUAGE = ("language", "lang", "locale")
START, END = ("start", "start_time", "offset"), ("end", "end_time")
CUES = ("cues", "segments", "sentences")

Row = Mapping[str, Any]


def table_suffix(path: Path) -> str:
    """The suffix of a table, without .gz; empty for a file that is not a table."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    return suffix if suffix in TABLE_SUFFIXES else ""


def read_table(path: Path) -> Iterator[Item | Problem]:
    """The items of a table, with paths relative to the folder of the table or to `clips` in it.

    Raises NoSpeechError if there are none, and TxError, with file and line, if the table has no column of audio or of
    text, or if the file is not text.
    """
    bases = [path.parent, path.parent / "clips"]
    rows = _cells(path, bases) if table_suffix(path) in (".tsv", ".csv") else _objects(path)
    row: Row | Problem | None = None
    for origin, row in rows:
        yield row if isinstance(row, Problem) else _item(row, origin, bases)
    if row is None:
        raise NoSpeechError(f"{path} has no items", "each line names an audio file and its text")


def is_empty(path: Path) -> bool:
    """Whether a table has no rows, or only a header."""
    return len(list(islice((line for line in read_lines(path) if line.strip()), 2))) < 2


def _item(row: Row, origin: str, bases: Sequence[Path]) -> Item | Problem:
    name, text = _first(row, PATH), _first(row, TEXT)
    if isinstance(name, Mapping):  # {"audio": {"path": ...}}
        name = name.get("path")
    if not isinstance(name, str) or not name:
        return Problem(origin, "no path", "no path of an audio file")
    media = _resolved(name, bases)
    if media is None:
        return Problem(origin, "missing media", f"there is no file {bases[0] / name}")
    language = _first(row, LANGUAGE)
    try:
        start, end = _seconds(row, START) or 0.0, _seconds(row, END)
        if end is None and any(row.get(key) not in (None, "") for key in START):
            length = _seconds(row, ("duration",))
            end = None if length is None else start + length
        cues = _cues(row)
    except (ValueError, TypeError, KeyError):
        return Problem(origin, "unreadable times", "the times are not numbers")
    if end is not None and end <= start:
        return Problem(origin, "unreadable times", "the end is not after the start")
    if cues:
        text = " ".join(cue.text for cue in cues)
    words = " ".join(str(text or "").split())
    return Item(media, words, start, end, cues, parse_language(language), origin)


def parse_language(value: Any) -> str | None:
    """The code of a language in a table: "sv" for sv-SE or Swedish; an unknown language in lower case."""
    return language_code(value) or value.strip().lower() if isinstance(value, str) and value.strip() else None


def _first(row: Row, keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if row.get(key) not in (None, "")), None)


def _seconds(row: Row, keys: Sequence[str]) -> float | None:
    value = _first(row, keys)
    return None if value is None else float(value)


def _cues(row: Row) -> tuple[Cue, ...]:
    """The cues in a line of JSON, sorted by time. Raises an error if one has no times."""
    found = _first(row, CUES)
    if not isinstance(found, list):
        return ()
    cues = [Cue(float(cue["start"]), float(cue["end"]), " ".join(str(cue["text"]).split())) for cue in found]
    return tuple(sorted((cue for cue in cues if cue.text), key=lambda cue: (cue.start, cue.end)))


def _resolved(name: str, bases: Sequence[Path]) -> Path | None:
    # Old releases of Common Voice omit the suffix .mp3.
    paths = (base / (name + suffix) for base in bases for suffix in ("", ".mp3"))
    return next((path for path in paths if path.is_file()), None)


# --- rows, each with its "file:line", as mappings from column names ---


def _objects(path: Path) -> Iterator[tuple[str, Row | Problem]]:
    for number, line in enumerate(read_lines(path), start=1):
        origin = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            fault = "" if isinstance(row, dict) else "valid JSON, but not an object with a path and a text"
        except (ValueError, RecursionError) as error:
            fault = f"invalid JSON: {error}"
        if fault:
            yield origin, Problem(origin, "unreadable line", fault)
        else:
            yield origin, {str(key).lower(): value for key, value in row.items()}


def _cells(path: Path, bases: Sequence[Path]) -> Iterator[tuple[str, Row | Problem]]:
    records = _tabbed(path) if table_suffix(path) == ".tsv" else _separated(path)
    header: list[str] = []
    for number, cells in records:
        origin = f"{path}:{number}"
        if not header:
            header = _header(path, number, cells, bases)
            if header == cells or [cell.strip().lower() for cell in cells] == header:
                continue
        if len(cells) != len(header):
            what = f"has {len(cells)} columns, but the header has {len(header)}"
            yield origin, Problem(origin, "unreadable line", what)
        else:
            yield origin, dict(zip(header, cells, strict=True))


def _header(path: Path, number: int, cells: list[str], bases: Sequence[Path]) -> list[str]:
    """The names of the columns: those in the first line, or path and text if that is an item."""
    names = [cell.strip().lower() for cell in cells]
    if set(names) & set(PATH) and set(names) & {*TEXT, *CUES}:
        return names
    if len(cells) >= 2 and _resolved(cells[0], bases):
        return ["path", "text", *(f"column {i}" for i in range(3, len(cells) + 1))]
    missing, known = ("text", TEXT) if set(names) & set(PATH) else ("audio", PATH)
    raise TxError(
        f"{path}:{number} has no column for the {missing}: its columns are {', '.join(names)}",
        f"rename the {missing} column to {', '.join(known[:4])} or {known[4]}",
    )


def _tabbed(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines of tab-separated cells; quotation marks belong to the text unless they quote it as CSV writers do."""
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            yield number, [_unquoted(cell) for cell in line.split("\t")]


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '""' in inner and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell


def _separated(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Records of cells separated by commas or, as some spreadsheets write them, by semicolons."""
    lines = read_lines(path)
    first = next(lines, "")
    delimiter = max(",;\t|", key=first.count)
    reader = csv.reader((line + "\n" for line in chain([first], lines)), delimiter=delimiter)
    number = 1
    try:
        for cells in reader:
            if cells:
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise TxError(
            f"{path}:{number} is not CSV: {error}", "correct the line, or write it again"
        ) from error
