"""`tx transcribe` on generated media and a tiny model, with both engines.

The transcripts of the tiny model are noise, so the tests check where they are written, in which format, and that
engines, files, pipes and folders agree.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from media import beeps, write_media, write_silent_video
from tx.cli.app import main
from tx.errors import TxError
from tx.package.hf_folder import open_hf_folder
from tx.speech.media import RATE
from tx.speech.subtitles import read_cues
from tx.speech.transcribe import Options, open_transcriber
from tx.speech.transcribe.ctranslate2_engine import convert, find_converted
from whisper import write_tiny_whisper

SWELL = 0.3 + np.abs(
    np.sin(np.arange(3 * RATE) * 4 * np.pi / RATE)
)  # like speech: steady noise is not transcribed
SOUND = (np.random.default_rng(0).normal(0, 0.1, 3 * RATE) * SWELL).astype(np.float32)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny", language="<|de|>")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write_media(tmp_path / "talk.mp4", SOUND, "aac", 44_100, "stereo", "libx264")


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["tx", "transcribe", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err  # type: ignore[return-value]


@pytest.fixture
def tx(capsys, monkeypatch, tiny):  # type: ignore[no-untyped-def]
    """Run `tx transcribe -m tiny --no-fallback WORDS...`: status, stdout, stderr."""
    return lambda *words: run(capsys, monkeypatch, "-m", tiny, "--no-fallback", *words)


def test_all_formats_have_the_same_content(tx, talk: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    status, text, err = tx(talk)
    assert (status, err) == (0, "") and text.strip()
    records = [json.loads(line) for line in tx(talk, "--json")[1].splitlines()]
    assert [set(record) >= {"file", "start", "end", "text", "language", "logprob"} for record in records]
    assert {record["language"] for record in records} == {"de"} and {
        record["file"] for record in records
    } == {str(talk)}
    assert all(0 <= record["start"] < record["end"] <= 3.1 for record in records)
    assert " ".join(record["text"] for record in records).split() == text.split()
    for format in ("srt", "vtt"):
        status, out, _ = tx(talk, "-f", format, "--width", 0)
        (tmp_path / f"out.{format}").write_text(out)
        cues = read_cues(tmp_path / f"out.{format}")
        assert [(cue.start, cue.end) for cue in cues] == [
            (record["start"], record["end"]) for record in records
        ]
    assert len(tx(talk, "-f", "tsv")[1].splitlines()) == len(records) + 1


def test_the_suffix_of_the_output_chooses_the_format(tx, talk: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert tx(talk, "-o", tmp_path / "talk.srt")[:2] == (0, "")
    assert (tmp_path / "talk.srt").read_text() == tx(talk, "-f", "srt")[1]


def test_a_folder_of_media_becomes_a_folder_of_subtitles(tx, talk: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    videos = tmp_path / "videos"
    (videos / "of 2026").mkdir(parents=True)
    shutil.copy(talk, videos / "of 2026" / "a.MP4")
    write_media(videos / "b.wav", np.zeros(RATE, np.float32))
    (videos / "notes.txt").write_text("no media")
    status, out, err = tx(videos, "-f", "srt", "-o", tmp_path / "subtitles")
    assert (status, out) == (0, "") and err.count("->") == 2
    assert sorted(path.name for path in (tmp_path / "subtitles").iterdir()) == ["a.srt", "b.srt"]
    assert (tmp_path / "subtitles" / "b.srt").read_text() == ""  # digital silence has no text
    assert (tmp_path / "subtitles" / "a.srt").read_text() == tx(talk, "-f", "srt")[1]


def test_a_detected_language_is_reported(  # type: ignore[no-untyped-def]
    capsys, monkeypatch, talk: Path, tmp_path: Path
) -> None:
    guessing = write_tiny_whisper(tmp_path / "guessing")
    words = ("-m", guessing, "--no-fallback", talk)
    _, out, _ = run(capsys, monkeypatch, *words, "--json")
    name = {"en": "English", "zh": "Chinese", "de": "German", "fr": "French"}[
        json.loads(out.splitlines()[0])["language"]
    ]
    assert f"detected language: {name}" in run(capsys, monkeypatch, *words)[2]
    assert run(capsys, monkeypatch, *words, "--language", "de")[2] == ""
    assert run(capsys, monkeypatch, *words, "-q")[2] == ""


def test_a_broken_file_does_not_stop_the_others(tx, talk: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"not audio")
    status, out, err = tx(bad, talk)
    assert status == 1 and out == tx(talk)[1]
    assert "bad.mp3" in err and "1 of 2 files could not be transcribed" in err


def test_stdin_is_a_file_like_any_other(tiny: Path, talk: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tx", "transcribe", "-m", str(tiny), "--no-fallback"]
    with talk.open("rb") as file:
        piped = subprocess.run([*command, "-"], stdin=file, capture_output=True, text=True, check=True)
    named = subprocess.run([*command, talk], capture_output=True, text=True, check=True)
    assert piped.stdout == named.stdout and piped.stdout.strip()


@pytest.mark.parametrize(
    ("words", "status", "message", "hint"),
    [
        ((), 2, "missing FILE: the audio to transcribe", "tx transcribe FILE..."),
        (("nowhere.mp3",), 1, "there is no file nowhere.mp3", "check the path"),
        (("empty/",), 1, "there is no audio or video file in empty/", "name the files"),
        (("silent.mp4",), 1, "silent.mp4 is a video without audio", "give a file with speech"),
        (("a.wav", "b.wav", "-f", "srt"), 2, "one srt file cannot hold the times of 2 files", "add -o FOLDER/"),
        (("a.wav", "b.wav", "-f", "tsv"), 2, "one tsv file cannot hold the times of 2 files", "add -o FOLDER/"),
        (("a.wav", "--json", "-f", "srt"), 2, "--json and --format srt are two formats", "omit one of them"),
        (("a.wav", "b.wav", "-f", "srt", "-o", "."), 2, "a.srt exists next to a.wav", "another folder"),
        (("a.wav", "b.wav", "-o", "a.wav"), 2, "a.wav is a file, but there are 2 transcripts", "name a folder"),
        (("a.wav", "--language", "klingon"), 2, "the model knows no language 'klingon'", "give a code"),
        (("a.wav", "-b", "0"), 2, "--beam-size: expected 1 or more, got 0", "--help"),
        (("a.wav", "-o", "nowhere/a.srt"), 1, "cannot write nowhere/a.srt: there is no folder nowhere", "mkdir"),
        (("a.wav", "--check", "x"), 2, "--check compares the engines", "add --engine ctranslate2"),
    ],
)  # fmt: skip
def test_errors_have_a_message_and_a_hint(  # type: ignore[no-untyped-def]
    tx,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    status: int,
    message: str,
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_silent_video(tmp_path / "silent.mp4")
    for name in ("a.wav", "b.wav"):
        write_media(tmp_path / name, beeps(1.0, at=(0.2,)))
    (tmp_path / "a.srt").write_text("by hand")
    code, out, err = tx(*words)
    assert (code, out) == (status, "")
    first, second, *rest = err.splitlines()
    assert message in first and hint in second and not rest


# --- the CTranslate2 engine ---


def test_the_converted_model_is_saved_and_made_again_if_the_model_changes(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    folder = write_tiny_whisper(tmp_path / "tiny", language="<|de|>")
    messages: list[str] = []
    place = convert(open_hf_folder(folder), messages.append)
    assert place == folder / "ctranslate2" and len(messages) == 1
    assert {path.name for path in place.iterdir()} >= {
        "model.bin",
        "tokenizer.json",
        "preprocessor_config.json",
    }
    assert convert(open_hf_folder(folder), messages.append) == place and len(messages) == 1
    write_tiny_whisper(folder, seed=7, language="<|de|>")
    assert find_converted(open_hf_folder(folder)) is None
    assert convert(open_hf_folder(folder), messages.append) == place and len(messages) == 2


def test_a_damaged_conversion_is_made_again(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    folder, messages = write_tiny_whisper(tmp_path / "tiny"), list[str]()
    options = Options(temperatures=(0.0,), activity="none", language="de")
    first = list(open_transcriber(folder, "ctranslate2").transcribe(SOUND, options))
    model = folder / "ctranslate2" / "model.bin"
    model.write_bytes(model.read_bytes()[:1000])
    again = open_transcriber(folder, "ctranslate2", notify=messages.append)
    assert list(again.transcribe(SOUND, options)) == first and len(messages) == 1


def test_a_read_only_model_is_converted_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ctranslate2")
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    folder = write_tiny_whisper(tmp_path / "tiny")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder)  # root may write anywhere
    place = convert(open_hf_folder(folder))
    assert place.is_relative_to(tmp_path / "home" / "cache") and not (folder / "ctranslate2").exists()
    assert find_converted(open_hf_folder(folder)) == place


def test_both_engines_and_faster_whisper_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faster_whisper = pytest.importorskip("faster_whisper")
    from tx.speech.transcribe import ctranslate2_engine

    monkeypatch.setattr(
        ctranslate2_engine, "COMPUTE_TYPES", {"cpu": "float32"}
    )  # eight bits would change the text of a noisy model
    folder = write_tiny_whisper(tmp_path / "tiny", multilingual=False)  # CTranslate2 goes by the size
    options = Options(temperatures=(0.0,), activity="none")
    native, quick = open_transcriber(folder), open_transcriber(folder, "ctranslate2")
    # A window without padding, which faster-whisper computes differently, that gives letters.
    full = np.random.default_rng(3).normal(0, 0.4, 30 * RATE).astype(np.float32)
    expected = [(s.start, s.end, s.text) for s in native.transcribe(full, options)]
    assert [(s.start, s.end, s.text) for s in quick.transcribe(full, options)] == expected and expected
    model = faster_whisper.WhisperModel(str(folder / "ctranslate2"), "cpu", compute_type="float32")
    segments, _ = model.transcribe(
        full,
        beam_size=1,
        temperature=0.0,
        suppress_tokens=native.tokenizer.suppress_tokens,
        condition_on_previous_text=False,
        max_new_tokens=63,  # with the prompt, what the tiny model has room for
    )
    theirs = [(round(s.start, 3), round(s.end, 3), s.text.strip()) for s in segments if s.text.strip(" -")]
    assert theirs[:1] == expected[:1]


def test_both_engines_are_scored_on_a_set(tx, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("ctranslate2")
    data = tmp_path / "test"
    data.mkdir()
    for name in ("a", "b"):
        write_media(data / f"{name}.wav", SOUND)
        (data / f"{name}.txt").write_text(f"das ist {name}\n")
    (data / "b.txt").write_text("noch etwas\n")
    status, out, err = tx("--engine", "ctranslate2", "--check", data)
    lines = [line for line in err.splitlines() if "WER" in line]
    assert (status, out) == (0, "") and len(lines) == 2
    assert "2 items, native: WER " in lines[0] and "2 items, ctranslate2: WER " in lines[1]


def test_without_the_extra_the_hint_says_what_to_install(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(TxError) as caught:
        open_transcriber(tiny, "ctranslate2")
    assert caught.value.hint == "pip install 'tx[ctranslate2]'"


def test_the_ctranslate2_engine_imports_no_torch(tiny: Path, talk: Path) -> None:
    pytest.importorskip("ctranslate2")
    convert(open_hf_folder(tiny))
    code = (
        "import sys; from tx.speech.transcribe import open_transcriber\n"
        f"list(open_transcriber({str(tiny)!r}, 'ctranslate2').transcribe({str(talk)!r}))\n"
        "print(*sorted({'torch', 'transformers', 'faster_whisper'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
