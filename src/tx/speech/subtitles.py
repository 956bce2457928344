"""Subtitle files as people have them: SubRip (.srt) and WebVTT (.vtt), read into cues.

SubRip has no standard, so what is taken for a cue is what players take: a line with two times, and the lines below
it up to an empty one. Numbers, hours and the form of the decimal point are optional; markup is dropped.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tx.errors import TxError
from tx.text.lines import read_lines

SUFFIXES = (".srt", ".vtt")
TEXTS = (*SUFFIXES, ".txt")  # what may say the text of a media file; in this order where there are several
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_NEARLY = re.compile(rf"\s*{_TIME}\s*[-–—=>]+\s*{_TIME}")  # a mistyped arrow
_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")  # <i>, <v Anna>, <00:01.000>; {\an8}
_INLINE = re.compile(r"<\d\d:\d\d")  # the time of a word
_EXAMPLE = "00:00:01,000 --> 00:00:04,000"
_LANGUAGE = re.compile(r"(.+)\.([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]+)*")  # talk.de, talk.pt-BR, talk.en-orig


@dataclass(frozen=True)
class Cue:
    """A line of subtitles; times in seconds."""

    start: float
    end: float
    text: str


def read_cues(path: str | Path) -> list[Cue]:
    """The cues of an .srt or .vtt file in the order of their times, those without text left away.

    Raises TxError, with the line, where a time cannot be read, a cue ends before it starts, or the file holds none.
    """
    cues, faults = parse_cues(path)
    for number, fault in faults:
        raise TxError(f"{path}:{number} {fault}", "mend the line")
    if not cues:
        raise TxError(f"{path} holds no subtitles", f"a cue is a line like {_EXAMPLE} above its text")
    return [cue for _, cue in cues]


def parse_cues(path: str | Path) -> tuple[list[tuple[int, Cue]], list[tuple[int, str]]]:
    """The cues with the lines (from 1) of their times, and what is wrong with others, with their lines.

    Captions that roll, as those that are made by machine for the web, show each line twice or three times: it is
    taken once. Raises TxError only for what is no text.
    """
    is_vtt = Path(path).suffix.lower() == ".vtt"
    blocks = list(_blocks(path, is_vtt))
    rolls = is_vtt and any(_INLINE.search(line) for _, _, below in blocks for line in below)
    cues: list[tuple[int, Cue]] = []
    faults: list[tuple[int, str]] = []
    shown: list[str] = []  # the lines on the screen before
    for number, line, below in blocks:
        lines = [_plain(text, is_vtt) for text in below]
        text = " ".join(text for text in lines if text and not (rolls and text in shown))
        shown = lines
        if (times := _TIMES.fullmatch(line)) is None:
            faults.append((number, f"has no times like {_EXAMPLE}"))
        elif (start := _seconds(*times.groups()[:4])) > (end := _seconds(*times.groups()[4:])):
            faults.append((number, "ends before it starts"))
        elif text:
            cues.append((number, Cue(start, end, text)))
    return sorted(cues, key=lambda item: (item[1].start, item[1].end)), faults


def media_stems(path: Path) -> dict[Path, str | None]:
    """The names, without suffix, of media whose text `path` may be: talk.de.srt belongs to talk.de, or to talk.

    The values are the languages, None where the name says nothing about it.
    """
    stem = path.with_suffix("")
    found: dict[Path, str | None] = {stem: None}
    if suffixed := _LANGUAGE.fullmatch(stem.name):
        found[stem.with_name(suffixed[1])] = suffixed[2].lower()
    return found


def _blocks(path: str | Path, is_vtt: bool) -> Iterator[tuple[int, str, list[str]]]:
    """Each line of times with its number and the lines below it."""
    at, times = 0, ""
    below: list[str] = []
    for number, line in enumerate((*read_lines(path), ""), start=1):
        is_times = "-->" in line or _NEARLY.match(line) is not None
        if not is_times and (line if is_vtt else line.strip()):  # in WebVTT a blank is text
            below.append(line)
            continue
        if at:
            has_number = is_times and below and below[-1].strip().isdecimal()  # of the cue that starts here
            yield at, times, below[:-1] if has_number else below
        at, times, below = (number, line, []) if is_times else (0, "", [])


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return (whole * 1000 + int(fraction.ljust(3, "0"))) / 1000


def _plain(line: str, is_vtt: bool) -> str:
    """A line of a cue without markup."""
    text = _MARKUP.sub("", line)
    return " ".join((html.unescape(text) if is_vtt else text).split())
