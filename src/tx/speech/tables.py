"""Tables that name sound and say its text: .tsv, .csv and .jsonl as people and other tools write them.

The names of columns are those met in the wild: Common Voice's, audiofolder's, NeMo's. Without a header a table is
taken for path and text.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tx.errors import TxError
from tx.speech.items import Item, NoSpeechError, Problem
from tx.speech.languages import language_code
from tx.speech.subtitles import Cue
from tx.text.lines import read_lines

SUFFIXES = (".tsv", ".csv", ".jsonl", ".ndjson")
PATH = ("path", "file_name", "file", "filename", "audio", "audio_path", "audio_file", "audio_filepath", "wav")
TEXT = ("text", "sentence", "transcription", "transcript", "raw_transcription", "normalized_text", "caption")
LANGUAGE = ("language", "lang", "locale")
START, END = ("start", "start_time", "offset"), ("end", "end_time")
CUES = ("cues", "segments", "sentences")

Row = Mapping[str, Any]


def kind_of(path: Path) -> str:
    """The suffix that tells a table from other files, a .gz behind it left away; empty for no table."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def read_table(path: Path, media: Path | None = None) -> Iterator[Item | Problem]:
    """The items of a table, its paths relative to the folder `media`, else to the table's own.

    Raises NoSpeechError where there are none, and TxError, with file and line, where the table has no column of sound
    or of text, or is no text.
    """
    bases = [media or path.parent, path.parent / "clips"]
    n = 0
    for origin, row in _rows(path, bases):
        n += 1
        yield row if isinstance(row, Problem) else _item(row, origin, bases)
    if not n:
        raise NoSpeechError(f"{path} holds no items", "each of its lines names sound and its text")


def is_bare(path: Path) -> bool:
    """Whether a table has a header at most."""
    return len(list(islice((line for line in read_lines(path) if line.strip()), 2))) < 2


def _item(row: Row, origin: str, bases: Sequence[Path]) -> Item | Problem:
    name, text = _first(row, PATH), _first(row, TEXT)
    if isinstance(name, Mapping):  # {"audio": {"path": ...}}
        name = name.get("path")
    if not isinstance(name, str) or not name:
        return Problem(origin, "no path", "names no sound")
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
        return Problem(origin, "unreadable times", "its times are no numbers")
    if end is not None and end <= start:
        return Problem(origin, "unreadable times", "ends before it starts")
    if cues:
        text = " ".join(cue.text for cue in cues)
    return Item(
        media,
        " ".join(str(text or "").split()),
        start,
        end,
        cues,
        parse_language(language),
        origin,
    )


def parse_language(value: Any) -> str | None:
    """The code of a language in a table: "sv" for sv-SE or Swedish; what Whisper does not know as it is written."""
    return language_code(value) or value.strip().lower() if isinstance(value, str) and value.strip() else None


def _first(row: Row, keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if row.get(key) not in (None, "")), None)


def _seconds(row: Row, keys: Sequence[str]) -> float | None:
    value = _first(row, keys)
    return None if value is None else float(value)


def _cues(row: Row) -> tuple[Cue, ...]:
    """The cues of a line of JSON; a text without times among them makes them one text."""
    found = _first(row, CUES)
    if not isinstance(found, list):
        return ()
    cues = [Cue(float(cue["start"]), float(cue["end"]), " ".join(str(cue["text"]).split())) for cue in found]
    return tuple(sorted((cue for cue in cues if cue.text), key=lambda cue: (cue.start, cue.end)))


def _resolved(name: str, bases: Sequence[Path]) -> Path | None:
    for base in bases:
        for suffix in ("", ".mp3"):  # old releases of Common Voice leave it away
            if (path := base / (name + suffix)).is_file():
                return path
    return None


# --- rows ---


def _rows(path: Path, bases: Sequence[Path]) -> Iterator[tuple[str, Row | Problem]]:
    """Each row with its "file:line", by the names of its columns."""
    if kind_of(path) in (".tsv", ".csv"):
        return _cells(path, bases)
    return _objects(path)


def _objects(path: Path) -> Iterator[tuple[str, Row | Problem]]:
    for number, line in enumerate(read_lines(path), start=1):
        origin = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield origin, Problem(origin, "unreadable line", f"is no JSON: {error}")
            continue
        if not isinstance(row, dict):
            yield origin, Problem(origin, "unreadable line", "is JSON, but no object with a path and a text")
        else:
            yield origin, {str(key).lower(): value for key, value in row.items()}


def _cells(path: Path, bases: Sequence[Path]) -> Iterator[tuple[str, Row | Problem]]:
    records = _tabbed(path) if kind_of(path) == ".tsv" else _separated(path)
    header: list[str] = []
    for number, cells in records:
        origin = f"{path}:{number}"
        if not header:
            header = _header(path, number, cells, bases)
            if header == cells or [cell.strip().lower() for cell in cells] == header:
                continue
        if len(cells) != len(header):
            what = f"has {len(cells)} columns instead of {len(header)}"
            yield origin, Problem(origin, "unreadable line", what)
        else:
            yield origin, dict(zip(header, cells, strict=True))


def _header(path: Path, number: int, cells: list[str], bases: Sequence[Path]) -> list[str]:
    """The names of the columns: those of the first line, or path and text where it already is an item."""
    names = [cell.strip().lower() for cell in cells]
    if set(names) & set(PATH) and set(names) & {*TEXT, *CUES}:
        return names
    if len(cells) >= 2 and _resolved(cells[0], bases):
        return ["path", "text", *(f"column {i}" for i in range(3, len(cells) + 1))]
    missing = "the text" if set(names) & set(PATH) else "the sound"
    known = TEXT if missing == "the text" else PATH
    raise TxError(
        f"{path}:{number} names no column with {missing}: it has {', '.join(names)}",
        f"call the column {known[0]}; {', '.join(known[1:5])} are known as well",
    )


def _tabbed(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines of tab-separated cells; quotation marks belong to the text, unless they wrap it as CSV writers do."""
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            yield number, [_unwrapped(cell) for cell in line.split("\t")]


def _unwrapped(cell: str) -> str:
    inner = cell[1:-1]
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '""' in inner and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell


def _separated(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Records of comma-separated or, as spreadsheets in many countries write them, semicolon-separated cells."""
    lines = read_lines(path)
    first = next(lines, "")
    delimiter = max(",;\t|", key=first.count)
    reader = csv.reader((line + "\n" for line in _chained(first, lines)), delimiter=delimiter)
    number = 1
    try:
        for cells in reader:
            if cells:
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise TxError(
            f"{path}:{number} is no CSV: {error}", "mend the line, or write the table anew"
        ) from error


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
