"""Windows and labels against what Radford et al. (2022) say, and against transformers' own tokenizer."""

import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tx.errors import TxError
from tx.package.hf_folder import open_hf_folder
from tx.speech.items import Item
from tx.speech.subtitles import Cue
from tx.speech.whisper_tokenizer import WhisperTokenizer as SpeechTokenizer
from tx.speech.windows import MAX_LABELS, Labels, Window, cut_windows
from whisper import byte_tokenizer, whisper_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_tokenizer()


def tokens(tokenizer: Tokenizer, ids: list[int]) -> str:
    return "".join(tokenizer.id_to_token(i) for i in ids).replace("Ġ", " ")


def talk(cues: Iterable[tuple[float, float, str]]) -> Item:
    found = tuple(Cue(*cue) for cue in cues)
    lines = tuple(range(2, 2 + 4 * len(found), 4))
    return Item(
        Path("talk.mp4"), " ".join(cue.text for cue in found), cues=found, origin="talk.srt", lines=lines
    )


def test_the_exact_sequence_of_a_sentence(tokenizer: Tokenizer) -> None:
    clip = Window(Path("a.wav"), 0.0, 2.345, "Hallo Welt")
    labels = Labels(whisper_tokenizer(), "de")
    ids, n = labels.ids(clip)
    assert (
        tokens(tokenizer, ids)
        == "<|startoftranscript|><|de|><|transcribe|><|notimestamps|> Hallo Welt<|endoftext|>"
    )
    assert n == 0 and ids.count(tokenizer.token_to_id("<|startoftranscript|>")) == 1
    timed, _ = labels.ids(clip, timestamps=True)
    assert tokens(tokenizer, timed) == (
        "<|startoftranscript|><|de|><|transcribe|><|0.00|> Hallo Welt<|2.34|><|endoftext|>"
    )
    assert labels.count(["Hallo Welt"]) == len(timed) - 1  # the start token is no label


def test_previous_text_is_a_prompt_that_is_not_learnt(tokenizer: Tokenizer) -> None:
    window = Window(Path("a.wav"), 30.0, 33.0, "Ja.", previous="Also gut.", language="en")
    ids, n = Labels(whisper_tokenizer(), task="translate").ids(window, previous=True)
    assert tokens(tokenizer, ids) == (
        "<|startofprev|> Also gut.<|startoftranscript|><|en|><|translate|><|notimestamps|> Ja.<|endoftext|>"
    )
    assert tokenizer.id_to_token(ids[n]) == "<|startoftranscript|>"
    long = Window(Path("a.wav"), 30.0, 33.0, "x" * 300, previous="y" * 1000, language="en")
    ids, n = Labels(whisper_tokenizer()).ids(long, previous=True)
    assert len(ids) == MAX_LABELS + 1 and tokens(tokenizer, ids[1:n]) == "y" * (n - 1)
    ids, n = Labels(whisper_tokenizer()).ids(
        Window(Path("a"), 0, 1, "x", previous="y" * 1000, language="en"), previous=True
    )
    assert n == 224  # half of the positions


def test_languages(tokenizer: Tokenizer) -> None:
    clip = Window(Path("a.wav"), 0.0, 1.0, "你好", language="zh", origin="a.tsv:3")
    assert tokens(tokenizer, Labels(whisper_tokenizer()).ids(clip)[0][:2]).endswith("<|zh|>")
    assert (
        tokenizer.token_to_id("Ġ") not in Labels(whisper_tokenizer()).ids(clip)[0]
    )  # no spaces between words
    assert tokens(tokenizer, Labels(whisper_tokenizer(), "de").ids(clip)[0][:2]).endswith(
        "<|de|>"
    )  # the one asked for wins
    assert tokens(tokenizer, Labels(whisper_tokenizer(multilingual=False)).ids(clip)[0]).startswith(
        "<|startoftranscript|><|notimestamps|>"
    )
    with pytest.raises(TxError, match="knows no language 'dee'") as error:
        Labels(whisper_tokenizer(), "dee")
    assert error.value.hint == "did you mean 'de'?"
    with pytest.raises(TxError, match=r"a\.tsv:4 does not name its language"):
        Labels(whisper_tokenizer()).ids(Window(Path("a.wav"), 0.0, 1.0, "x", origin="a.tsv:4"))


def test_a_crossing_cue_starts_the_next_window(tokenizer: Tokenizer) -> None:
    item = talk(
        [(1.0, 9.0, "a"), (10.0, 19.527, "b"), (20.0, 28.0, "c"), (28.5, 33.0, "d"), (34.0, 35.0, "e")]
    )
    windows, problems = cut_windows([item], Labels(whisper_tokenizer(), "de"), lambda media: 60.0)
    assert not problems
    first, second = windows
    assert (first.start, first.end, first.text, first.crossing) == (1.0, 28.5, "a b c", 28.5)
    assert (second.start, second.end, second.text, second.crossing) == (28.5, 36.0, "d e", None)
    assert (first.previous, second.previous) == ("", "a b c")
    assert (first.origin, second.origin) == ("talk.srt:2", "talk.srt:14")
    ids, _ = Labels(whisper_tokenizer(), "de").ids(first, timestamps=True)
    assert tokens(tokenizer, ids[3:]) == (
        "<|0.00|> a<|8.00|><|9.00|> b<|18.52|><|19.00|> c<|27.00|><|27.50|><|endoftext|>"
    )
    assert first.language is None


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.floats(0, 8), st.floats(0.04, 31), st.text("ab ", max_size=90)), min_size=1, max_size=25
    ),
    st.floats(0, 100),
)
def test_every_usable_cue_is_in_one_window(
    tokenizer: Tokenizer, gaps: list[tuple[float, float, str]], more: float
) -> None:
    cues, at = [], 0.0
    for gap, length, text in gaps:
        cues.append((at + gap, at + gap + length, text + "z"))
        at += gap + length
    labels = Labels(whisper_tokenizer(), "de")
    windows, problems = cut_windows([talk(cues)], labels, lambda media: at + more)
    cues_found = [cue for window in windows for cue in window.cues]
    usable = [cue for cue in cues if cue[1] - cue[0] <= 30]
    assert [cue.text for cue in cues_found] == [text for _, _, text in usable]
    assert {problem.kind for problem in problems} <= {"cue over 30 s"}
    assert len(problems) == len(cues) - len(usable)
    for window in windows:
        assert window.start == window.cues[0].start
        assert window.start < window.end <= min(window.start + 30 + 1e-9, at + more)
        assert len(labels.ids(window, timestamps=True)[0]) - 1 <= MAX_LABELS
        times = [id - tokenizer.token_to_id("<|0.00|>") for id in labels.ids(window, timestamps=True)[0]]
        stamps = [time for time in times if time >= 0]
        assert stamps == sorted(stamps) and max(stamps) <= 1500
        if window.crossing is not None:
            assert window.crossing - window.start < 30
    for earlier, later in pairwise(windows):
        assert earlier.end <= later.start + 1e-9


def test_overlapping_cues_are_separated(tokenizer: Tokenizer) -> None:
    item = talk([(0.0, 3.0, "a"), (2.0, 4.0, "b"), (5.0, 6.0, "c"), (5.0, 7.0, "d")])
    (window,), _ = cut_windows([item], Labels(whisper_tokenizer(), "de"), lambda media: 10.0)
    assert [(cue.start, cue.end, cue.text) for cue in window.cues] == [
        (0, 2, "a"),
        (2, 4, "b"),
        (5, 7, "c d"),
    ]


def test_problems_are_reported(tokenizer: Tokenizer) -> None:
    items = [
        Item(Path("long.wav"), "a", origin="t.tsv:2"),
        Item(Path("short.wav"), "a", 0.0, 0.05, origin="t.tsv:3"),
        Item(Path("short.wav"), "a", 1.0, 9.0, origin="t.tsv:4"),
        Item(Path("short.wav"), "x" * 450, origin="t.tsv:5"),
        Item(Path("broken.wav"), "a", origin="t.tsv:6"),
        Item(Path("long.wav"), "a", 10.0, 39.0, origin="t.tsv:7"),
    ]

    def seconds(media: object) -> float:
        if str(media) == "broken.wav":
            raise TxError("broken.wav is truncated")
        return 40.0 if str(media) == "long.wav" else 3.0

    windows, problems = cut_windows(
        [*items, talk([(1.0, 2.0, "a"), (70.0, 71.0, "b")])], Labels(whisper_tokenizer(), "de"), seconds
    )
    assert [window.origin for window in windows] == ["t.tsv:7", "talk.srt:2"]
    assert [(problem.origin, problem.kind) for problem in problems] == [
        ("t.tsv:2", "over 30 s without times"),
        ("t.tsv:3", "too short"),
        ("t.tsv:4", "times beyond the audio"),
        ("t.tsv:5", "label too long"),
        ("t.tsv:6", "media that cannot be read"),
        ("talk.srt:6", "times beyond the audio"),
    ]
    exact = Item(Path("short.wav"), "x" * (MAX_LABELS - 6), origin="t.tsv:8")
    assert len(cut_windows([exact], Labels(whisper_tokenizer(), "de"), seconds)[0]) == 1


@pytest.mark.skipif("TX_WHISPER_BASE" not in os.environ, reason="TX_WHISPER_BASE names no Whisper model")
def test_ids_are_those_of_transformers_tokenizer() -> None:
    from transformers import WhisperTokenizer

    base = os.environ["TX_WHISPER_BASE"]
    tokenizer = WhisperTokenizer.from_pretrained(base, language="de", task="transcribe")
    labels = Labels(SpeechTokenizer(open_hf_folder(base)), "de")
    window = Window(Path("a.wav"), 0.0, 2.0, "Grüße aus Köln, 3,5 km entfernt.")
    ids, _ = labels.ids(window)
    assert ids == tokenizer(" " + window.text).input_ids
    timed, _ = labels.ids(window, timestamps=True)
    decoded = tokenizer.decode(timed, decode_with_timestamps=True)
    assert decoded.endswith("<|0.00|> Grüße aus Köln, 3,5 km entfernt.<|2.00|><|endoftext|>")
