"""Transcripts in all formats, read back by tx and pysubs2, and the layout of cues: no word is lost."""

import html
import json
from itertools import pairwise
from pathlib import Path

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tx.speech.subtitles import Cue, read_cues
from tx.speech.transcript_formats import SUFFIX_OF_FORMAT, Layout, readable, sentences, transcript_lines, wrap

CUES = [
    Cue(0.0, 2.5, "Guten Abend."),
    Cue(2.5, 11.0, "Die Höhle befindet sich auf der Spitze eines der Berge nördlich von Mekka, und ist ganz allein."),
    Cue(3599.9996, 3605.25, "Tom & <b>Anna</b> --> Ende"),
]  # fmt: skip
words = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=60)
texts = st.lists(words, min_size=1, max_size=60).map(" ".join)


def written(format: str, cues: list[Cue] = CUES, layout: Layout | None = None) -> str:
    return "".join(f"{line}\n" for line in transcript_lines(cues, format, layout))


def test_srt_has_numbers_times_and_text() -> None:
    assert written("srt").split("\n\n")[0] == "1\n00:00:00,000 --> 00:00:02,500\nGuten Abend."
    assert "\n00:59:59,999 --> " not in written("srt")  # rounded up to the next hour, not cut
    assert "\n01:00:00,000 --> 01:00:05,250\n" in written("srt")


def test_vtt_has_its_header_and_entities() -> None:
    text = written("vtt")
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.500\n")
    assert "Tom &amp; &lt;b&gt;Anna&lt;/b&gt; -&gt; Ende" in text


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_pysubs2_reads_what_is_written(format: str) -> None:
    """An independent reader finds the same times and lines, braces and arrows included."""
    cues = [Cue(1.0, 2.5, "Eins, {zwei}."), Cue(2.5, 3725.042, "Drei\nund vier -> fünf?")]
    text = written(format, cues, Layout(width=0))
    events = pysubs2.SSAFile.from_string(text, format).events
    assert [(event.start, event.end) for event in events] == [(1000, 2500), (2500, 3_725_042)]
    found = [html.unescape(event.text) for event in events]
    assert found == ["Eins, {zwei}.", "Drei und vier -> fünf?"]


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_what_is_written_is_read_back(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"talk.{format}"
    said = [Cue(1.0, 2.5, "Eins, zwei."), Cue(2.5, 4.0, "Drei & vier?")]
    path.write_text(written(format, said), encoding="utf-8")
    assert read_cues(path) == said


def test_tsv_and_json_are_a_line_for_each_segment() -> None:
    said = [Cue(0.5, 1.25, "a\tb\nc"), Cue(2, 3, 'das "Wort"')]
    assert written("tsv", said) == 'start\tend\ttext\n0.500\t1.250\ta b c\n2.000\t3.000\tdas "Wort"\n'
    records = [json.loads(line) for line in written("json", said).splitlines()]
    assert records == [
        {"start": 0.5, "end": 1.25, "text": "a\tb\nc"},
        {"start": 2, "end": 3, "text": 'das "Wort"'},
    ]


def test_text_is_a_line_for_each_sentence_or_until_a_pause() -> None:
    said = [
        Cue(0, 1, "Der Zug"),
        Cue(1, 2, "fährt ab."),
        Cue(2, 3, "Er sagte: «Nein!»"),
        Cue(3, 4, "ohne Ende"),
        Cue(9, 10, "nach einer Pause"),
    ]
    expected = ["Der Zug fährt ab.", "Er sagte: «Nein!»", "ohne Ende", "nach einer Pause"]
    assert list(sentences(said)) == expected


def test_sentences_are_written_as_soon_as_they_are_complete() -> None:
    taken = []

    def said() -> "list[Cue]":
        for cue in (Cue(0, 1, "Eins."), Cue(1, 2, "Zwei.")):
            taken.append(cue)
            yield cue  # type: ignore[misc]

    for format in SUFFIX_OF_FORMAT:
        taken.clear()
        lines = iter(transcript_lines(said(), format))
        while "Eins" not in next(lines):
            pass
        assert len(taken) == 1, format


@given(text=texts, width=st.integers(5, 60), lines=st.integers(1, 3), seconds=st.floats(0.1, 30))
def test_cues_are_readable_for_any_text(text: str, width: int, lines: int, seconds: float) -> None:
    cues = readable(Cue(7.0, 7.0 + seconds, text), Layout(width, lines))
    for cue in cues:
        shown = cue.text.split("\n")
        assert len(shown) <= lines and all(0 < len(line) <= width for line in shown)
        assert cue.end >= cue.start
    assert "".join(cue.text for cue in cues).replace("\n", "").replace(" ", "") == text.replace(" ", "")
    assert cues[0].start == 7.0 and cues[-1].end == pytest.approx(7.0 + seconds, abs=1e-3)
    assert all(first.end == then.start for first, then in pairwise(cues))


def test_cues_break_after_a_sentence_and_lines_are_even() -> None:
    text = (
        "Das war der erste Satz in diesem Film. Und hier kommt nun noch ein zweiter, der auch nicht kurz ist."
    )
    cues = readable(Cue(0, 10, text), Layout())
    assert [cue.text for cue in cues] == [
        "Das war der erste Satz in diesem Film.",
        "Und hier kommt nun noch ein zweiter,\nder auch nicht kurz ist.",
    ]
    assert cues[0].end == pytest.approx(10 * 38 / 99, abs=0.01)
    assert readable(Cue(0, 10, text), Layout(width=0))[0].text == text


@given(text=texts, width=st.integers(1, 80))
def test_lines_are_filled_from_the_left(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert all(len(line) <= width for line in lines)
    for line, then in pairwise(lines):  # the next word had no room, or is one that was cut
        assert len(line) + 1 + len(then.split(" ")[0]) > width or len(line) == width
