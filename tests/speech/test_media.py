"""Decoded media against the audio that was written, in every container that PyAV writes."""

import io
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from media import CONTAINERS, RATE, beeps, write_media, write_silent_video
from tx.errors import TxError
from tx.speech import media
from tx.speech.media import decode, duration, measure

SECONDS = 6.0
SOUND = beeps(SECONDS, at=(1.0, 4.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name, *how in CONTAINERS:
        write_media(folder / name, SOUND, *how)  # type: ignore[arg-type]
    return folder


def onsets(sound: np.ndarray) -> list[float]:
    """The seconds at which the audio becomes loud after silence."""
    level = np.array([np.abs(sound[i : i + 80]).max(initial=0.0) for i in range(0, len(sound), 80)])
    loud = level > 0.15
    return [i / 200 for i in range(1, len(loud)) if loud[i] and not loud[max(i - 20, 0) : i].any()]


@pytest.mark.parametrize("name", [name for name, *_ in CONTAINERS])
def test_audio_has_the_correct_times_in_every_container(folder: Path, name: str) -> None:
    sound = decode(folder / name)
    assert sound.dtype == np.float32 and sound.ndim == 1
    assert len(sound) == pytest.approx(SECONDS * RATE, abs=0.05 * RATE)
    assert onsets(sound) == pytest.approx([1.0, 4.0], abs=0.035)
    tone = sound[round(1.1 * RATE) : round(1.4 * RATE)]
    spectrum = np.abs(np.fft.rfft(tone))
    assert np.argmax(spectrum) * RATE / len(tone) == pytest.approx(440, abs=5)
    assert 0.2 < np.sqrt((tone**2).mean()) * np.sqrt(2) < 0.45  # two channels are not added up
    assert duration(folder / name) == pytest.approx(SECONDS, abs=0.15)
    assert measure(folder / name) == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("name", [name for name, *_ in CONTAINERS])
def test_an_excerpt_is_that_part_of_the_whole(folder: Path, name: str) -> None:
    whole, part = decode(folder / name), decode(folder / name, 3.5, 5.0)
    assert len(part) == 1.5 * RATE
    assert onsets(part) == pytest.approx([0.5], abs=0.035)
    expected = whole[round(3.5 * RATE) : round(5.0 * RATE)]
    scores = {
        shift: np.dot(np.roll(part, shift), expected) for shift in range(-40, 41)
    }  # some have timestamps of 1 ms
    best = max(scores.values())
    assert best / np.linalg.norm(part) / np.linalg.norm(expected) > 0.99
    assert len(decode(folder / name, 5.5, 100.0)) == pytest.approx(len(whole) - 5.5 * RATE, abs=32)


def test_samples_are_those_of_faster_whisper(folder: Path) -> None:
    theirs = pytest.importorskip("faster_whisper.audio").decode_audio
    for name, *_ in CONTAINERS:
        if name not in ("a.mkv", "a.webm"):  # tx keeps their timestamps of 1 ms
            assert np.array_equal(decode(folder / name), theirs(str(folder / name))), name


def test_wav_is_exact(folder: Path) -> None:
    assert np.abs(decode(folder / "a.wav") - SOUND).max() < 2 / 32768  # written in 16 bits
    assert np.array_equal(
        decode(folder / "a.wav", 0.5, 1.25), decode(folder / "a.wav")[RATE // 2 : RATE * 5 // 4]
    )
    assert len(decode(folder / "a.wav", 7.0)) == 0


def test_audio_that_starts_late_or_has_gaps_keeps_its_times(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE)
        stream.layout = "mono"
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        black = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(pictures.encode(black))
        for at in (2.0, 5.0):  # half a second of audio each
            block = (beeps(0.5, (0.0,))[None] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, round(at * RATE)
            container.mux(stream.encode(frame))
        container.mux(pictures.encode(None))
    assert onsets(decode(path)) == pytest.approx([2.0, 5.0], abs=0.02)
    assert onsets(decode(path, 4.0)) == pytest.approx([1.0], abs=0.02)


def test_a_pipe_can_hold_any_container(folder: Path) -> None:
    for name in ("a.mp4", "a.wav", "a.webm"):  # an MP4's index is at its end
        code = "import sys; from tx.speech.media import decode; print(len(decode(sys.stdin.buffer)))"
        data = (folder / name).read_bytes()
        done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
        assert int(done.stdout) == len(decode(folder / name))
        assert done.stderr == b""
    assert len(decode(io.BytesIO((folder / "a.mp3").read_bytes()))) == len(decode(folder / "a.mp3"))


def test_messages_about_a_pipe_name_standard_input(folder: Path) -> None:
    for data in (b"<html>no such page</html>" * 99, (folder / "a.flac").read_bytes()[:9]):
        with pytest.raises(TxError, match=r"^standard input is not an audio or video file") as error:
            decode(io.BytesIO(data))
        assert error.value.hint == "check the output of the command: COMMAND | head -c 200"
    code = "import sys; from tx.speech.media import decode; decode(sys.stdin.buffer)"
    done = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True)
    assert b"TxError: standard input is empty\n" in done.stderr
    with (folder / "a.wav").open("rb") as file:
        assert len(decode(file)) == SECONDS * RATE
    with Path("/dev/null").open("rb") as file, pytest.raises(TxError, match="/dev/null is empty"):
        decode(file)


@pytest.mark.parametrize(
    "name", ["a.wav", "mulaw.wav", "a.mp3", "a.flac", "a.aiff", "a.m4a", "a.mp4", "a.mkv", "a.webm"]
)
def test_a_truncated_file_is_an_error(folder: Path, tmp_path: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    half = tmp_path / name
    half.write_bytes(data[: len(data) // 2])
    for read in (decode, measure):
        with pytest.raises(TxError, match="truncated") as error:
            read(half)
        assert str(half) in error.value.message and "\n" not in error.value.message


def test_a_guessed_duration_is_not_trusted(tmp_path: Path) -> None:
    """An MP3 of varying bit rate without a header of frames: FFmpeg guesses 36 s from its loud start."""
    path, noise = tmp_path / "vbr.mp3", np.random.default_rng(1).normal(0, 0.2, 20 * RATE)
    for sound in (np.concatenate([noise, np.zeros(40 * RATE)]), np.concatenate([np.zeros(40 * RATE), noise])):
        with av.open(str(path), "w", options={"write_xing": "0", "id3v2_version": "0"}) as container:
            stream = container.add_stream("libmp3lame", rate=RATE)
            stream.layout = "mono"
            stream.codec_context.flags |= 2  # qscale
            stream.codec_context.global_quality = 4 * 118
            for start in range(0, len(sound), 576):
                block = np.clip(sound[None, start : start + 576], -1, 1).astype(np.float32)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = RATE, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with av.open(str(path)) as container:
            assert abs((container.duration or 0) / 1e6 - 60) > 10  # the duration that FFmpeg guesses
        assert duration(path) == pytest.approx(60, abs=0.2)
        assert len(decode(path)) / RATE == pytest.approx(60, abs=0.2)


def test_files_without_audio_are_errors(tmp_path: Path) -> None:
    silent = write_silent_video(tmp_path / "silent.mp4")
    (tmp_path / "notes.txt").write_text("hello\n" * 1000)
    (tmp_path / "notes.mp3").write_text("hello\n" * 1000)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(1).bytes(50_000))
    (tmp_path / "no such").mkdir()
    expected = {
        silent: "is a video without audio",
        tmp_path / "notes.txt": "is not an audio or video file",
        tmp_path / "notes.mp3": "is not an audio or video file",
        tmp_path / "empty.wav": "is not an audio or video file",
        tmp_path / "noise.mp4": "is not an audio or video file",
        tmp_path / "no such": "is a folder",
        tmp_path / "missing.wav": "there is no file",
    }
    for path, words in expected.items():
        for read in (decode, duration, measure):
            with pytest.raises(TxError, match=words) as error:
                read(path)
            assert str(path) in error.value.message and error.value.hint


def test_names_are_never_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_media(tmp_path / "a.wav", SOUND)
    Path("http:").mkdir()
    for name in ("concat:a.wav|a.wav", "http:/x.wav", "-x.wav", "täst ünd.wav"):
        Path(name).write_bytes(Path("a.wav").read_bytes())
        assert len(decode(name)) == len(SOUND)
    Path("list.m3u8").write_text("#EXTM3U\n#EXTINF:6,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(TxError):
        decode("list.m3u8")


def test_damaged_packets_do_not_stop_decoding(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp3", SOUND, "libmp3lame", 44_100)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    assert onsets(decode(path)) == pytest.approx([1.0, 4.0], abs=0.1)  # timestamps of MP3 count packets


def test_without_pyav_the_hint_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(TxError, match="PyAV") as error:
        media.decode(tmp_path / "x.wav")
    assert "tx[whisper]" in str(error.value.hint)
