"""Time reading, starting and training of `tx train word2vec` with the engine `fast`."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from harness import cpu_seconds, peak_gib, read_job, write_result

import tx
from tx.tasks.vectors.training import new_run, read_text
from tx.word2vec.config import Config


class Silent:
    """A listener that shows nothing."""

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def train(self, record: dict[str, Any]) -> None: ...

    def validated(self, record: dict[str, Any], samples: list[dict[str, str]], best: bool) -> None: ...


def config(job: dict[str, Any]) -> Config:
    """The job as a configuration of tx."""
    run = Config()
    run.arch, run.seed, run.data.train = "word2vec", job["seed"], [job["text"]]
    run.train.lr, run.train.threads = job["lr"], job["threads"]
    run.word2vec.engine = "fast"
    for name in ("dim", "window", "negative", "min_count", "subsample", "epochs"):
        setattr(run.word2vec, name, job[name])
    return run


def main() -> None:
    job = read_job()
    out = Path(job["work"]) / f"{job['name']}-tx"
    with TemporaryDirectory(dir=job["work"]) as folder:
        text = Path(folder) / "run" / "new-corpus"
        text.mkdir(parents=True)
        begun = cpu_seconds()
        corpus = read_text(config(job), text, Silent())
        reading = cpu_seconds() - begun
        begun = cpu_seconds()
        run = new_run(config(job), Path(folder), corpus, Silent())
        starting = cpu_seconds() - begun
        cpu, wall = cpu_seconds(), time.perf_counter()
        run.train()
        seconds = {"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall}
    result = {**seconds, "reading": reading, "starting": starting, "words": corpus.n_read, "gib": peak_gib()}
    np.save(out.with_suffix(".npy"), run.engine.matrices()["vectors"])
    out.with_suffix(".words").write_text("\n".join(corpus.words))
    write_result(job, {**result, "vectors": str(out), "versions": f"tx {tx.__version__}"})


if __name__ == "__main__":
    main()
