"""Transcripts as text, SubRip, WebVTT, TSV and JSON lines, written segment by segment while they are decoded.

Subtitles are made readable first, as the guidelines of broadcasters recommend: at most two lines of 42 characters. A
longer segment is split into several cues, if possible at the end of a sentence or clause, which share its time in
proportion to their characters. (pysubs2 writes whole files only, and interprets braces and backslashes in the text.)
"""

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tx.speech.subtitles import Cue

SUFFIX_OF_FORMAT = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "tsv": ".tsv", "json": ".jsonl"}
FORMAT_OF_SUFFIX = {suffix: format for format, suffix in SUFFIX_OF_FORMAT.items()} | {".json": "json"}
MAX_LINE = 600  # characters of a line of text that has no end of a sentence
PAUSE = 2.0  # seconds of silence that end a line of text
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’»)\]]*$")
_PUNCTUATION = ".,:;!?…–—"


@dataclass(frozen=True)
class Layout:
    """The largest size of a cue, in characters and lines; with a `width` of 0, segments are not split."""

    width: int = 42
    lines: int = 2


def transcript_lines(
    segments: Iterable[Cue], format: str, layout: Layout | None = None, file: str | None = None
) -> Iterator[str]:
    """The lines of a transcript in a format of `SUFFIX_OF_FORMAT`, each as soon as its segment is complete.

    A segment of a transcript is a cue with further fields. JSON has a line with all fields of each segment, and the
    name of the `file`. Text has a line for each sentence, so that it can be translated line by line.
    """
    if format == "text":
        yield from sentences(segments)
    elif format == "json":
        for segment in segments:
            record: dict[str, Any] = {} if file is None else {"file": file}
            for name, value in vars(segment).items():
                record[name] = round(value, 4) if isinstance(value, float) else value
            yield json.dumps(record, ensure_ascii=False)
    elif format == "tsv":
        yield "start\tend\ttext"
        for segment in segments:
            yield f"{segment.start:.3f}\t{segment.end:.3f}\t{_one_line(segment.text)}"
    else:
        yield from ("WEBVTT", "") if format == "vtt" else ()
        cues = (cue for segment in segments for cue in readable(segment, layout or Layout()))
        for number, cue in enumerate(cues, 1):
            times = f"{_timestamp(cue.start)} --> {_timestamp(cue.end)}"
            # An arrow in the text would be read as the line of times of the next cue.
            text = [line.replace("-->", "->") for line in cue.text.split("\n") if line.strip()]
            if format == "srt":
                yield from (str(number), times.replace(".", ","), *text, "")
            else:
                yield from (times, *(html.escape(line, quote=False) for line in text), "")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _timestamp(seconds: float) -> str:
    """`01:02:03.450`."""
    rest = round(seconds * 1000)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def sentences(segments: Iterable[Cue]) -> Iterator[str]:
    """The text, a line for each sentence or until a pause: segments are joined until a sentence ends."""
    line, end = "", 0.0
    for segment in segments:
        if line and segment.start - end >= PAUSE:
            yield line
            line = ""
        line, end = f"{line} {_one_line(segment.text)}".strip(), segment.end
        if _SENTENCE_END.search(line) or len(line) >= MAX_LINE:
            yield line
            line = ""
    if line:
        yield line


# --- readable cues ---


def readable(segment: Cue, layout: Layout) -> list[Cue]:
    """A segment as cues of at most `layout.lines` lines of `layout.width` characters, which share its time."""
    text = _one_line(segment.text)
    if not layout.width:
        return [Cue(segment.start, segment.end, text)]
    lines = wrap(text, layout.width)
    n_cues = -(-len(lines) // layout.lines)
    parts = _split_text(text, n_cues, layout) if n_cues > 1 else [text]
    cues, begin, total = [], 0, sum(map(len, parts))
    for part in parts:
        start = segment.start + (segment.end - segment.start) * begin / total
        begin += len(part)
        end = segment.start + (segment.end - segment.start) * begin / total
        cues.append(Cue(round(start, 3), round(end, 3), "\n".join(_balanced_lines(part, layout.width))))
    return cues


def _split_text(text: str, n_cues: int, layout: Layout) -> list[str]:
    """The text in parts of about the same length that each fit a cue, split after punctuation if possible."""
    parts, rest = list[str](), text
    while rest:
        wrapped = wrap(rest, layout.width)
        if len(wrapped) <= layout.lines:
            return [*parts, rest]
        limit = 0
        for line in wrapped[: layout.lines]:
            limit = rest.index(line, limit) + len(line)
        aim = min(limit, max(len(text) // n_cues, 1))
        cut = _split_position(rest, aim, limit)
        parts.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return parts


def _split_position(text: str, aim: int, limit: int) -> int:
    """Where to split `text`: after at most `limit` characters, near `aim`, preferably after punctuation."""
    places = [found.end() for found in re.finditer(r"\s", text[: limit + 1])] or [limit]

    def cost(place: int) -> float:
        before = text[: place - 1][-1:]
        bonus = 0.5 if before in ".!?…:;" else 0.35 if before in ",–—" else 0.0
        return abs(place - aim) / aim - bonus

    return min(places, key=cost)


def _balanced_lines(text: str, width: int) -> list[str]:
    """The text in as few lines as `width` allows, of about equal length or split after punctuation."""
    n_lines = len(wrap(text, width))
    ways = [wrap(text, w) for w in range(max(1, len(text) // n_lines), width + 1)]

    def cost(lines: list[str]) -> float:
        good_breaks = sum(line[-1] in _PUNCTUATION for line in lines[:-1])
        return (len(max(lines, key=len)) - len(min(lines, key=len))) / width - 0.35 * good_breaks

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
