"""Subtitle files as people have them: SubRip (.srt) and WebVTT (.vtt), read into cues.

SubRip has no standard, so what is taken for a cue is what players take: a line with two times, and the lines below it
up to an empty one. Numbers, hours and the form of the decimal point are optional; markup is dropped.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tx.errors import TxError
from tx.text.lines import read_lines

SUFFIXES = (".srt", ".vtt")
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")  # <i>, <v Anna>, <00:01.000>; {\\an8}


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
    return [cue for _, cue in read_numbered(path)]


def read_numbered(path: str | Path) -> list[tuple[int, Cue]]:
    """The same, each cue with the line (from 1) of its times."""
    found = [(number, cue) for number, cue in _cues(path) if cue.text]
    if not found:
        raise TxError(
            f"{path} holds no subtitles", "a cue is a line like 00:00:01,000 --> 00:00:04,000 above its text"
        )
    return sorted(found, key=lambda item: (item[1].start, item[1].end))


def _cues(path: str | Path) -> Iterator[tuple[int, Cue]]:
    is_vtt = Path(path).suffix.lower() == ".vtt"
    at, times, text = 0, (0.0, 0.0), list[str]()
    for number, line in enumerate((*read_lines(path), ""), start=1):
        if "-->" in line:
            if at:  # no empty line before it: what stands above is the number of this cue
                yield (
                    at,
                    Cue(*times, _plain(text[:-1] if text[-1:] and _is_number(text[-1]) else text, is_vtt)),
                )
            at, times, text = number, _times(line, path, number), []
        elif line.strip():
            text.append(line)
        elif at:
            yield at, Cue(*times, _plain(text, is_vtt))
            at, text = 0, []
        else:
            text = []  # a header, a note, a number


def _is_number(line: str) -> bool:
    return line.strip().isdecimal()


def _times(line: str, path: str | Path, number: int) -> tuple[float, float]:
    if (found := _TIMES.fullmatch(line)) is None:
        raise TxError(f"{path}:{number} has no times like 00:00:01,000 --> 00:00:04,000", "mend the line")
    start, end = _seconds(*found.groups()[:4]), _seconds(*found.groups()[4:])
    if end < start:
        raise TxError(f"{path}:{number} ends before it starts", "mend the line")
    return start, end


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    milliseconds = (int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)) * 1000 + int(
        fraction.ljust(3, "0")
    )
    return milliseconds / 1000


def _plain(lines: list[str], is_vtt: bool) -> str:
    """The text of a cue in one line, without markup."""
    text = _MARKUP.sub("", " ".join(lines))
    return " ".join((html.unescape(text) if is_vtt else text).split())
