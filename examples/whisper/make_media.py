"""Make typical training data of an audiofolder (clips and metadata.csv with the columns file_name, transcription).

    python examples/whisper/make_media.py AUDIOFOLDER OUT [--test N]

writes to OUT/train a video of half of the clips with a subtitle file of the same name, and each of the other clips
with a text file; and to OUT/test another such video, of N clips that are not in train. It needs PyAV, which is part
of `tx[whisper]`.
"""

import argparse
import csv
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tx.speech.media import RATE, decode
from tx.speech.subtitles import Cue
from tx.speech.transcript_formats import transcript_lines

PAUSE = 0.8  # seconds between two clips
PICTURES = 5  # per second


def write_sound(container: Any, stream: Any, sound: np.ndarray) -> None:
    """Encode mono sound at 16 kHz into an open stream, to its end."""
    samples = (sound * 32767).clip(-32768, 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = RATE
    resampler = av.AudioResampler(stream.format.name, "mono", stream.rate, stream.frame_size or 1024)
    for resampled in (*resampler.resample(frame), *resampler.resample(None)):
        container.mux(stream.encode(resampled))
    container.mux(stream.encode(None))


def write_video(path: Path, clips: list[tuple[np.ndarray, str]]) -> float:
    """Write an MP4 of the clips one after another, and a subtitle file; returns the length in seconds."""
    cues, parts, at = list[Cue](), list[np.ndarray](), 0.0
    for sound, text in clips:
        parts += [sound, np.zeros(round(PAUSE * RATE), np.float32)]
        cues.append(Cue(round(at, 3), round(at + len(sound) / RATE, 3), text))
        at += len(sound) / RATE + PAUSE
    lines = transcript_lines(cues, "srt")
    path.with_suffix(".srt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with av.open(str(path), "w") as container:
        picture: Any = container.add_stream("libx264", rate=PICTURES)
        picture.width, picture.height, picture.pix_fmt = 320, 180, "yuv420p"
        sound_track: Any = container.add_stream("aac", rate=44100)
        sound_track.layout = "mono"
        for i in range(round(at * PICTURES)):  # a bar that grows: something to look at
            image = np.full((180, 320, 3), 32, np.uint8)
            image[80:100, : max(1, round(320 * i / (at * PICTURES)))] = (240, 180, 60)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, PICTURES)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        write_sound(container, sound_track, np.concatenate(parts))
    return at


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("data", type=Path, help="an audiofolder")
    parser.add_argument("out", type=Path, help="a folder to make")
    parser.add_argument("--test", type=int, default=24, help="clips for the test video")
    args = parser.parse_args()
    with (args.data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [(args.data / row["file_name"], row["transcription"]) for row in csv.DictReader(file)]
    random.Random(1).shuffle(rows)
    clips = [(decode(path), text) for path, text in rows]
    test, train = clips[: args.test], clips[args.test :]
    for folder in ("train", "test"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    in_video = len(train) // 2
    seconds = write_video(args.out / "train" / "talk.mp4", train[:in_video])
    for (path, text), (sound, _) in zip(rows[args.test + in_video :], train[in_video:], strict=True):
        with av.open(str(args.out / "train" / f"{path.stem}.m4a"), "w") as container:
            stream: Any = container.add_stream("aac", rate=RATE)
            stream.layout = "mono"
            write_sound(container, stream, sound)
        (args.out / "train" / f"{path.stem}.txt").write_text(text + "\n", encoding="utf-8")
    test_seconds = write_video(args.out / "test" / "interview.mp4", test)
    told = f"talk.mp4 ({seconds:.0f} s) with talk.srt, {len(train) - in_video} clips with .txt"
    print(f"{args.out}/train: {told}")  # noqa: T201
    print(f"{args.out}/test: interview.mp4 ({test_seconds:.0f} s) with interview.srt")  # noqa: T201


if __name__ == "__main__":
    main()
