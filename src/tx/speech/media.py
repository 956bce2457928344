"""Sound out of any audio or video file, as Whisper hears it: one channel, 16 kHz, floats between -1 and 1.

PyAV brings FFmpeg's libraries in its own wheel, so nothing has to be installed on the system (faster-whisper made the
same choice). Samples stand where the file's clock puts them: sound that starts after the picture, and sound that is
missing in between, leave silence, so that the times of subtitles stay true to the end of a long recording.
"""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, runtime_checkable

import numpy as np

from tx.errors import TxError
from tx.text.lines import STDIN

if TYPE_CHECKING:
    from av.container import InputContainer

RATE = 16_000  # samples a second, everywhere in tx.speech
SUFFIXES = frozenset(
    {
        ".wav",
        ".mp3",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".m4a",
        ".m4b",
        ".aac",
        ".aif",
        ".aiff",
        ".wma",
        ".amr",
    }
    | {".ac3", ".caf", ".au", ".mp4", ".m4v", ".mkv", ".mka", ".webm", ".mov", ".avi", ".wmv", ".flv", ".ts"}
    | {".mts", ".m2ts", ".mpg", ".mpeg", ".3gp", ".ogv", ".vob"}
)
_GAP = 0.1  # s; a smaller step of the file's clock is rounding
_LONGEST_GAP = 3600.0  # s; a larger one is a broken clock
_PREROLL = 1.0  # s decoded before the start of an excerpt: codecs need some packets to settle
_NO_VIDEO = frozenset({"tty", "image2", "png_pipe", "jpeg_pipe", "gif", "webp_pipe"})  # text and pictures
_BLOCK = 1 << 16  # samples resampled at a time
_ESTIMATED = frozenset({"aac", "mpegts", "ac3", "eac3", "amr"})  # formats whose length is an estimate


@runtime_checkable
class StoredAudio(Protocol):
    """Sound that is no file of its own, such as a row of a table; `str` names it."""

    def open_audio(self) -> BinaryIO: ...


Media = str | Path | StoredAudio | BinaryIO


def decode(media: Media, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """The sound of a file from `start` to `end` (seconds), as float32 of shape (samples,) at `RATE`.

    An open file may be given too, a pipe for instance. What lies behind the end of the sound is left away. Raises
    TxError, with the path, for what holds no sound, is no media file, cannot be read or is truncated.
    """
    with _opened(media) as (container, name):
        line = _TimeLine(start, float("inf") if end is None else end)
        line.read(container)
        announced = _announced(container)
        if announced is not None and start >= announced:
            return line.samples()
        if not line.held:
            raise TxError(f"{name} has a sound track in which nothing can be decoded", "play it to see")
        if announced is not None:
            _check_complete(name, line.held, min(announced, line.end))
        return line.samples()


def duration(media: str | Path | StoredAudio) -> float:
    """The seconds of sound that a file announces; where it announces none, those that it holds.

    Reads little of the file. Raises TxError as `decode` does, except for what only shows further in.
    """
    with _opened(media) as (container, _):
        seconds = _announced(container)
        return _held(container) if seconds is None else seconds


def measure(media: str | Path | StoredAudio) -> float:
    """The seconds of sound that a file holds, read through without decoding it.

    Raises TxError as `decode` does, so that a truncated file is found before a long run needs it.
    """
    with _opened(media) as (container, name):
        held = _held(container)
        if not held:
            raise TxError(f"{name} has a sound track without any sound", "play it to see what it holds")
        _check_complete(name, held, _announced(container) or 0.0)
        return held


# --- opening ---


@contextmanager
def _opened(media: Media) -> "Iterator[tuple[InputContainer, str]]":
    """The open container and its name for messages; what FFmpeg says becomes a TxError."""
    av = pyav()
    name = _name(media)
    try:
        with av.open(_source(media, name), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.audio:
                is_video = container.streams.video and container.format.name not in _NO_VIDEO
                what = "a video without sound" if is_video else "no audio or video file"
                raise TxError(f"{name} is {what}", _hint(name, "give a file that holds speech"))
            yield container, name
    except av.FFmpegError as error:
        raise _unreadable(name, error) from error
    except OSError as error:
        raise TxError(
            f"cannot read {name}: {error.strerror or error}", "check the path and its permissions"
        ) from error


def _name(media: Media) -> str:
    """What messages call it; an open file without a name of its own is what came in by a pipe."""
    if isinstance(media, str | Path | StoredAudio):
        return str(media)
    name = getattr(media, "name", None)
    return name if isinstance(name, str) and name != "<stdin>" else STDIN


def _hint(name: str, of_a_file: str) -> str:
    return "see what comes: COMMAND | head -c 200" if name == STDIN else of_a_file


def pyav() -> Any:
    """The library. Raises TxError, with what to install, where it is missing."""
    try:
        import av
    except ImportError as error:
        raise TxError("reading audio and video needs PyAV", "pip install 'tx[whisper]'") from error
    return av


def _source(media: Media, name: str) -> Any:
    """What PyAV opens: a path that is never taken for an address, or something that can be sought in."""
    if isinstance(media, StoredAudio):
        return media.open_audio()
    if isinstance(media, str | Path):
        if not Path(media).exists():
            raise TxError(f"there is no file {name}", "check the path; a relative one starts at this folder")
        if Path(media).is_dir():
            raise TxError(f"{name} is a folder, not an audio or video file", "name the files in it")
        _check_riff(Path(media))
        return f"file:{media}"
    file = media if media.seekable() else io.BytesIO(media.read())  # an MP4 may have its index at the end
    start = file.tell()
    if not file.read(1):
        raise TxError(
            f"nothing came on {name}", "look at what the command before the pipe says, or name a file"
        )
    file.seek(start)
    return file


def _unreadable(name: str, error: Any) -> TxError:
    if isinstance(error, PermissionError):
        return TxError(f"cannot read {name}: {error.strerror}", "check its permissions")
    if isinstance(error, ValueError) or error.errno in (errno.EINVAL, errno.EIO):
        return TxError(
            f"{name} is no audio or video file, or a damaged or truncated one",
            _hint(name, "play it to see; fetch or write it again"),
        )
    hint = _hint(name, "play it to see what is wrong with it")
    return TxError(f"cannot read {name}: {error.strerror}", hint)


# --- how long it is ---


def _announced(container: "InputContainer") -> float | None:
    """The seconds of sound that the headers speak of, where they know."""
    stream = container.streams.audio[0]
    if container.format.name in _ESTIMATED:
        return None
    if tag := stream.metadata.get("DURATION"):  # Matroska keeps it there
        with suppress(ValueError):
            hours, minutes, seconds = tag.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if stream.duration is not None and stream.time_base is not None:
        length = float(stream.duration * stream.time_base)
        return None if _goes_by_size(container, length) else length
    if container.duration is not None and not container.streams.video:
        return float(container.duration) / 1e6
    return None  # of a video, the container's length may be that of the pictures alone


def _goes_by_size(container: "InputContainer", seconds: float) -> bool:
    """Whether the length of an MP3 may be FFmpeg's guess from size and bit rate, far off where that varies."""
    rate = container.streams.audio[0].bit_rate
    return (
        container.format.name == "mp3"
        and bool(rate)
        and abs(container.size * 8 / rate - seconds) < 0.02 * seconds
    )


def _held(container: "InputContainer") -> float:
    """The second at which the last packet of sound ends."""
    stream, held = container.streams.audio[0], 0.0
    origin = _origin(container)
    with _end_of_file():
        for packet in container.demux(stream):
            if packet.pts is not None and packet.time_base is not None:
                held = max(held, float((packet.pts + (packet.duration or 0)) * packet.time_base) - origin)
    return held


def _check_complete(name: str, held: float, announced: float) -> None:
    if held < announced - max(0.5, 0.02 * announced):  # a header may count what an encoder pads
        raise TxError(
            f"{name} is truncated: it holds {held:.1f} of the {announced:.1f} seconds that it announces",
            "fetch or write it again",
        )


def _check_riff(path: Path) -> None:
    """Refuse a truncated WAV file: FFmpeg goes by what is there, so that it would look whole."""
    with path.open("rb") as file:
        head = file.read(1 << 12)
    at = head.find(b"data", 12)
    if not head.startswith(b"RIFF") or at < 0:
        return
    announced, held = int.from_bytes(head[at + 4 : at + 8], "little"), path.stat().st_size - at - 8
    if held < announced < 0x7FFF_0000:  # pipes write larger numbers, for "unknown"
        raise TxError(
            f"{path} is truncated: it holds {held:,} of the {announced:,} bytes of sound that it announces",
            "fetch or write it again",
        )


def _origin(container: "InputContainer") -> float:
    """Where the file's clock starts, in seconds: what subtitles call zero."""
    return (container.start_time or 0) / 1e6


@contextmanager
def _end_of_file() -> Iterator[None]:
    """Take a file that breaks off for one that ends there; whether it may is `_check_complete`'s affair."""
    with suppress(EOFError, pyav().error.InvalidDataError):
        yield


# --- decoding ---


class _Segment:
    """Sound without a gap, resampled in blocks, since each call costs as much as thousands of samples."""

    def __init__(self, time: float) -> None:
        av = pyav()
        self.time = time  # of its first sample, s
        self.seconds = 0.0  # that came in
        self.blocks: list[np.ndarray] = []
        self._fifo: Any = av.AudioFifo()
        # 16 bits are what Whisper was trained on, and with them FFmpeg mixes channels without overdriving.
        self._resampler: Any = av.AudioResampler(format="s16", layout="mono", rate=RATE)

    def add(self, frame: Any) -> None:
        """Raises ValueError if the frame is of another rate or layout than those before it."""
        frame.pts = None  # gaps are `_TimeLine`'s affair
        self._fifo.write(frame)
        self.seconds += frame.samples / frame.sample_rate
        if self._fifo.samples >= _BLOCK:
            self._resample(self._fifo.read())

    def samples(self) -> np.ndarray:
        """All of it, as int16; nothing can be added then."""
        if self._fifo.samples:
            self._resample(self._fifo.read())
        self._resample(None)
        return np.concatenate(self.blocks or [np.zeros(0, np.int16)])

    def _resample(self, frame: Any) -> None:
        self.blocks += [done.to_ndarray()[0] for done in self._resampler.resample(frame)]


class _TimeLine:
    """The sound from `start` to `end`, each frame at its time."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end
        self.held = 0.0  # where the sound ends, as far as it was read, s
        self._segments: list[_Segment] = []

    def read(self, container: "InputContainer") -> None:
        for time, frame in _frames(container, self.start):
            time = self.held if time is None or time - self.held > _LONGEST_GAP else time
            if time >= self.end:
                break
            self.held = time + frame.samples / frame.sample_rate
            if self.held > self.start:
                self._add(time, frame)

    def _add(self, time: float, frame: Any) -> None:
        last = self._segments[-1] if self._segments else None
        if last is not None and abs(time - last.time - last.seconds) <= _GAP:
            with suppress(ValueError):
                return last.add(frame)
        self._segments.append(_Segment(time))
        self._segments[-1].add(frame)

    def samples(self) -> np.ndarray:
        """float32 of shape (samples,), with silence in the gaps."""
        parts: list[np.ndarray] = []
        n = 0
        for segment in self._segments:
            sound, gap = segment.samples(), round((segment.time - self.start) * RATE) - n
            if gap > 0:
                parts.append(np.zeros(gap, np.int16))
            elif not n:
                sound = sound[-gap:]
            parts.append(sound)
            n += max(gap, 0) + len(sound)
        whole = np.concatenate(parts or [np.zeros(0, np.int16)])
        return whole[: _n_samples(self.end - self.start)].astype(np.float32) / 32768


def _n_samples(seconds: float) -> int | None:
    return None if seconds == float("inf") else round(seconds * RATE)


def _frames(container: "InputContainer", start: float) -> Iterator[tuple[float | None, Any]]:
    """Each frame of sound from a little before `start` on, with its time; damaged packets are left away."""
    stream, origin = container.streams.audio[0], _origin(container)
    if start > _PREROLL and stream.time_base is not None:
        with suppress(OSError, ValueError):  # what cannot be sought in is read from its beginning
            container.seek(int((start - _PREROLL + origin) / stream.time_base), stream=stream)
    with _end_of_file():
        for packet in container.demux(stream):
            with suppress(pyav().error.InvalidDataError):
                for frame in packet.decode():
                    yield None if frame.time is None else frame.time - origin, frame
