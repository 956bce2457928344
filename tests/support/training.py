"""Tiny training runs for tests: `tx train` in a forked process, which starts at once and may be made to die."""

import atexit
import gc
import io
import json
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

import tx.training.loop as loop
from tx.cli.app import main
from tx.demo.corpus import generate
from tx.files import TEMPORARY
from tx.package import Package
from tx.text.fit_tokenizer import train_tokenizer_package

torch.set_num_threads(1)  # same bytes need the same number of threads; and forks are safe
N_PAIRS, N_VALID = 60, 6
TIMING = ("seconds", "tokens_per_s", "src_tokens_per_s", "memory")


@cache
def shared() -> Path:
    """A folder with a corpus and a tokenizer, made once for all tests."""
    folder = Path(tempfile.mkdtemp(prefix="tx-tests-"))
    atexit.register(_remove, folder, os.getpid())
    pairs = generate(N_PAIRS + N_VALID, seed=1)
    for name, chosen in (("train", pairs[:N_PAIRS]), ("valid", pairs[N_PAIRS:])):
        write(folder / f"{name}.en", [pair.english for pair in chosen])
        write(folder / f"{name}.de", [pair.german for pair in chosen])
    texts = [folder / "train.en", folder / "train.de"]
    train_tokenizer_package("unigram", texts, 330, folder / "tokenizer")
    return folder


def home() -> dict[str, str]:
    """The environment that keeps tests away from the user's own packages and caches."""
    return {"TX_HOME": str(shared() / "home")}


@cache
def warm_up() -> None:
    """Do here once what takes time only once, from imports to the choice of kernels: the forks need not."""
    precision, argv, environment = torch.get_float32_matmul_precision(), sys.argv, dict(os.environ)
    sys.argv = ["tx", *arguments(shared() / "warm", "-q", data__sampling=0.1)]
    os.environ |= home()
    try:
        main()
    except SystemExit as exit:
        assert not exit.code
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ |= environment
        torch.set_float32_matmul_precision(precision)
    gc.freeze()  # else the first collection of every fork would copy its memory


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


TINY = {
    "model.d_model": 8,
    "model.d_ff": 8,
    "model.n_heads": 2,
    "model.n_encoder_layers": 1,
    "model.n_decoder_layers": 1,
    "data.n_valid": 4,
    "train.eval_lines": 1,
    "train.log_every": 3,
    "train.threads": 1,
    "train.batch_tokens": 200,
    "train.max_steps": 12,
    "train.eval_every": 4,
    "train.average": 2,
}


def arguments(out: Path | str, *extra: str, data: Path | None = None, **changes: Any) -> list[str]:
    """A command line for a run of a second; keyword `train__lr=1` stands for `--set train.lr=1`."""
    data = data or shared()
    settings = TINY | {"data.tokenizer": shared() / "tokenizer"}
    settings |= {key.replace("__", "."): value for key, value in changes.items()}
    words = ["train", "transformer", str(data / "train.en"), str(data / "train.de"), "-o", str(out)]
    words += ["--valid", str(data / "valid.en"), "--valid", str(data / "valid.de")]
    return [*words, *(f"--set={key}={value}" for key, value in settings.items()), *extra]


@dataclass
class Done:
    """How a command ended: its exit status, negative for a signal, and what it said."""

    status: int
    out: str
    err: str
    seconds: float


def fork_tx(
    words: list[str],
    before: Callable[[], object] = lambda: None,
    stdin: bytes = b"",
    meanwhile: Callable[[int], object] = lambda child: None,
    terminal: bool = False,
) -> Done:
    """Run `tx WORDS` in a forked process, after `before` there; `meanwhile` is called here with its number.

    With `terminal`, stderr is one.
    """
    warm_up()
    started = time.monotonic()
    # Not a file: a limit on the size of files must not silence it.
    reading, writing = os.openpty() if terminal else os.pipe()
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as taken:
        given.write(stdin)
        given.seek(0)
        child = os.fork()
        if child == 0:
            for descriptor, other in enumerate((given.fileno(), taken.fileno(), writing)):
                os.dup2(other, descriptor)
            os._exit(_status_of(words, before))
        os.close(writing)
        meanwhile(child)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        err = b"".join(_chunks(reading)).decode()
        os.close(reading)
        taken.seek(0)
        return Done(code, taken.read().decode(), err, time.monotonic() - started)


def _chunks(descriptor: int) -> Iterator[bytes]:
    with suppress(OSError):  # which is how a terminal ends
        while chunk := os.read(descriptor, 1 << 16):
            yield chunk


def _status_of(words: list[str], before: Callable[[], object]) -> int:
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "rb")), "utf-8")
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(n, "wb"), "utf-8", write_through=True) for n in (1, 2)
    )
    sys.argv = ["tx", *words]
    os.environ |= home()
    os.fsync = lambda descriptor: None  # slow, and only a machine that dies loses what was not synced
    try:
        before()
        main()
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else int(bool(exit.code))
    except BaseException as error:
        os.write(2, f"escaped: {error!r}".encode())
        return 99
    return 0


@cache
def model() -> Path:
    """A package that has learned next to nothing."""
    out = shared() / "model"
    done = fork_tx(arguments(out))
    assert done.status == 0, done.err
    return out


def at_step(step: int, action: Callable[[], object]) -> Callable[[], None]:
    """A `before` that does something right after update number `step`."""

    def before() -> None:
        update = loop.Trainer._update

        def wrapped(self: Any, batches: Any) -> Any:
            result = update(self, batches)
            if self.progress.step == step:
                action()
            return result

        loop.Trainer._update = wrapped  # type: ignore[method-assign]

    return before


def at_validation(n: int, action: Callable[[], object]) -> Callable[[], None]:
    """A `before` that does something in the middle of validation number `n`, from 1."""

    def before() -> None:
        measure, count = loop.Trainer._measure, 0

        def wrapped(self: Any, *args: Any) -> Any:
            nonlocal count
            count += 1
            if count == n:
                evaluate = self.evaluate
                self.evaluate = lambda: (evaluate(), action(), evaluate())[-1]
            return measure(self, *args)

        loop.Trainer._measure = wrapped  # type: ignore[method-assign]

    return before


def save_always() -> None:
    """Save after every update, not only now and then."""
    save = loop.Trainer.save

    def wrapped(self: Any) -> float:
        ended = save(self)
        self._save_interval = 0.0
        return ended

    loop.Trainer.save, loop.Trainer._save_interval = wrapped, 0.0  # type: ignore[method-assign]


def send(number: int) -> Callable[[], None]:
    """An action: send this process a signal."""
    return lambda: os.kill(os.getpid(), number)


KILL = send(signal.SIGKILL)


def result(out: Path) -> dict[str, bytes]:
    """Everything a run leaves that must not depend on whether it was interrupted."""
    found = {}
    skipped = {"run/lock", "run/process", "README.md", "run/tokenizer/README.md"}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and name not in skipped and not path.name.startswith(TEMPORARY):
            found[name] = path.read_bytes()
    log = [json.loads(line) for line in found["run/metrics.jsonl"].splitlines()]
    for record in log:
        for key in TIMING:
            record.pop(key, None)
    found["run/metrics.jsonl"] = json.dumps(log).encode()
    state = json.loads(found["run/last/state.json"])
    for key in ("sha256", "seconds", "log_bytes"):
        del state[key]
    found["run/last/state.json"] = json.dumps(state).encode()
    return found


def published_at(out: Path) -> int:
    """The step whose weights the package at `out` has."""
    return int(Package.open(out).scores[0]["data"].rpartition("step ")[2])


def differences(a: Path, b: Path) -> list[str]:
    """The names of files in which two runs differ, and of those that only one has."""
    one, two = result(a), result(b)
    return sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in `folder` for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def at_operation(
    n: int, folder: Path, action: Callable[[], object], counter: mmap.mmap | None = None
) -> Callable[[], None]:
    """A `before` that does something just before file operation number `n`, from 1, below `folder`."""

    def before() -> None:
        count, prefix = 0, str(folder)

        def hook(event: str, args: tuple[Any, ...]) -> None:
            nonlocal count
            named = args and isinstance(args[0], str | Path) and str(args[0]).startswith(prefix)
            if event == "test.fsync" or (named and (event == "open" or event.startswith(("os.", "shutil.")))):
                count += 1
                if counter is not None:
                    counter[:8] = count.to_bytes(8, "little")
                if count == n:
                    action()

        os.fsync = lambda descriptor: sys.audit("test.fsync", descriptor)
        sys.addaudithook(hook)

    return before


def count_operations(words: list[str], folder: Path) -> int:
    """How many file operations a command takes below `folder`."""
    with mmap.mmap(-1, 8) as counter:
        assert fork_tx(words, at_operation(0, folder, lambda: None, counter)).status == 0
        return int.from_bytes(counter[:8], "little")
