"""Speed, memory and resulting accuracy of fine-tuning Whisper.

    python benchmarks/whisper_training.py --model whisper-base --data speech-de-espeak --language de

tx is set beside `whisper_plain.py`, the Seq2SeqTrainer script that the usual tutorials lead to, with its doubled
start token mended: the same items, batch size, learning rate and schedule, no augmentation, no timestamps. `--data`
holds the parts train and test, or is one set, of which `--test-items` are split off by the seed. Every system ends in
a folder, which `whisper_score.py` opens with transformers and decodes the ordinary way, with 30 s windows in float32,
greedily; so is the model that all start from. The seconds of a step leave out the first three; memory is the largest
resident set of the whole run, of tx's with validation and saving included.

Settings of a system are appended to its name: `+fitted` fits tx's encoder windows to the clips, which
is its default; `+bf16` computes in bfloat16, its default on processors that have it; `+augmented` lets it vary speed
and hide bands, which is its default, too; `+lora` trains adapters at 1e-3.
"""

import argparse
import csv
import json
import random
import sys
from pathlib import Path
from typing import Any

import harness
from harness import Job, Result

SCRIPTS = {"tx": "whisper_tx.py", "plain": "whisper_plain.py"}
SYSTEMS = ["plain", "tx", "tx+fitted", "plain+bf16", "tx+fitted+bf16", "tx+fitted+bf16+augmented"]


def read_rows(folder: Path) -> list[tuple[str, str]]:
    """The media and texts of an audiofolder."""
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return [
            (str((folder / row["file_name"]).resolve()), row["transcription"]) for row in csv.DictReader(file)
        ]


def split(data: Path, n_test: int, seed: int) -> tuple[list[Any], list[Any]]:
    """Items to train on and to test with."""
    if (data / "train").is_dir():
        return read_rows(data / "train"), read_rows(data / "test")
    rows = read_rows(data)
    random.Random(seed).shuffle(rows)
    return rows[n_test:], rows[:n_test]


def report(results: dict[str, Result], before: Result) -> str:
    """One row for each system."""
    first = next(iter(results.values()))
    rows = [["before", *[""] * 4, *score(before), ""]]
    for system, result in results.items():
        n = result["steps"]
        figures = (result["cpu"] / n, result["wall"] / n, result["total_cpu"], result["gib"])
        ratio = first["cpu"] / first["steps"] / (result["cpu"] / n)
        cells = [
            format(value, form) for value, form in zip(figures, (".2f", ".2f", ",.0f", ".2f"), strict=True)
        ]
        rows.append([system, *cells, *score(result), f"{ratio:.2f}"])
    header = ["system", "CPU s/step", "s/step", "CPU s in all", "peak GiB", "WER %", "CER %", "times as fast"]
    return harness.table(header, rows)


def score(result: Result) -> list[str]:
    return [f"{100 * result['wer']:.1f}", f"{100 * result['cer']:.1f}"]


def arguments() -> argparse.Namespace:
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0], formatter_class=style)
    add = parser.add_argument
    add("--model", required=True, help="a folder with a pretrained Whisper")
    add(
        "--data",
        type=Path,
        required=True,
        help="an audiofolder: metadata.csv with file_name and transcription",
    )
    add("--language", required=True)
    add("--test-items", type=int, default=48, help="split off where the data has no part for testing")
    add("--systems", nargs="+", default=SYSTEMS, help="the first is what ratios refer to")
    add("--batch-size", type=int, default=4)
    add("--steps", type=int, default=60)
    add("--lr", type=float, default=2.5e-5)
    add("--seed", type=int, default=1)
    add("--core", type=int, default=0, help="the processor core everything is pinned to")
    add("--work", type=Path, default=Path("/tmp/tx-benchmarks"), help="folder for what is made on the way")
    add("--json", type=Path, help="also write every single measurement to this file")
    args = parser.parse_args()
    if wrong := [system for system in args.systems if system.split("+")[0] not in SCRIPTS]:
        parser.error(f"no system is called '{wrong[0]}'; there are {', '.join(SYSTEMS)}, tx+lora")
    args.work.mkdir(parents=True, exist_ok=True)
    return args


def main() -> None:
    args = arguments()
    print(harness.machine(args.core), file=sys.stderr)
    train, test = split(args.data, args.test_items, args.seed)
    job: Job = {"name": args.data.name, "model": str(Path(args.model).resolve()), "language": args.language}
    job |= {"train": train, "test": test, "batch_size": args.batch_size, "steps": args.steps, "lr": args.lr}
    job |= {"seed": args.seed, "warmup_steps": min(10, args.steps // 6)}

    def scored(folder: str, name: str) -> Result:
        return harness.run(
            f"score-{name}", "whisper_score.py", sys.executable, {**job, "folder": folder}, args
        )

    before = scored(job["model"], "before")
    print(f"before: WER {before['wer']:.1%}", file=sys.stderr)
    results: dict[str, Result] = {}
    for system in args.systems:
        result = harness.run(system, SCRIPTS[system.split("+")[0]], sys.executable, job, args)
        results[system] = result | {
            k: v for k, v in scored(result["folder"], system).items() if k in ("wer", "cer", "texts")
        }
        step = result["cpu"] / result["steps"]
        print(f"{system}: {step:.2f} CPU s/step, WER {results[system]['wer']:.1%}", file=sys.stderr)
        if args.json:
            args.json.write_text(json.dumps({"job": job, "before": before, "results": results}, indent=1))
    print(
        f"\n{len(train)} items to train on, {len(test)} to test with; {args.steps} steps of {args.batch_size}\n"
    )
    print(report(results, before))


if __name__ == "__main__":
    main()
