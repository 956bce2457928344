"""Reads SubRip (.srt) and WebVTT (.vtt) subtitles into cues, with the line of each fault.

SubRip has no standard, so a cue is what players accept: a line with two times, and the lines of text below it up to
an empty line. Cue numbers, hours and the form of the decimal point are optional; markup is removed. (pysubs2 skips a
line of times that it cannot read and does not give line numbers, so a damaged cue would be lost without a message.)
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tx.errors import TxError
from tx.text.lines import read_lines

SUBTITLE_SUFFIXES = (".srt", ".vtt")
TEXT_SUFFIXES = (*SUBTITLE_SUFFIXES, ".txt")  # of the text of a media file; the first one found is used
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_MISTYPED_ARROW = re.compile(rf"\s*{_TIME}\s*[-–—=>]+\s*{_TIME}")
_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")  # <i>, <v Anna>, <00:01.000>; {\an8}
_WORD_TIME = re.compile(r"<\d\d:\d\d")
_EXAMPLE = "00:00:01,000 --> 00:00:04,000"
_LANGUAGE = re.compile(r"(.+)\.([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]+)*")  # talk.de, talk.pt-BR, talk.en-orig


@dataclass(frozen=True)
class Cue:
    """A subtitle; times in seconds."""

    start: float
    end: float
    text: str


def read_cues(path: str | Path) -> list[Cue]:
    """The cues of an .srt or .vtt file, sorted by time, without empty ones.

    Raises TxError, with the line, if a time cannot be read or a cue ends before it starts, and if there are no cues.
    """
    cues, faults = parse_cues(path)
    for number, fault in faults:
        raise TxError(f"{path}:{number} {fault}", "correct the line")
    if not cues:
        raise TxError(f"{path} has no subtitles", f"a subtitle is a line like {_EXAMPLE} above its text")
    return [cue for _, cue in cues]


def parse_cues(path: str | Path) -> tuple[list[tuple[int, Cue]], list[tuple[int, str]]]:
    """The cues with the line numbers (from 1) of their times, and the faults of other cues with theirs.

    Automatic captions of web videos show each line two or three times while they scroll: each is taken once. Raises
    TxError only if the file is not text.
    """
    is_vtt = Path(path).suffix.lower() == ".vtt"
    blocks = list(_blocks(path, is_vtt))
    is_scrolling = is_vtt and any(_WORD_TIME.search(line) for _, _, below in blocks for line in below)
    cues: list[tuple[int, Cue]] = []
    faults: list[tuple[int, str]] = []
    shown: list[str] = []  # the lines of the cue before
    for number, line, below in blocks:
        lines = [_plain(text, is_vtt) for text in below]
        text = " ".join(text for text in lines if text and not (is_scrolling and text in shown))
        shown = lines
        if (times := _TIMES.fullmatch(line)) is None:
            faults.append((number, f"has no times like {_EXAMPLE}"))
        elif (start := _seconds(*times.groups()[:4])) > (end := _seconds(*times.groups()[4:])):
            faults.append((number, "ends before it starts"))
        elif text:
            cues.append((number, Cue(start, end, text)))
    return sorted(cues, key=lambda item: (item[1].start, item[1].end)), faults


def media_stems(path: Path) -> dict[Path, str | None]:
    """The paths, without suffix, of the media that `path` may be the text of: talk.de.srt belongs to talk.de or talk.

    The values are the languages, None if the name does not include one.
    """
    stem = path.with_suffix("")
    found: dict[Path, str | None] = {stem: None}
    if suffixed := _LANGUAGE.fullmatch(stem.name):
        found[stem.with_name(suffixed[1])] = suffixed[2].lower()
    return found


def _blocks(path: str | Path, is_vtt: bool) -> Iterator[tuple[int, str, list[str]]]:
    """Each line of times with its number and the lines of text below it."""
    at, times = 0, ""
    below: list[str] = []
    for number, line in enumerate((*read_lines(path), ""), start=1):
        is_times = "-->" in line or _MISTYPED_ARROW.match(line) is not None
        if not is_times and (line if is_vtt else line.strip()):  # a line of blanks is text in WebVTT
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
