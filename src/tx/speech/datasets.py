"""Reads speech datasets: folders of media with subtitles, tables, audiofolders, Common Voice, saved HF datasets.

No media file is opened and nothing is converted. What cannot be used becomes a problem with its file and line.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tx.errors import TxError
from tx.speech import hf_dataset, tables
from tx.speech.duplicates import DuplicateIndex, describe_duplicate
from tx.speech.items import Item, NoSpeechError, Problem, SpeechSet
from tx.speech.media import MEDIA_SUFFIXES
from tx.speech.subtitles import TEXT_SUFFIXES, media_stems, parse_cues
from tx.text.lines import read_lines

SPLITS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "dev", "val"),
    "test": ("test", "testing"),
}
_SPLIT_NAMES = {name for names in SPLITS.values() for name in names}
_COMMON_VOICE_TABLES = {"validated", "invalidated", "other"}  # tables of clips that are not splits
_CONTROL_TOKEN = re.compile(r"<\|[^|<>]*\|>")


def read_set(path: str | Path, language: str | None = None, split: str = "train") -> SpeechSet:
    """The items of a dataset and the problems found, without opening any media.

    `path` is a folder of media with .srt, .vtt or .txt files of the same names; a media file that has one; a .tsv,
    .csv or .jsonl table; an audiofolder; a Common Voice folder; or a `datasets` folder saved to disk. `split` (train,
    valid or test) selects from a folder with splits; `language` selects from talk.de.srt and talk.en.srt. Raises
    TxError if `path` is not a dataset.
    """
    return read_sets([path], language, split)


def read_sets(paths: Sequence[str | Path], language: str | None = None, split: str = "train") -> SpeechSet:
    """Several datasets as one; a duplicate of an earlier item is a problem. Raises as `read_set` does.

    A subtitle file is skipped if its media file is among the paths, as with a shell's `videos/*`; any other file that
    is not a dataset is a problem if there is a dataset.
    """
    merged = SpeechSet()
    for found in _read_each([split_path(path, split) for path in paths], language).values():
        merged.items += found.items
        merged.problems += found.problems
    return merged


def read_splits(paths: Sequence[str | Path], language: str | None = None) -> dict[str, SpeechSet]:
    """Several datasets by their names, with each split as a dataset of its own; otherwise as `read_sets`.

    Duplicates between the splits are found, too. A path without any item is a problem if another one has items.
    """
    parts = [part for path in paths for part in splits(path).values() or [_split_table(Path(path))]]
    return _read_each(parts, language)


def _read_each(paths: Sequence[Path], language: str | None) -> dict[str, SpeechSet]:
    found, index = {path: SpeechSet() for path in paths}, DuplicateIndex[Item]()
    empty: list[NoSpeechError] = []
    stems = {path.with_suffix("") for path in found if path.suffix.lower() in MEDIA_SUFFIXES}
    for path in list(found):
        if path.suffix.lower() in TEXT_SUFFIXES and stems & set(media_stems(path)):
            del found[path]
            continue
        try:
            for item in _read(path, language):
                problem = item if isinstance(item, Problem) else _find_problem(item, index)
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


def _find_problem(item: Item, index: DuplicateIndex[Item]) -> Problem | None:
    if not any(character.isalnum() for character in item.text):
        return Problem(item.origin, "empty text", "no words in the text" if item.text else "no text")
    if found := _CONTROL_TOKEN.search(item.text):
        what = f"the text contains {found[0]}, a special token of Whisper"
        return Problem(item.origin, "control token in the text", what)
    if (first := index.find_duplicate(item)) is not None:
        return Problem(item.origin, "duplicate", describe_duplicate(item, first))
    return None


# --- splits ---


def splits(path: str | Path) -> dict[str, Path]:
    """The splits of a folder by their names, with the path that each is read from; empty for a single dataset.

    The table of Common Voice's validated clips repeats the clips of its splits, so it is not a split beside them.
    """
    folder = Path(path)
    if (folder / hf_dataset.DATASETS).is_file():
        return {name: folder / name for name in hf_dataset.split_names(folder)}
    if (folder / "clips").is_dir():
        by_name = {table.stem: table for table in sorted(folder.glob("*.tsv"))}
        known = _SPLIT_NAMES & set(by_name) or _COMMON_VOICE_TABLES & set(by_name)
        return {name: table for name, table in by_name.items() if name in known}
    if not folder.is_dir() or (folder / hf_dataset.DATASET).is_file():
        return {}
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    if any(entry.stem == "metadata" or entry.suffix.lower() in MEDIA_SUFFIXES for entry in entries):
        return {}
    return {entry.name: entry for entry in entries if entry.is_dir() and entry.name.lower() in _SPLIT_NAMES}


def has_split(path: str | Path, split: str) -> bool:
    """Whether `path` has a non-empty split of this kind."""
    part = _find_split(splits(path), split)
    return part is not None and (part.is_dir() or not tables.is_empty(part))


def split_path(path: str | Path, split: str) -> Path:
    """The path of a split of `path`, or `path` if it has no splits. Raises TxError if it has only other splits."""
    parts, path = splits(path), Path(path)
    if (chosen := _find_split(parts, split)) is None and parts:
        first = next(iter(parts.values()))
        raise TxError(
            f"{path} has no split for {split}: it has {', '.join(parts)}", f"name one of them: {first}"
        )
    return chosen or _split_table(path)


def _find_split(parts: Mapping[str, Path], split: str) -> Path | None:
    return next((part for name, part in parts.items() if name.lower() in SPLITS[split]), None)


def _split_table(path: Path) -> Path:
    """The table of a split of Common Voice, which can be named like other splits: cv/de/test."""
    table = path.with_name(path.name + ".tsv")
    return table if (path.parent / "clips").is_dir() and table.is_file() and not path.exists() else path


# --- folders and files ---


def _read(path: Path, language: str | None) -> Iterator[Item | Problem]:
    if not path.exists():
        raise TxError(
            f"there is no file or folder {path}", "check the path; relative paths start at the current folder"
        )
    try:
        if (path / hf_dataset.DATASET).is_file():
            yield from hf_dataset.read_saved(path)
        elif path.is_dir():
            yield from _read_folder(path, language)
        elif tables.table_suffix(path):
            yield from tables.read_table(path)
        else:
            yield from _read_media_file(path, language)
    except OSError as error:
        name = error.filename or path
        raise TxError(f"cannot read {name}: {error.strerror or error}", "check its permissions") from error


def _read_folder(folder: Path, language: str | None) -> Iterator[Item | Problem]:
    """The items of the metadata tables in a folder (audiofolder), else of its media with texts, else of its table.

    Raises NoSpeechError if there are none of these, and TxError if there are several tables.
    """
    visible = (path for path in sorted(folder.rglob("*")) if not _is_hidden(path.relative_to(folder)))
    files = [path for path in visible if path.is_file()]
    metadata = [path for path in files if tables.table_suffix(path) and path.name.startswith("metadata.")]
    media = [path for path in files if path.suffix.lower() in MEDIA_SUFFIXES]
    texts = [path for path in files if path.suffix.lower() in TEXT_SUFFIXES]
    found = [path for path in files if tables.table_suffix(path) and path.parent == folder]
    chosen = metadata or ([] if texts else found)
    if len(chosen) > 1 and not metadata:
        names = ", ".join(path.name for path in chosen)
        raise TxError(f"{folder} has several tables: {names}", "name one of them")
    for table in chosen:
        yield from tables.read_table(table)
    if chosen:
        return
    if not media:
        hint = "give a folder of audio or video files with transcripts, or a table"
        raise NoSpeechError(f"{folder} contains no audio or video files", hint)
    yield from _match(media, texts, language)


def _read_media_file(path: Path, language: str | None) -> Iterator[Item | Problem]:
    """The item of a media file, or of the text of one. Raises NoSpeechError for any other file."""
    siblings = [entry for entry in sorted(path.parent.iterdir()) if not _is_hidden(Path(entry.name))]
    if path.suffix.lower() in MEDIA_SUFFIXES:
        texts = [entry for entry in siblings if entry.suffix.lower() in TEXT_SUFFIXES]
        return _match([path], [text for text in texts if path.with_suffix("") in media_stems(text)], language)
    if path.suffix.lower() not in TEXT_SUFFIXES:
        hint = "give a folder, a table (.tsv, .csv, .jsonl), or media with a text of the same name"
        raise NoSpeechError(f"{path} is not a speech dataset", hint)
    stems = media_stems(path)
    media = [e for e in siblings if e.suffix.lower() in MEDIA_SUFFIXES and e.with_suffix("") in stems]
    if not media:
        hint = f"add the media file, such as {path.with_suffix('.mp4')}"
        raise NoSpeechError(f"{path} has no audio or video file of the same name", hint)
    return _match(media, [path], language)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _match(media: Sequence[Path], texts: Sequence[Path], language: str | None) -> Iterator[Item | Problem]:
    """The items of media files and texts of the same names."""
    by_stem: defaultdict[Path, list[tuple[str | None, Path]]] = defaultdict(list)
    for text in texts:
        for stem, code in media_stems(text).items():
            by_stem[stem].append((code, text))
    for path in media:
        yield from _read_pair(path, by_stem.get(path.with_suffix(""), []), language)
    known = {path.with_suffix("") for path in media}
    for text in texts:
        if not known & set(media_stems(text)):
            yield Problem(str(text), "text without media", "no audio or video file of the same name")


def _read_pair(
    media: Path, texts: Sequence[tuple[str | None, Path]], language: str | None
) -> Iterator[Item | Problem]:
    """The item of `media`: a text of exactly its name is preferred, then one in `language`."""
    exact = [found for found in texts if found[0] is None]
    fitting = exact or [found for found in texts if language is None or found[0] == language]
    codes = ", ".join(sorted({str(code) for code, _ in fitting or texts}))
    if not texts:
        what = f"no text of the same name, such as {media.with_suffix('.srt').name}"
        yield Problem(str(media), "no text", what)
    elif not fitting:
        yield Problem(str(media), "no text", f"texts in {codes}, but none in {language}")
    elif len({code for code, _ in fitting}) > 1:
        yield Problem(str(media), "several languages", f"texts in {codes}; choose one with --language")
    else:
        code, text = min(fitting, key=lambda found: TEXT_SUFFIXES.index(found[1].suffix.lower()))
        yield from _read_text(media, text, code)


def _read_text(media: Path, text: Path, language: str | None) -> Iterator[Item | Problem]:
    try:
        if text.suffix.lower() == ".txt":
            words = [word for line in read_lines(text) for word in line.split()]
            yield Item(media, " ".join(words), language=language, origin=str(text))
            return
        found, faults = parse_cues(text)
    except TxError as error:
        place = re.match(re.escape(str(text)) + r"(:\d+)?:? ", error.message)
        origin = place[0].rstrip(": ") if place else str(text)
        yield Problem(origin, "unreadable text", error.message[place.end() if place else 0 :], error.hint)
        return
    for line, fault in faults:
        yield Problem(f"{text}:{line}", "unreadable cue", fault)
    cues = tuple(cue for _, cue in found)
    joined = " ".join(cue.text for cue in cues)
    yield Item(media, joined, 0.0, None, cues, language, str(text), tuple(line for line, _ in found))
