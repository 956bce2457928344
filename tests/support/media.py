"""Media files with known audio for tests, written with PyAV."""

from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 16_000
# Name, codec, rate, layout, codec of the pictures: every container that PyAV writes with the codecs in its wheel.
CONTAINERS: list[tuple[str, str, int, str, str]] = [
    ("a.wav", "pcm_s16le", 16_000, "mono", ""),
    ("float.wav", "pcm_f32le", 44_100, "stereo", ""),
    ("mulaw.wav", "pcm_mulaw", 8_000, "mono", ""),
    ("a.mp3", "libmp3lame", 44_100, "mono", ""),
    ("a.flac", "flac", 48_000, "stereo", ""),
    ("a.ogg", "libopus", 48_000, "stereo", ""),
    ("a.opus", "libopus", 48_000, "mono", ""),
    ("a.m4a", "aac", 44_100, "stereo", ""),
    ("a.aac", "aac", 44_100, "mono", ""),
    ("a.aiff", "pcm_s16be", 22_050, "mono", ""),
    ("a.mp4", "aac", 44_100, "stereo", "libx264"),
    ("a.mkv", "aac", 48_000, "stereo", "libx264"),
    ("a.webm", "libopus", 48_000, "mono", "libvpx"),
    ("a.mov", "aac", 44_100, "mono", "mpeg4"),
    ("a.avi", "libmp3lame", 44_100, "mono", "mpeg4"),
    ("a.ts", "aac", 44_100, "mono", "mpeg2video"),
]


def beeps(
    seconds: float, at: tuple[float, ...] = (1.0,), length: float = 0.5, pitch: float = 440.0
) -> np.ndarray:
    """Silence of float32, shape (samples,), with a tone of `length` seconds at each of the times `at`."""
    time = np.arange(round(seconds * RATE)) / RATE
    loud = np.zeros(len(time), bool)
    for start in at:
        loud |= (time >= start) & (time < start + length)
    return (0.4 * np.sin(2 * np.pi * pitch * time) * loud).astype(np.float32)


def write_media(
    path: Path,
    sound: np.ndarray,
    codec: str = "pcm_s16le",
    rate: int = RATE,
    layout: str = "mono",
    pictures: str = "",
) -> Path:
    """Write `sound` (16 kHz, mono) to `path`; with a codec in `pictures`, also black images, ten per second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.layout = layout
        if pictures:
            _add_pictures(container, pictures, round(10 * len(sound) / RATE))
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        for start in range(0, len(sound), 1024):
            block = (sound[None, start : start + 1024] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            for resampled in resampler.resample(frame):
                container.mux(stream.encode(resampled))
        for resampled in resampler.resample(None):
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    return path


def _add_pictures(container: Any, codec: str, n: int) -> None:
    stream = container.add_stream(codec, rate=25 if codec == "mpeg2video" else 10)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
    for _ in range(n):
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_silent_video(path: Path) -> Path:
    """A video with a second of black images and no audio track."""
    with av.open(str(path), "w") as container:
        _add_pictures(container, "libx264", 10)
    return path
