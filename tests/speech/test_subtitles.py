"""Subtitles read back against the cues that were written, and hand-written files with typical faults."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tx.errors import TxError
from tx.speech.subtitles import Cue, media_stems, parse_cues, read_cues

milliseconds = st.integers(0, 100 * 3600 * 1000)
words = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="<>{}&-"), min_size=1
)
lines = st.lists(words, min_size=1, max_size=4).map(" ".join)
SETTINGS = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def subtitles(draw: st.DrawFn) -> list[tuple[int, int, list[str]]]:
    """Cues in order as start and end in milliseconds and lines of text that are more than a number."""
    times = draw(
        st.lists(st.tuples(milliseconds, st.integers(0, 60_000)), min_size=1, max_size=8, unique=True)
    )
    found = sorted((start, start + length) for start, length in times)
    texts = [
        draw(st.lists(lines.filter(lambda line: not line.strip().isdecimal()), min_size=1, max_size=3))
        for _ in found
    ]
    return [(start, end, text) for (start, end), text in zip(found, texts, strict=True)]


def clock(time: int, point: str) -> str:
    return f"{time // 3600000:02}:{time // 60000 % 60:02}:{time // 1000 % 60:02}{point}{time % 1000:03}"


def expected(cues: Sequence[tuple[int, int, list[str]]]) -> list[Cue]:
    return [Cue(start / 1000, end / 1000, " ".join(" ".join(text).split())) for start, end, text in cues]


@SETTINGS
@given(subtitles(), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_subrip_is_read_back(
    tmp_path: Path, cues: list[tuple[int, int, list[str]]], end: str, numbered: bool, marked: bool
) -> None:
    parts = []
    for number, (start, stop, text) in enumerate(cues, 1):
        times = f"{clock(start, ',')} --> {clock(stop, ',')}"
        parts.append(end.join([*([str(number)] if numbered else []), times, *text]))
    path = tmp_path / "a.srt"
    path.write_bytes((b"\xef\xbb\xbf" if marked else b"") + (end * 2).join(parts).encode())
    assert read_cues(path) == expected(cues)


@SETTINGS
@given(subtitles(), st.booleans())
def test_webvtt_is_read_back(tmp_path: Path, cues: list[tuple[int, int, list[str]]], named: bool) -> None:
    parts = [
        "WEBVTT - a title\nKind: captions",
        "NOTE a comment\nof two lines",
        "STYLE\n::cue { color: red }",
    ]
    for start, stop, text in cues:
        times = f"{clock(start, '.')} --> {clock(stop, '.')} align:start position:0%"
        parts.append("\n".join([*(["intro"] if named else []), times, *text]))
    path = tmp_path / "a.vtt"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8", newline="")
    assert read_cues(path) == expected(cues)


def read(tmp_path: Path, text: str, name: str = "a.srt") -> list[Cue]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return read_cues(path)


def test_markup_and_entities_are_removed(tmp_path: Path) -> None:
    text = (
        '1\n00:00:01,000 --> 00:00:02,500 X1:40 X2:600\n{\\an8}<i>Guten</i>\n<font color="#fff">Tag</font>\n'
    )
    assert read(tmp_path, text) == [Cue(1.0, 2.5, "Guten Tag")]
    text = "WEBVTT\n\n01:02.5 --> 01:04.000\n<v Anna>Q&amp;A<00:01:03.000><c> ist</c>&nbsp;da"
    assert read(tmp_path, text, "a.vtt") == [Cue(62.5, 64.0, "Q&A ist da")]
    assert read(tmp_path, "00:01,0 --> 00:02,0\nQ&amp;A {sic}\n") == [Cue(1.0, 2.0, "Q&amp;A {sic}")]


def test_scrolling_captions_are_taken_once(tmp_path: Path) -> None:
    text = """WEBVTT
Kind: captions

00:00:00.160 --> 00:00:02.470 align:start position:0%
~
so<00:00:00.480><c> weit</c>

00:00:02.470 --> 00:00:02.480 align:start position:0%
so weit
~

00:00:02.480 --> 00:00:04.990 align:start position:0%
so weit
so<00:00:02.700><c> gut</c>

00:00:04.990 --> 00:00:05.000 align:start position:0%
so gut
~

"""
    assert read(tmp_path, text.replace("~", " "), "a.vtt") == [
        Cue(0.16, 2.47, "so weit"),
        Cue(2.48, 4.99, "so gut"),
    ]
    plain = "WEBVTT\n\n00:01.000 --> 00:02.000\nNein.\n\n00:02.000 --> 00:03.000\nNein.\n"
    assert len(read(tmp_path, plain, "b.vtt")) == 2  # repeated speech, not scrolling


def test_missing_empty_lines_and_numbers_are_accepted(tmp_path: Path) -> None:
    text = "1\n00:01,0 --> 00:02,0\nEins\n2\n00:03,0 --> 00:04,0\nZwei\n\n\n\n00:05,0-->00:06,0\nDrei"
    assert [cue.text for cue in read(tmp_path, text)] == ["Eins", "Zwei", "Drei"]
    text = "00:03,0 --> 00:04,0\nspäter\n\n00:01,0 --> 00:02,0\nfrüher\n\n00:09,0 --> 00:09,5\n\n"
    assert [cue.text for cue in read(tmp_path, text)] == ["früher", "später"]
    assert read(tmp_path, "00:00:01,000 --> 00:00:02,000\n1984\n\n") == [Cue(1.0, 2.0, "1984")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n00:00:01,000 --> 00:0x:02,000\nEins\n", ":2 has no times"),
        ("1\n00:00:05,000 --> 00:00:02,000\nEins\n", ":2 ends before it starts"),
        ("Eins\nZwei\n", "has no subtitles"),
        ("", "has no subtitles"),
    ],
)
def test_faults_have_their_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TxError, match=words) as error:
        read(tmp_path, text)
    assert str(tmp_path / "a.srt") in error.value.message


def test_a_faulty_cue_does_not_affect_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("00:01,0 --> 00:02,0\nEins\n\n00:0 --> x\nZwei\n\n00:05,0 --> 00:06,0\nDrei\n")
    cues, faults = parse_cues(path)
    assert [(line, cue.text) for line, cue in cues] == [(1, "Eins"), (7, "Drei")]
    assert [line for line, _ in faults] == [4]


@pytest.mark.parametrize("arrow", ["->", "–>", "--", "=>", " – "])
def test_a_mistyped_arrow_is_reported(tmp_path: Path, arrow: str) -> None:
    path = tmp_path / "a.srt"
    path.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\neins\n\n"
        f"2\n00:00:03,000 {arrow} 00:00:04,000\nzwei\n\n"
        "3\n00:00:05,000 --> 00:00:06,000\ndrei\n"
    )
    cues, faults = parse_cues(path)
    assert [cue.text for _, cue in cues] == ["eins", "drei"]
    assert faults == [(6, "has no times like 00:00:01,000 --> 00:00:04,000")]


def test_other_encodings_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_bytes("1\n00:00:01,000 --> 00:00:02,000\nfür\n".encode("latin-1"))
    with pytest.raises(TxError, match=r"a\.srt:3 is not UTF-8"):
        read_cues(tmp_path / "a.srt")
    (tmp_path / "b.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nEins\n", encoding="utf-16")
    with pytest.raises(TxError, match="UTF-16"):
        read_cues(tmp_path / "b.srt")


def test_a_name_may_include_the_language() -> None:
    assert media_stems(Path("x/talk.srt")) == {Path("x/talk"): None}
    assert media_stems(Path("talk.de.srt")) == {Path("talk.de"): None, Path("talk"): "de"}
    assert media_stems(Path("talk.pt-BR.vtt"))[Path("talk")] == "pt"
    assert media_stems(Path("talk.en-orig.vtt"))[Path("talk")] == "en"
    assert Path("season") not in media_stems(Path("season.final.srt"))
