"""The time to transcribe a recording, from the start of the process to the last line, and the word error rate.

    python benchmarks/transcribing.py --model whisper-base --data speech-de --language de --seconds 60 600

Clips of an audiofolder (metadata.csv with file_name and transcription) are joined, with pauses of a second, to files
of about `--seconds`. Each system transcribes each file in a process of its own, start-up, reading the model and the
file included, on the cores of `--cores`; the systems take turns, and medians are shown. All search greedily, with the
usual thresholds and fallback where they have them. The WER is on text normalised as by `tx evaluate`.

    tx               `tx transcribe`: float32, voice activity, batches of 8 windows
    tx-sequential    the same with --activity none: window after window, as the paper has it
    transformers     `generate` with timestamps over the whole file: window after window, float32
    pipeline         transformers' pipeline: chunks of 30 s in batches of 8
    tx-fast          `tx transcribe --engine ctranslate2`: int8
    faster           faster-whisper with voice activity (Silero), window after window, on the same conversion
    faster-batched   its BatchedInferencePipeline, batches of 8
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import harness
import numpy as np

from tx.evaluation.error_rates import error_rates, normalizer
from tx.speech.media import RATE, decode

PEER = Path(__file__).parent / "transcribing_peer.py"
SYSTEMS = ["transformers", "pipeline", "tx", "tx-sequential", "faster", "faster-batched", "tx-fast"]
TX = {"tx": [], "tx-sequential": ["--activity", "none"], "tx-fast": ["--engine", "ctranslate2"]}
FAST = (
    "faster",
    "faster-batched",
    "tx-fast",
)  # compared with the first of them that is requested


def join(data: Path, seconds: float, path: Path) -> str:
    """Write clips of `data` to the FLAC file `path` until it is `seconds` long; return the reference."""
    with (data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    reference, parts, n = [], list[np.ndarray](), 0
    for row in rows * (1 + int(seconds)):
        if n >= seconds * RATE:
            break
        parts += [decode(data / row["file_name"]), np.zeros(RATE, np.float32)]
        n += len(parts[-2]) + RATE
        reference.append(row["transcription"])
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("flac", rate=RATE)
        stream.layout = "mono"
        samples = (np.concatenate(parts) * 32767).clip(-32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(stream.format.name, "mono", RATE, stream.frame_size or 4096)
        for resampled in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    return " ".join(reference)


def command(system: str, file: Path, args: argparse.Namespace) -> list[str]:
    """The command line of a system."""
    if system in TX:
        words = ["-m", "tx", "transcribe", "-q", "-m", str(args.model), "--language", args.language]
        return [sys.executable, *words, "-b", str(args.beam_size), *TX[system], str(file)]
    words = [system, str(args.model), str(file), args.language, str(args.beam_size), str(len(args.cores))]
    return [sys.executable, str(PEER), *words]


def measure(words: list[str], cores: list[int]) -> dict[str, Any]:
    """Run a process to its end: its seconds, its largest resident set, and its text."""
    environment = os.environ | dict.fromkeys(harness.THREADS, str(len(cores))) | {"HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if not os.environ.get("TX_DEBUG") else None,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        text=True,
    ) as process:
        assert process.stdout is not None
        text, first = "", 0.0
        for line in process.stdout:
            first = first or time.perf_counter() - start
            text += line
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(words)}")
    return {
        "wall": time.perf_counter() - start,
        "first": first,
        "cpu": usage.ru_utime + usage.ru_stime,
        "gib": usage.ru_maxrss / 2**20,
        "text": text,
    }


def report(
    file: Path, seconds: float, reference: str, results: dict[str, list[dict[str, Any]]], language: str
) -> str:
    """One row for each system; the ratio is that of wall seconds to the first of its kind."""
    rows, normalize = [], normalizer(language)
    firsts: dict[bool, float] = {}
    for system, found in results.items():
        wall, first, cpu, gib = (
            statistics.median(one[key] for one in found) for key in ("wall", "first", "cpu", "gib")
        )
        rates = error_rates([reference], [" ".join(found[0]["text"].split())], normalize)
        ratio = wall / firsts.setdefault(system in FAST, wall)
        rows.append([system, f"{wall:.1f}", f"{first:.1f}", f"{cpu:.1f}", f"{seconds / wall:.1f}", f"{gib:.2f}",
                     f"{100 * rates.wer:.1f}", f"{ratio:.2f}"])  # fmt: skip
    header = ["system", "wall s", "first line s", "CPU s", "times real time", "peak GiB", "WER %", "ratio"]
    return f"\n{file.name}: {seconds:.0f} s\n\n{harness.table(header, rows)}"


def main() -> None:
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0], formatter_class=style)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="a folder with a pretrained Whisper")
    add("--data", type=Path, required=True, help="an audiofolder")
    add("--language", required=True)
    add("--seconds", type=float, nargs="+", default=[60, 600])
    add("--systems", nargs="+", default=SYSTEMS, choices=SYSTEMS)
    add("--beam-size", type=int, default=1)
    add("--rounds", type=int, default=3)
    add("--cores", type=int, nargs="+", default=[0])
    add("--work", type=Path, default=Path("/tmp/tx-benchmarks"), help="folder for intermediate files")
    add("--json", type=Path, help="also write every single measurement to this file")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    print(harness.machine(args.cores[0]), file=sys.stderr)
    results_of: dict[str, Any] = {}
    for seconds in args.seconds:
        file = args.work / f"{args.data.name}-{seconds:.0f}.flac"
        reference = join(args.data, seconds, file)
        if any(system in FAST for system in args.systems):
            measure(command("tx-fast", file, args), args.cores)  # converts the model, once
        results: dict[str, list[dict[str, Any]]] = {system: [] for system in args.systems}
        for i in range(args.rounds):
            for system in args.systems if i % 2 == 0 else reversed(args.systems):
                results[system].append(measure(command(system, file, args), args.cores))
                print(f"{file.name} {system}: {results[system][-1]['wall']:.1f} s", file=sys.stderr)
        length = len(decode(file)) / RATE
        print(report(file, length, reference, results, args.language))
        results_of[file.name] = {"seconds": length, "reference": reference, "results": results}
        if args.json:
            args.json.write_text(
                json.dumps({"machine": harness.machine(args.cores[0]), "files": results_of}, indent=1)
            )


if __name__ == "__main__":
    main()
