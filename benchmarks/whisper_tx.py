"""Fine-tuning Whisper as `tx train whisper` does it; the untouched model and the last one are validated, too."""

import csv
import time
from pathlib import Path
from typing import Any

import harness

from tx.files import remove
from tx.tasks.speech.config import Config
from tx.tasks.speech.run import prepare
from tx.training.run_folder import claim

IGNORED_STEPS = 3


class Clock:
    """A listener: CPU and wall seconds at the end of each step."""

    def __init__(self) -> None:
        self.seconds = [(0.0, 0.0)]

    def train(self, record: dict[str, Any]) -> None:
        self.seconds.append((harness.cpu_seconds(), time.perf_counter()))

    def info(self, message: str) -> None:
        print(message)

    def warn(self, message: str) -> None:
        print(message)

    def validated(self, record: dict[str, Any], worst: list[dict[str, str]], best: bool) -> None:
        print(record)


def write_set(path: Path, rows: list[Any]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("path", "text"), *rows])
    return str(path)


def configuration(job: harness.Job, work: Path) -> Config:
    config = Config()
    config.arch, config.seed = "whisper", job["seed"]
    config.data.train = [write_set(work / "train.csv", job["train"])]
    config.data.valid = [write_set(work / "test.csv", job["test"])]
    settings, train, finetune = job["settings"], config.train, config.finetune
    train.batch_size, train.max_steps, train.lr = job["batch_size"], job["steps"], job["lr"]
    train.warmup_steps, train.eval_every, train.log_every, train.threads = (
        job["warmup_steps"],
        job["steps"],
        1,
        1,
    )
    train.precision = "bf16" if "bf16" in settings else "float32"
    finetune.init_from, finetune.language, finetune.timestamps = job["model"], job["language"], 0.0
    if "augmented" not in settings:
        finetune.spec_augment, finetune.speed = False, 0.0
    finetune.audio_window = 0.0 if "fitted" in settings else 30.0
    if "lora" in settings:
        finetune.lora, train.lr = 16, 1e-3
    return config


def main() -> None:
    job = harness.read_job()
    work = Path(job["work"])
    out = work / f"tx-{'-'.join(job['settings']) or 'float32'}"
    remove(out)
    clock = Clock()
    with claim(out, resume=False, overwrite=False):
        prepare(configuration(job, work), out, resume=False, listener=clock).train()
    (cpu, wall), (last_cpu, last_wall) = clock.seconds[IGNORED_STEPS], clock.seconds[job["steps"]]
    result = {"cpu": last_cpu - cpu, "wall": last_wall - wall, "steps": job["steps"] - IGNORED_STEPS}
    result |= {"gib": harness.peak_gib(), "total_cpu": harness.cpu_seconds(), "folder": str(out)}
    harness.write_result(job, result)


if __name__ == "__main__":
    main()
