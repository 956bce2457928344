"""A run of word2vec, from raw text to a package: what `tx train word2vec FILE... -o NAME` does.

The text is encoded once into the run's folder, then learned from block by block. Block number n has random
numbers of its own, from the seed and n, and the learning rate of its place; threads take the blocks in turn.
So the state of a run is its matrices and a number.
"""

import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np

from tx.config.duration import format_duration
from tx.config.schema import RunConfig
from tx.errors import TxError
from tx.files import atomic_folder, remove
from tx.tasks.vectors.state import Progress, load_state, save_state
from tx.train.log import Log
from tx.train.run_folder import check_inputs, clear, save_config, save_inputs
from tx.train.signals import StopSignal
from tx.vectors.store import write_vectors
from tx.word2vec.corpus import INFO, Corpus, Ids, encode_text, open_corpus
from tx.word2vec.engine import Engine, choose_engine, make_engine, n_threads
from tx.word2vec.sampling import learning_rate

SAVE_EVERY = 60.0  # seconds between states on disk
LOOK_EVERY = 0.1  # seconds between looks at what the threads do
LOG_EVERY = 1.0
WILD = 100.0  # the mean loss of an answer that no sound run comes near


class Listener(Protocol):
    """Hears what happens in a run."""

    def info(self, message: str) -> None: ...

    def train(self, record: dict[str, Any]) -> None:
        """A line of the log: share, epochs, words, loss, lr, words_per_s, seconds."""


@dataclass
class Prepared:
    """A run that is ready to train."""

    config: RunConfig
    corpus: Corpus
    engine: Engine
    progress: Progress
    out: Path
    listener: Listener

    def __post_init__(self) -> None:
        self.run = self.out / "run"
        self.per_epoch = -(-self.corpus.n_ids // self.engine.block)
        self.progress.total = self.per_epoch * self.config.word2vec.epochs
        self._taken = 0
        self._log = Log(self.run / "metrics.jsonl")
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._halt = threading.Event()
        self._loss, self._pairs = 0.0, 0

    def go_on(self, progress: Progress) -> None:
        """Continue where an earlier process stopped."""
        assert progress.total == self.progress.total
        self.progress, self._taken = progress, progress.blocks

    def train(self) -> Progress:
        """Train to the end, or until a signal asks to stop; either way the package holds what was learned.

        Raises TxError if something cannot be written, and what the engine raised.
        """
        started = time.monotonic() - self.progress.seconds
        self._log.truncate(self.progress.log_bytes)
        try:
            with StopSignal() as stop:
                while not (self.progress.finished or stop.requested):
                    self._round(stop, started)
                    self.save()
            self.publish()
        finally:
            self._log.close()
        if self.progress.finished:
            remove(self.run / "corpus" / INFO)  # only now nothing is left to do, should the process die
            remove(self.run / "corpus")
        return self.progress

    def save(self) -> None:
        """Keep the state of the run."""
        self.progress.log_bytes = self._log.flush()
        save_state(self.run / "last", self.progress, self.engine.matrices())

    def publish(self) -> None:
        """Make what was learned so far the package."""
        options = asdict(self.config.word2vec)
        whole, rest = divmod(self.progress.blocks, self.per_epoch)
        epochs = whole + round(rest / self.per_epoch, 2) if rest else whole
        made = {"engine": self.progress.engine, "lr": self.config.train.lr, "seed": self.config.seed}
        write_vectors(
            self.out,
            self.corpus.words,
            self.engine.matrices()["vectors"],
            self.corpus.counts,
            arch=self.config.arch,
            config=options | made | {"epochs": epochs},
            data={
                "files": ", ".join(text_names(self.config)),
                "words": self.corpus.n_read,
                "words in the vocabulary": self.corpus.n_tokens,
            },
            overwrite=True,
        )

    def _round(self, stop: StopSignal, started: float) -> None:
        """Let threads work for a while, and log meanwhile; afterwards all blocks that they took are done."""
        self._halt.clear()
        threads = [
            threading.Thread(target=self._work, daemon=True)
            for _ in range(n_threads(self.config, self.engine))
        ]
        begun = logged = time.monotonic()
        words, over = self.progress.words, False
        for thread in threads:
            thread.start()
        while not over:
            alive = next((thread for thread in threads if thread.is_alive()), None)
            over = alive is None
            if alive is not None:
                alive.join(LOOK_EVERY)
            now = time.monotonic()
            self.progress.seconds = now - started
            if stop.requested or now - begun > SAVE_EVERY:
                self._halt.set()
            if self.progress.words > words and (over or now - logged > LOG_EVERY):
                self._report((self.progress.words - words) / (now - logged))
                logged, words = now, self.progress.words
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        """Take blocks, one after another, until there are none or somebody calls halt."""
        try:
            while not self._halt.is_set():
                with self._lock:
                    number = self._taken
                    if number >= self.progress.total:
                        return
                    self._taken += 1
                ids, loss, n = self._block(number)
                with self._lock:
                    self.progress.blocks += 1
                    self.progress.words += int((ids >= 0).sum())
                    self._loss, self._pairs = self._loss + loss, self._pairs + n
        except BaseException as error:
            self._failure = error
            self._halt.set()

    def _block(self, number: int) -> tuple[Ids, float, int]:
        """Learn from block `number` of the run; return its ids, the loss and the number of pairs in that."""
        size, total, config = self.engine.block, self.progress.total, self.config
        ids = self.corpus.read(number % self.per_epoch * size, size)
        first, last = (learning_rate(config.train.lr, n / total) for n in (number, number + 1))
        seed = np.random.SeedSequence((config.seed, number)).generate_state(1, np.uint64)
        return ids, *self.engine.train(ids, (first, last), int(seed[0]))

    def _report(self, words_per_s: float) -> None:
        """A line of the log; raises TxError if the numbers have left all bounds."""
        progress = self.progress
        with self._lock:
            if self._pairs:
                progress.loss = self._loss / self._pairs
            self._loss, self._pairs = 0.0, 0
        if not progress.loss < WILD * (1 + self.config.word2vec.negative):  # nor is it if it is no number
            raise TxError(
                f"training diverged: the loss is {progress.loss:.3g}",
                f"choose a lower --lr than {self.config.train.lr:g}",
            )
        share = progress.blocks / progress.total
        record = {
            "step": progress.blocks,
            "share": share,
            "epochs": progress.blocks / self.per_epoch,
            "words": progress.words,
            "loss": progress.loss,
            "lr": learning_rate(self.config.train.lr, share),
            "words_per_s": words_per_s,
            "seconds": progress.seconds,
        }
        self._log.write(record)
        self.listener.train(record)


def prepare(config: RunConfig, corpus: Corpus, out: Path, listener: Listener) -> Prepared:
    """An engine for a corpus, and the run with it. Raises TxError if the engine cannot be had."""
    name, reason = choose_engine(config, corpus.n_tokens * config.word2vec.epochs)
    listener.info(f"engine: {name} ({reason})")
    return _with_engine(name, config, corpus, out, listener)


def _with_engine(name: str, config: RunConfig, corpus: Corpus, out: Path, listener: Listener) -> Prepared:
    engine = make_engine(name, config, corpus.words, corpus.counts)
    prepared = Prepared(config, corpus, engine, Progress(name), out, listener)
    threads = n_threads(config, engine)
    if threads > 1:
        listener.info(
            f"{threads} threads, so the vectors differ a little from run to run; --threads 1 repeats exactly"
        )
    return prepared


def train_word2vec(config: RunConfig, out: Path, resume: bool, listener: Listener) -> Progress:
    """Train word vectors into the package `out`, whose run folder is claimed; or go on with the run there.

    Raises TxError for faults in the text, the configuration or the state of the run.
    """
    run = out / "run"
    if resume:
        check_inputs(run, config)
        progress, matrices = load_state(run / "last")
        if progress.finished and not (run / "corpus" / INFO).exists():
            listener.info("this run is finished; for other vectors start a new one")
            return progress
        prepared = _with_engine(progress.engine, config, open_corpus(run / "corpus"), out, listener)
        prepared.engine.load(matrices)
        prepared.go_on(progress)
        save_config(run, config)
        return prepared.train()
    with atomic_folder(run / "corpus") as folder:
        prepared = prepare(config, read_text(config, folder, listener), out, listener)
        clear(run, but=folder)
    prepared.corpus.folder = run / "corpus"
    prepared.save()
    save_inputs(run, config, texts=())  # the text itself is not needed again, and may have come from a pipe
    return prepared.train()


def read_text(config: RunConfig, folder: Path, listener: Listener) -> Corpus:
    """Encode the text of the configuration into `folder`, and tell its size."""
    started = time.monotonic()
    corpus = encode_text(config.data.train, config.word2vec, folder, listener.info)
    listener.info(
        f"{' + '.join(text_names(config))}: {corpus.n_read:,} words; {len(corpus.words):,} different ones occur "
        f"{config.word2vec.min_count} times or more ({format_duration(time.monotonic() - started)})"
    )
    return corpus


def text_names(config: RunConfig) -> list[str]:
    """The texts as people call them."""
    return ["standard input" if path == "-" else Path(path).name for path in config.data.train]


def forecast(config: RunConfig, listener: Listener) -> str:
    """What a run would be and how long it would take, by the speed of a few blocks; nothing is kept."""
    with TemporaryDirectory() as folder:
        corpus = read_text(config, Path(folder), listener)
        prepared = prepare(config, corpus, Path(folder), listener)
        ids = corpus.read(0, prepared.engine.block)
        prepared.engine.train(ids, (0.0, 0.0), 1)
        started = time.monotonic()
        prepared.engine.train(ids, (0.0, 0.0), 1)
        speed = len(ids) / (time.monotonic() - started) * n_threads(config, prepared.engine)
    words = corpus.n_tokens * config.word2vec.epochs
    n_parameters = 2 * len(corpus.words) * config.word2vec.dim
    return (
        f"forecast: {n_parameters:,} parameters; {words:,} words in {config.word2vec.epochs} epochs, "
        f"{format_duration(words / speed)} at {speed:,.0f} words/s"
    )
