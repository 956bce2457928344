"""Functions of all benchmarks: start systems, measure time inside them, and compare them.

Each system runs in a process of its own, with its own interpreter, on one thread pinned to one core; the
systems take turns, round after round, so that a slow minute of the machine falls on all of them. Inside the
process a `Meter` watches the system's own training loop: it starts its clocks after a warm-up and stops them
a number of updates later, so neither imports nor the preparation of the data are measured. This file needs
nothing but the standard library, as interpreters import it that have only another system installed.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENVIRONMENT = {  # of the settings that are made by environment variables
    "malloc": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(16 << 30)},
    "onednn": {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "20000"},  # it compiles a kernel for each shape
}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WARMUP_LINES = 64

Job = dict[str, Any]
Result = dict[str, Any]


# -- inside a system's process -------------------------------------------------------------------------------


def read_job() -> Job:
    """The job that `run` handed to this process."""
    return json.loads(Path(sys.argv[1]).read_text())  # type: ignore[no-any-return]


def write_result(job: Job, result: Result) -> None:
    """Hand the result back to `run`."""
    Path(job["result"]).write_text(json.dumps(result))


def set_torch(job: Job) -> None:
    """One thread; with the setting `onednn`, float32 products by oneDNN instead of MKL (see README.md)."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(job["seed"])
    if "onednn" in job["settings"]:
        torch.set_float32_matmul_precision("medium")


def cpu_seconds() -> float:
    """User and system time of this process, all its threads and the children it has waited for."""
    t = os.times()
    return time.process_time() + t.children_user + t.children_system


def peak_gib() -> float:
    """The largest resident set this process has had (VmHWM: unlike ru_maxrss, it starts anew at exec)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**20


class Finished(Exception):  # noqa: N818 - no error
    """Raised by the meter to leave a system's training loop once enough updates were seen."""


class Meter:
    """Counts the tokens of the job's `steps` updates after `warmup` unmeasured ones, and their seconds."""

    def __init__(self, job: Job) -> None:
        self.warmup, self.steps = job["warmup"], job["steps"]
        self.seen = self.n_parameters = 0
        self.totals = dict.fromkeys(("sentences", "src_tokens", "tgt_tokens", "cells", "filled"), 0)
        self.loss = self.cpu = self.wall = 0.0

    def update(self, loss: float, **counts: int) -> None:
        """One update is over: its summed loss in nats, and its counts.

        Tokens are those of the text: source pieces, and target pieces with the end of sentence. `cells` is
        the size of both tensors, `filled` what of it is not padding.
        """
        self.seen += 1
        if self.seen > self.warmup:
            self.loss += loss
            for name, count in counts.items():
                self.totals[name] += int(count)
        if self.seen == self.warmup:
            self.cpu, self.wall = cpu_seconds(), time.perf_counter()
        elif self.seen == self.warmup + self.steps:
            self.cpu, self.wall = cpu_seconds() - self.cpu, time.perf_counter() - self.wall
            raise Finished

    def result(self, versions: str) -> Result:
        """Totals and seconds of the measured updates."""
        return {
            **self.totals,
            "steps": self.steps,
            "loss": self.loss / self.totals["tgt_tokens"],
            "parameters": self.n_parameters,
            "cpu": self.cpu,
            "wall": self.wall,
            "gib": peak_gib(),
            "versions": versions,
        }


def timed_decoding(job: Job, decode: Callable[[list[Any]], list[str]], versions: str) -> None:
    """Time `decode` on all of the job's sources, after a warm-up on some of them; write the result."""
    sources = job["sources"]
    decode(sources[:WARMUP_LINES])
    cpu, wall = cpu_seconds(), time.perf_counter()
    hyps = decode(sources)
    seconds = {"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall}
    write_result(job, {**seconds, "hyps": hyps, "gib": peak_gib(), "versions": versions})


# -- in the process that compares ----------------------------------------------------------------------------


def run(system: str, script: str, python: str, job: Job, options: argparse.Namespace) -> Result:
    """Run `script` for one job with the interpreter `python`, one thread, one core; return its result."""
    settings = system.split("+")[1:]
    files = {kind: options.work / f"{job['name']}-{system}.{kind}" for kind in ("job", "result", "log")}
    files["result"].unlink(missing_ok=True)
    places = {"result": str(files["result"]), "work": str(options.work)}
    files["job"].write_text(json.dumps({**job, **places, "settings": settings}))
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "CUDA_VISIBLE_DEVICES": ""}
    environment["TX_HOME"] = str(options.work / "tx-home")
    for setting in settings:
        environment |= ENVIRONMENT.get(setting, {})
    environment.pop("PYTHONPATH", None)
    command = ["taskset", "-c", str(options.core), python, str(HERE / script), str(files["job"])]
    with files["log"].open("wb") as log:
        status = subprocess.run(command, env=environment, stdout=log, stderr=log, cwd=options.work).returncode
    if status or not files["result"].exists():
        tail = files["log"].read_text(errors="replace")[-2000:]
        raise SystemExit(f"{script} failed with status {status}; the end of {files['log']}:\n{tail}")
    return json.loads(files["result"].read_text())  # type: ignore[no-any-return]


def interpreters(
    parser: argparse.ArgumentParser, args: argparse.Namespace, known: dict[str, set[str]]
) -> dict[str, str]:
    """The interpreter of each system in `args.systems`; `known` says which settings each may have."""
    found = {"tx": sys.executable, "bare": sys.executable, **dict(pair.split("=", 1) for pair in args.peer)}
    for system in args.systems:
        name, *settings = system.split("+")
        if not known.get(name, set()).issuperset(settings) or name not in known:
            names = (
                "+".join([name, f"[{'|'.join(sorted(of))}]"] if of else [name]) for name, of in known.items()
            )
            parser.error(f"no system is called '{system}'; there are {', '.join(names)}")
        if name not in found:
            parser.error(f"say where the interpreter of '{name}' is: --peer {name}=PYTHON")
    return found


def take_turns(systems: list[str], rounds: int) -> Iterator[tuple[int, str]]:
    """(round, system): every system once a round, in an order that changes from round to round."""
    for turn in range(rounds):
        for system in random.Random(turn).sample(systems, len(systems)):
            yield turn, system


def shared_options(description: str, systems: list[str]) -> argparse.ArgumentParser:
    """The options every benchmark has."""
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=style)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of the raw text files")
    add("--src", default="de", help="source language: the suffix of its files")
    add("--tgt", default="en", help="target language")
    add("--peer", action="append", default=[], metavar="NAME=PYTHON", help="a peer and its interpreter")
    add("--systems", nargs="+", default=systems, help="what to compare; the first is what ratios refer to")
    add("--rounds", type=int, default=3, help="turns each system gets; the median counts")
    add("--core", type=int, default=0, help="the processor core everything is pinned to")
    add("--work", type=Path, default=Path("/tmp/tx-benchmarks"), help="folder for what is made on the way")
    add("--json", type=Path, help="also write every single measurement to this file")
    return parser


def median(results: list[Result], value: Callable[[Result], float]) -> float:
    """The median over the rounds of `value(result)`."""
    return statistics.median(map(value, results))


def ratio(ours: list[Result], theirs: list[Result], rate: Callable[[Result], float]) -> float:
    """The median over the rounds of our rate divided by theirs in the same round."""
    return statistics.median(rate(a) / rate(b) for a, b in zip(ours, theirs, strict=True))


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, aligned for the terminal too."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in [header, *rows]
    ]
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join(f"|{line}|" for line in [f" {lines[0]} ", rule, *(f" {line} " for line in lines[1:])])


def machine(core: int) -> str:
    """The name of the processor, reported with the results."""
    text = Path("/proc/cpuinfo").read_text()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in text.split()]
    where = f"{names[0]}, {len(names)} cores, {' '.join(flags)}"
    return f"{where}; pinned to core {core}; load average {os.getloadavg()[0]:.1f} at the start"


def save(args: argparse.Namespace, job: Job, results: dict[str, list[Result]]) -> None:
    """Write every measurement to the file of `--json`."""
    if args.json:
        args.json.write_text(
            json.dumps({"machine": machine(args.core), "job": job, "results": results}, indent=1)
        )
