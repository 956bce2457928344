"""Decodes audio from any audio or video file, as Whisper needs it: mono, 16 kHz, floats between -1 and 1.

PyAV includes FFmpeg's libraries in its wheel, so nothing has to be installed on the system. Samples are placed by the
file's timestamps: if audio starts after the video, or is missing in between, there is silence, so that the times of
subtitles stay correct until the end of a long recording.
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
    from av.packet import Packet

RATE = 16_000  # samples per second, everywhere in tx.speech
_AUDIO = "wav mp3 flac ogg oga opus m4a m4b aac aif aiff wma amr ac3 caf au"
_VIDEO = "mp4 m4v mkv mka webm mov avi wmv flv ts mts m2ts mpg mpeg 3gp ogv vob"
MEDIA_SUFFIXES = frozenset(f".{suffix}" for suffix in f"{_AUDIO} {_VIDEO}".split())
_MIN_GAP = 0.1  # s; a smaller step between timestamps is a rounding error
_MAX_GAP = 3600.0  # s; a larger one is a wrong timestamp
_PREROLL = 1.0  # s decoded before the start of an excerpt: codecs need some packets to settle
_NO_VIDEO = frozenset({"tty", "image2", "png_pipe", "jpeg_pipe", "gif", "webp_pipe"})  # text and images
_BLOCK = 1 << 16  # samples resampled at a time
_ESTIMATED = frozenset({"aac", "mpegts", "ac3", "eac3", "amr"})  # formats whose duration is an estimate


@runtime_checkable
class StoredAudio(Protocol):
    """Audio that is not a file, such as a row of a table; `str` describes it."""

    def open_audio(self) -> BinaryIO: ...


Media = str | Path | StoredAudio | BinaryIO


def decode(media: Media, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """The audio of a file, or of an open file, from `start` to `end` (seconds), as float32 `[samples]` at `RATE`.

    The result is shorter if the audio ends before `end`. Raises TxError, with the path, if the file has no audio, is
    not a media file, cannot be read or is truncated.
    """
    with _opened(media) as (container, name):
        end = float("inf") if end is None else end
        samples, position = _samples(container, start, end)
        announced = _announced(container)
        if announced is None or start < announced:
            if not position:
                raise TxError(f"{name} has an audio track that cannot be decoded", "try to play it")
            _check_complete(name, position, min(announced or 0.0, end))
        return samples


def duration(media: str | Path | StoredAudio) -> float:
    """The duration of the audio in seconds, from the header of the file if it has it.

    Reads little of the file. Raises TxError as `decode` does, except for faults that only decoding finds.
    """
    with _opened(media) as (container, _):
        seconds = _announced(container)
        return _demuxed_duration(container) if seconds is None else seconds


def measure(media: str | Path | StoredAudio) -> float:
    """The duration of the audio in seconds, found by reading the whole file without decoding it.

    Raises TxError as `decode` does, so that a truncated file is found before a long run needs it.
    """
    with _opened(media) as (container, name):
        seconds = _demuxed_duration(container)
        if not seconds:
            raise TxError(f"{name} has an empty audio track", "try to play it")
        _check_complete(name, seconds, _announced(container) or 0.0)
        return seconds


# --- opening ---


@contextmanager
def _opened(media: Media) -> "Iterator[tuple[InputContainer, str]]":
    """The open container and its name for messages; errors of FFmpeg become a TxError."""
    av = pyav()
    name = _name(media)
    try:
        with av.open(_source(media, name), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.audio:
                is_video = container.streams.video and container.format.name not in _NO_VIDEO
                what = "a video without audio" if is_video else "not an audio or video file"
                raise TxError(f"{name} is {what}", _hint(name, "give a file with speech"))
            yield container, name
    except av.FFmpegError as error:
        what, hint = f"cannot read {name}: {error.strerror}", _hint(name, "try to play it")
        if isinstance(error, PermissionError):
            hint = "check its permissions"
        elif isinstance(error, ValueError) or error.errno in (errno.EINVAL, errno.EIO):
            what = f"{name} is not an audio or video file, or it is damaged or truncated"
            hint = _hint(name, "try to play it; download or write it again")
        raise TxError(what, hint) from error
    except OSError as error:
        raise TxError(
            f"cannot read {name}: {error.strerror or error}", "check the path and its permissions"
        ) from error


def _name(media: Media) -> str:
    """The name for messages; an open file without a name is standard input."""
    if isinstance(media, str | Path | StoredAudio):
        return str(media)
    name = getattr(media, "name", None)
    return name if isinstance(name, str) and name != "<stdin>" else STDIN


def _hint(name: str, for_file: str) -> str:
    return "check the output of the command: COMMAND | head -c 200" if name == STDIN else for_file


def pyav() -> Any:
    """The library PyAV. Raises TxError if it is not installed."""
    try:
        import av
    except ImportError as error:
        raise TxError("reading audio and video needs PyAV", "pip install 'tx[whisper]'") from error
    return av


def _source(media: Media, name: str) -> Any:
    """The argument of `av.open`: a path that is never interpreted as a URL, or a seekable file."""
    if isinstance(media, StoredAudio):
        return media.open_audio()
    if isinstance(media, str | Path):
        if not Path(media).exists():
            raise TxError(
                f"there is no file {name}", "check the path; relative paths start at the current folder"
            )
        if Path(media).is_dir():
            raise TxError(f"{name} is a folder, not an audio or video file", "name the files in it")
        _check_riff(Path(media))
        return f"file:{media}"
    file = media if media.seekable() else io.BytesIO(media.read())  # an MP4 may have its index at the end
    start = file.tell()
    if not file.read(1):
        raise TxError(f"{name} is empty", "check the command before the pipe, or name a file")
    file.seek(start)
    return file


# --- duration ---


def _announced(container: "InputContainer") -> float | None:
    """The duration of the audio in seconds according to the headers, or None."""
    stream = container.streams.audio[0]
    if container.format.name in _ESTIMATED:
        return None
    if tag := stream.metadata.get("DURATION"):  # in Matroska files
        with suppress(ValueError):
            hours, minutes, seconds = tag.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if stream.duration is not None and stream.time_base is not None:
        length, rate = float(stream.duration * stream.time_base), stream.bit_rate
        # In an MP3 it may be FFmpeg's guess from size and bit rate, which is wrong if that varies.
        is_guess = rate and abs(container.size * 8 / rate - length) < 0.02 * length
        return None if container.format.name == "mp3" and is_guess else length
    if container.duration is not None and not container.streams.video:
        return float(container.duration) / 1e6
    return None  # the duration of a video container may be that of the images


def _demuxed_duration(container: "InputContainer") -> float:
    """The second at which the last packet of audio ends."""
    seconds = 0.0
    for packet in _packets(container):
        if packet.pts is not None and packet.time_base is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base) - _origin(container)
            seconds = max(seconds, end)
    return seconds


def _check_complete(name: str, seconds: float, announced: float) -> None:
    if seconds < announced - max(0.5, 0.02 * announced):  # headers may include the padding of the encoder
        raise TxError(
            f"{name} is truncated: it has {seconds:.1f} of {announced:.1f} seconds of audio",
            "download or write it again",
        )


def _check_riff(path: Path) -> None:
    """Raise TxError for a truncated WAV file, which FFmpeg does not detect."""
    with path.open("rb") as file:
        head = file.read(1 << 12)
    at = head.find(b"data", 12)
    if not head.startswith(b"RIFF") or at < 0:
        return
    announced, size = int.from_bytes(head[at + 4 : at + 8], "little"), path.stat().st_size - at - 8
    if size < announced < 0x7FFF_0000:  # larger numbers mean "unknown" when a pipe was written
        raise TxError(
            f"{path} is truncated: it has {size:,} of {announced:,} bytes of audio",
            "download or write it again",
        )


def _origin(container: "InputContainer") -> float:
    """The first timestamp of the file in seconds, at which the times of subtitles start."""
    return (container.start_time or 0) / 1e6


def _packets(container: "InputContainer") -> "Iterator[Packet]":
    """The packets of audio, to the end of the file; `_check_complete` decides whether it is truncated."""
    with suppress(EOFError, pyav().error.InvalidDataError):
        yield from container.demux(container.streams.audio[0])


# --- decoding ---


class _Segment:
    """Audio without a gap, resampled in blocks, since each call costs as much as thousands of samples."""

    def __init__(self, time: float) -> None:
        av = pyav()
        self.time = time  # of the first sample, s
        self.seconds = 0.0  # of audio so far
        self.blocks: list[np.ndarray] = []
        self._fifo: Any = av.AudioFifo()
        # Whisper was trained on 16-bit audio, and with it FFmpeg mixes channels without clipping.
        self._resampler: Any = av.AudioResampler(format="s16", layout="mono", rate=RATE)

    def add(self, frame: Any) -> None:
        """Raises ValueError if the frame has another rate or layout than those before it."""
        frame.pts = None  # `_samples` handles gaps
        self._fifo.write(frame)
        self.seconds += frame.samples / frame.sample_rate
        if self._fifo.samples >= _BLOCK:
            self._resample(self._fifo.read())

    def samples(self) -> np.ndarray:
        """All samples as int16; no more frames can be added."""
        if self._fifo.samples:
            self._resample(self._fifo.read())
        self._resample(None)
        return np.concatenate(self.blocks or [np.zeros(0, np.int16)])

    def _resample(self, frame: Any) -> None:
        self.blocks += [done.to_ndarray()[0] for done in self._resampler.resample(frame)]


def _samples(container: "InputContainer", start: float, end: float) -> tuple[np.ndarray, float]:
    """The audio from `start` to `end`, float32 of shape (samples,), with silence in the gaps; and the second at which
    the last frame ends."""
    segments: list[_Segment] = []
    position = 0.0
    for time, frame in _frames(container, start):
        time = position if time is None or time - position > _MAX_GAP else time
        if time >= end:
            break
        position = time + frame.samples / frame.sample_rate
        if position <= start:
            continue
        if segments and abs(time - segments[-1].time - segments[-1].seconds) <= _MIN_GAP:
            with suppress(ValueError):
                segments[-1].add(frame)
                continue
        segments.append(_Segment(time))
        segments[-1].add(frame)
    parts, n = [np.zeros(0, np.int16)], 0
    for segment in segments:
        samples, gap = segment.samples(), round((segment.time - start) * RATE) - n
        if gap > 0:
            parts.append(np.zeros(gap, np.int16))
        elif not n:
            samples = samples[-gap:]
        parts.append(samples)
        n += max(gap, 0) + len(samples)
    n_samples = None if end == float("inf") else round((end - start) * RATE)
    return np.concatenate(parts)[:n_samples].astype(np.float32) / 32768, position


def _frames(container: "InputContainer", start: float) -> Iterator[tuple[float | None, Any]]:
    """Each frame of audio from a little before `start` on, with its time; damaged packets are skipped."""
    stream, origin = container.streams.audio[0], _origin(container)
    if start > _PREROLL and stream.time_base is not None:
        with suppress(OSError, ValueError):  # a file without an index is read from its beginning
            container.seek(int((start - _PREROLL + origin) / stream.time_base), stream=stream)
    for packet in _packets(container):
        with suppress(pyav().error.InvalidDataError):
            for frame in packet.decode():
                yield None if frame.time is None else frame.time - origin, frame
