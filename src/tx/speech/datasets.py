"""A set of speech from what people have: a folder of media with subtitles, a table, a dataset saved on disk.

Nothing is converted and no media is opened here. What cannot be used is named by file and line and left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tx.errors import TxError
from tx.speech import hf_dataset, media, subtitles, tables
from tx.speech.duplicates import DuplicateIndex, describe_duplicate
from tx.speech.folders import read_folder, read_media_file
from tx.speech.items import Item, NoSpeechError, Problem, SpeechSet

SPLITS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "dev", "val"),
    "test": ("test", "testing"),
}
_NAMES = {name for names in SPLITS.values() for name in names}
_UNSPLIT = {"validated", "invalidated", "other"}  # Common Voice's other tables of clips
_CONTROL = re.compile(r"<\|[^|<>]*\|>")


def read_set(path: str | Path, language: str | None = None, split: str = "train") -> SpeechSet:
    """The items of one set and the problems met, without opening any media.

    `path` is a folder of media with same-named .srt, .vtt or .txt files; a media file that has one; a .tsv, .csv
    or .jsonl table; an audiofolder; a Common Voice folder; or a `datasets` folder saved on disk. `split` (train,
    valid or test) chooses where a folder has several; `language` chooses between talk.de.srt and talk.en.srt.
    Raises TxError where there is nothing that can be read.
    """
    return read_sets([path], language, split)


def read_sets(paths: Sequence[str | Path], language: str | None = None, split: str = "train") -> SpeechSet:
    """All of several sets as one; an item that another one holds already is a problem. Raises as `read_set` does.

    A subtitle file is left to the media file beside it where both are given, as a shell's `videos/*` does, and what
    else it brings is a problem where something is left.
    """
    merged = SpeechSet()
    for found in _read_each([split_path(path, split) for path in paths], language).values():
        merged.items += found.items
        merged.problems += found.problems
    return merged


def read_splits(paths: Sequence[str | Path], language: str | None = None) -> dict[str, SpeechSet]:
    """Each of several sets by its name, with every split as a set of its own; else as `read_sets`.

    So what stands in a training set and in its test set is found as well. Where one set holds nothing and another
    does, that is a problem of the first.
    """
    parts = [part for path in paths for part in splits(path).values() or [_table_of(Path(path))]]
    return _read_each(parts, language)


def _read_each(paths: Sequence[Path], language: str | None) -> dict[str, SpeechSet]:
    found, seen = {path: SpeechSet() for path in paths}, DuplicateIndex[Item]()
    empty: list[NoSpeechError] = []
    media_stems = {path.with_suffix("") for path in found if path.suffix.lower() in media.SUFFIXES}
    for path in list(found):
        if path.suffix.lower() in subtitles.TEXTS and media_stems & set(subtitles.media_stems(path)):
            del found[path]
            continue
        try:
            for item in _read(path, language):
                problem = item if isinstance(item, Problem) else _fault(item, seen)
                if problem is not None:
                    found[path].problems.append(problem)
                elif isinstance(item, Item):
                    found[path].items.append(item)
        except NoSpeechError as error:
            empty.append(error)
            found[path].problems.append(Problem(str(path), "no speech", error.message))
    if empty and len(empty) == len(found):
        raise empty[0]
    return {str(path): each for path, each in found.items()}


def splits(path: str | Path) -> dict[str, Path]:
    """The splits of a folder, as they are called there, with what each can be read from; none of what is one set.

    Common Voice's validated clips are those of its splits and more, so that they are none beside these.
    """
    folder = Path(path)
    if (folder / hf_dataset.DATASETS).is_file():
        return {name: folder / name for name in hf_dataset.split_names(folder)}
    if (folder / "clips").is_dir():
        tables_of = {table.stem: table for table in sorted(folder.glob("*.tsv"))}
        known = _NAMES & set(tables_of) or _UNSPLIT & set(tables_of)
        return {name: table for name, table in tables_of.items() if name in known}
    if not folder.is_dir() or (folder / hf_dataset.DATASET).is_file():
        return {}
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    if any(entry.stem == "metadata" or entry.suffix.lower() in media.SUFFIXES for entry in entries):
        return {}
    return {entry.name: entry for entry in entries if entry.is_dir() and entry.name.lower() in _NAMES}


def has_split(path: str | Path, split: str) -> bool:
    """Whether `path` has a part for `split` that is more than the header of a table."""
    part = _part(splits(path), split)
    return part is not None and (part.is_dir() or not tables.is_bare(part))


def _part(parts: Mapping[str, Path], split: str) -> Path | None:
    return next((part for name, part in parts.items() if name.lower() in SPLITS[split]), None)


def _table_of(path: Path) -> Path:
    """The table of a split of Common Voice, which can be named as other splits are: cv/de/test."""
    table = path.with_name(path.name + ".tsv")
    return table if (path.parent / "clips").is_dir() and table.is_file() and not path.exists() else path


def split_path(path: str | Path, split: str) -> Path:
    """The part of `path` that `split` names, where it has parts. Raises TxError where that is none of them."""
    parts, path = splits(path), Path(path)
    if (chosen := _part(parts, split)) is None and parts:
        first = next(iter(parts.values()))
        raise TxError(
            f"{path} has no split for {split}: it has {', '.join(parts)}", f"name one of them: {first}"
        )
    return chosen or _table_of(path)


def _read(path: Path, language: str | None) -> Iterator[Item | Problem]:
    if not path.exists():
        raise TxError(f"there is no {path}", "check the path; a relative one starts at this folder")
    try:
        if (path / hf_dataset.DATASET).is_file():
            yield from hf_dataset.read_saved(path)
        elif path.is_dir():
            yield from read_folder(path, language)
        elif tables.kind_of(path):
            yield from tables.read_table(path)
        else:
            yield from read_media_file(path, language)
    except OSError as error:
        name = error.filename or path
        raise TxError(f"cannot read {name}: {error.strerror or error}", "check its permissions") from error


# --- what is wrong with an item ---


def _fault(item: Item, seen: DuplicateIndex[Item]) -> Problem | None:
    if not any(character.isalnum() for character in item.text):
        return Problem(item.origin, "empty text", "has no word in its text" if item.text else "has no text")
    if found := _CONTROL.search(item.text):
        return Problem(
            item.origin, "control token in the text", f"holds {found[0]}, which is a command to Whisper"
        )
    if (twin := seen.find_duplicate(item)) is not None:
        return Problem(item.origin, "duplicate", describe_duplicate(item, twin))
    return None
