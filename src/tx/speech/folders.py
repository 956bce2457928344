"""Folders of media: each file with a text of the same name beside it, or all of them in a table of metadata."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tx.errors import TxError
from tx.speech import media, tables
from tx.speech.items import Item, NoSpeechError, Problem
from tx.speech.subtitles import TEXTS, media_stems, parse_cues
from tx.text.lines import read_lines

_Texts = Mapping[Path, Sequence[tuple[str | None, Path]]]


def read_folder(folder: Path, language: str | None = None) -> Iterator[Item | Problem]:
    """The items of a folder: of its tables called metadata, as in an audiofolder, else of its media with texts beside
    them, else of the only table in it. Raises NoSpeechError where it has none of these, TxError where several."""
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if not _is_hidden(path.relative_to(folder)) and path.is_file()
    ]
    metadata = [path for path in files if tables.kind_of(path) and path.name.startswith("metadata.")]
    if metadata:
        for table in metadata:
            yield from tables.read_table(table)
        return
    sounds = [path for path in files if path.suffix.lower() in media.SUFFIXES]
    texts = [path for path in files if path.suffix.lower() in TEXTS]
    found = [path for path in files if tables.kind_of(path) and path.parent == folder]
    if found and not texts:
        if len(found) > 1:
            raise TxError(
                f"{folder} holds several tables: {', '.join(path.name for path in found)}", "name one of them"
            )
        yield from tables.read_table(found[0])
    elif not sounds:
        raise NoSpeechError(
            f"{folder} holds no audio or video", "give a folder of media with texts, or a table"
        )
    else:
        yield from _pairs(sounds, texts, language)


def read_media_file(path: Path, language: str | None = None) -> Iterator[Item | Problem]:
    """The item of a media file, or of the text beside it. Raises NoSpeechError for a file that is neither."""
    siblings = [entry for entry in sorted(path.parent.iterdir()) if not _is_hidden(Path(entry.name))]
    texts = [entry for entry in siblings if entry.suffix.lower() in TEXTS]
    sounds = [entry for entry in siblings if entry.suffix.lower() in media.SUFFIXES]
    if path.suffix.lower() in TEXTS:
        texts, sounds = [path], [sound for sound in sounds if sound.with_suffix("") in media_stems(path)]
        if not sounds:
            raise NoSpeechError(
                f"{path} has no audio or video of its name beside it", f"such as {path.with_suffix('.mp4')}"
            )
    elif path.suffix.lower() in media.SUFFIXES:
        sounds = [path]
        texts = [text for text in texts if path.with_suffix("") in media_stems(text)]
    else:
        raise NoSpeechError(
            f"{path} is no set of speech",
            "give a folder, a table (.tsv, .csv, .jsonl), or media with a text beside it",
        )
    return _pairs(sounds, texts, language)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _pairs(sounds: Sequence[Path], texts: Sequence[Path], language: str | None) -> Iterator[Item | Problem]:
    by_stem: defaultdict[Path, list[tuple[str | None, Path]]] = defaultdict(list)
    for text in texts:
        for stem, spoken in media_stems(text).items():
            by_stem[stem].append((spoken, text))
    for sound in sounds:
        yield from _paired(sound, by_stem.get(sound.with_suffix(""), []), language)
    known = {sound.with_suffix("") for sound in sounds}
    for text in texts:
        if not known & set(media_stems(text)):
            yield Problem(str(text), "text without media", "has no audio or video of its name beside it")


def _paired(
    sound: Path, texts: Sequence[tuple[str | None, Path]], language: str | None
) -> Iterator[Item | Problem]:
    """The item of `sound`: a text of exactly its name goes first, then one in `language`."""
    fitting = [found for found in texts if found[0] is None] or [
        found for found in texts if language is None or found[0] == language
    ]
    if not texts:
        yield Problem(
            str(sound), "no text", f"has no text beside it, such as {sound.with_suffix('.srt').name}"
        )
    elif not fitting:
        spoken = ", ".join(sorted({str(code) for code, _ in texts}))
        yield Problem(str(sound), "no text", f"has texts in {spoken} beside it, but none in {language}")
    elif len({code for code, _ in fitting}) > 1:
        spoken = ", ".join(sorted({str(code) for code, _ in fitting}))
        yield Problem(
            str(sound), "several languages", f"has texts in {spoken} beside it: say which with --language"
        )
    else:
        code, text = min(fitting, key=lambda found: TEXTS.index(found[1].suffix.lower()))
        yield from _read_text(sound, text, code)


def _read_text(sound: Path, text: Path, language: str | None) -> Iterator[Item | Problem]:
    try:
        if text.suffix.lower() == ".txt":
            words = [word for line in read_lines(text) for word in line.split()]
            yield Item(sound, " ".join(words), language=language, origin=str(text))
            return
        found, faults = parse_cues(text)
    except TxError as error:
        place = re.match(re.escape(str(text)) + r"(:\d+)?:? ", error.message)
        origin = place[0].rstrip(": ") if place else str(text)
        yield Problem(origin, "unreadable text", error.message[place.end() if place else 0 :], error.hint)
        return
    for line, what in faults:
        yield Problem(f"{text}:{line}", "unreadable cue", what)
    cues = tuple(cue for _, cue in found)
    joined = " ".join(cue.text for cue in cues)
    yield Item(sound, joined, 0.0, None, cues, language, str(text), tuple(line for line, _ in found))
