"""Subtitles and transcripts, written cue by cue as they come: text, SubRip, WebVTT, TSV and JSON lines.

Cues are made readable first, as the guides of broadcasters ask: lines of at most 42 characters, two of them at a
time. A longer one is cut into several, at the end of a sentence or clause where there is one near, and gets its time
by its share of the characters.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from tx.speech.subtitles import Cue

SUFFIXES = {".txt": "text", ".srt": "srt", ".vtt": "vtt", ".tsv": "tsv", ".json": "json", ".jsonl": "json"}
FORMATS = ("text", "srt", "vtt", "tsv", "json")
LONGEST_LINE = 600  # characters of text without the end of a sentence
PAUSE = 2.0  # seconds of silence that end a line of text
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’»)\]]*$")
_PUNCTUATION = ".,:;!?…–—"
_SPACES = re.compile(r"\s+")


class Timed(Protocol):
    """Something said at some time: a `Cue`, or a segment of a transcript."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True)
class Layout:
    """How large a cue may be, in characters and lines; a `width` of 0 leaves cues as they are."""

    width: int = 42
    lines: int = 2


def caption_lines(
    said: Iterable[Timed],
    format: str,
    layout: Layout | None = None,
    extra: Callable[[Timed], dict[str, Any]] = vars,
) -> Iterator[str]:
    """The lines of a transcript in a format of `FORMATS`, each cue's as soon as it can be had.

    In JSON each segment is a line of what `extra` tells of it. Text is a line for each sentence, so that a translator
    can read it.
    """
    if format == "text":
        return sentences(said)
    if format == "json":
        return (_json(extra(one)) for one in said)
    if format == "tsv":
        return _tsv(said)
    cues = (cue for one in said for cue in readable(one, layout or Layout()))
    return _srt(cues) if format == "srt" else _vtt(cues)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _srt(cues: Iterable[Timed]) -> Iterator[str]:
    for number, cue in enumerate(cues, 1):
        yield from (str(number), f"{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}")
        yield from _shown(cue)
        yield ""


def _vtt(cues: Iterable[Timed]) -> Iterator[str]:
    yield from ("WEBVTT", "")
    for cue in cues:
        yield f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}"
        for line in _shown(cue):
            yield line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        yield ""


def _shown(cue: Timed) -> list[str]:
    """The lines of a cue; none may look like the line of times of the next."""
    return [line.replace("-->", "->") for line in cue.text.split("\n") if line.strip()]


def _tsv(said: Iterable[Timed]) -> Iterator[str]:
    yield "start\tend\ttext"
    for one in said:
        yield f"{one.start:.3f}\t{one.end:.3f}\t{_plain(one.text)}"


def _plain(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


def _clock(seconds: float, point: str) -> str:
    """`01:02:03,450`."""
    rest = round(seconds * 1000)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def sentences(said: Iterable[Timed]) -> Iterator[str]:
    """What was said, a line for each sentence or until a pause: segments are joined up to where one ends."""
    held, ended = "", 0.0
    for one in said:
        if held and one.start - ended >= PAUSE:
            yield held
            held = ""
        held, ended = f"{held} {_plain(one.text)}".strip(), one.end
        if _SENTENCE_END.search(held) or len(held) >= LONGEST_LINE:
            yield held
            held = ""
    if held:
        yield held


# --- readable cues ---


def readable(one: Timed, layout: Layout) -> list[Cue]:
    """A segment as cues of at most `layout.lines` lines of `layout.width` characters, its time shared out."""
    text = _plain(one.text)
    if not layout.width:
        return [Cue(one.start, one.end, text)]
    lines = wrap(text, layout.width)
    n_cues = -(-len(lines) // layout.lines)
    parts = _balanced(text, n_cues, layout) if n_cues > 1 else [text]
    cues, begin, total = [], 0, sum(map(len, parts))
    for part in parts:
        start = one.start + (one.end - one.start) * begin / total
        begin += len(part)
        end = one.start + (one.end - one.start) * begin / total
        cues.append(Cue(round(start, 3), round(end, 3), "\n".join(_even(part, layout.width))))
    return cues


def _balanced(text: str, n_cues: int, layout: Layout) -> list[str]:
    """The text in parts of about the same length that each fit a cue, broken after punctuation where it can be."""
    parts, rest = list[str](), text
    while rest:
        wrapped = wrap(rest, layout.width)
        if len(wrapped) <= layout.lines:
            return [*parts, rest]
        most = 0
        for line in wrapped[: layout.lines]:
            most = rest.index(line, most) + len(line)
        aim = min(most, max(len(text) // n_cues, 1))
        cut = _break_near(rest, aim, most)
        parts.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return parts


def _break_near(text: str, aim: int, most: int) -> int:
    """Where to break `text`, at most `most` characters in: near `aim`, rather after punctuation."""
    places = [found.end() for found in re.finditer(r"\s", text[: most + 1])] or [most]

    def cost(place: int) -> float:
        before = text[: place - 1][-1:]
        bonus = 0.5 if before in ".!?…:;" else 0.35 if before in ",–—" else 0.0
        return abs(place - aim) / aim - bonus

    return min(places, key=cost)


def _even(text: str, width: int) -> list[str]:
    """The text in as few lines as `width` allows, about equally long, or broken after punctuation."""
    n_lines = len(wrap(text, width))
    ways = [wrap(text, w) for w in range(max(1, len(text) // n_lines), width + 1)]

    def cost(lines: list[str]) -> float:
        broken_well = sum(line[-1] in _PUNCTUATION for line in lines[:-1])
        return (len(max(lines, key=len)) - len(min(lines, key=len))) / width - 0.35 * broken_well

    return min((lines for lines in ways if len(lines) <= n_lines), key=cost)


def wrap(text: str, width: int) -> list[str]:
    """The words of `text` in lines of at most `width` characters; a longer word, or text without spaces, is cut."""
    lines, line = list[str](), ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
        while len(line) > width:
            lines.append(line[:width])
            line = line[width:]
    return [*lines, line] if line else lines
