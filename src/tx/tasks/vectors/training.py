"""Training of word vectors with word2vec, from raw text to a package.

The text is encoded once into the run folder, then trained on block by block; a block is one step. Each block has its
own random numbers, derived from the seed and its number, and the learning rate of its position. Threads take the
blocks in turn. The state of a run is therefore its matrices and the number of steps.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tx.config.duration import format_duration
from tx.errors import TxError
from tx.files import atomic_folder, remove
from tx.nn.cores import n_cores
from tx.tasks.vectors.checkpoint import VectorsProgress, load_checkpoint, save_checkpoint
from tx.training.log import Log
from tx.training.run import Forecast, Listener, Run
from tx.training.run_folder import check_inputs, clear, save_config, save_inputs
from tx.training.signals import StopSignal
from tx.vectors import write_vectors
from tx.word2vec.config import Config
from tx.word2vec.corpus import INFO, Corpus, encode_text, open_corpus
from tx.word2vec.engine import Engine, choose_engine, make_engine
from tx.word2vec.sampling import learning_rate

CORPUS, NEW_CORPUS = "corpus", "new-corpus"  # the encoded text, and that of a run which has not begun
SAVE_SECONDS = 60.0  # between checkpoints
POLL_SECONDS = 0.1
LOG_SECONDS = 1.0
MAX_LOSS = 100.0  # per output word, far above the loss of any run that converges


@dataclass
class Word2VecRun:
    """A run that is ready to train: see `tx.training.run.Run`."""

    config: Config
    out: Path
    corpus: Corpus
    engine: Engine
    progress: VectorsProgress
    listener: Listener

    def __post_init__(self) -> None:
        self.folder = self.out / "run"
        self.steps_per_epoch = -(-self.corpus.n_ids // self.engine.block)
        self.progress.total = self.steps_per_epoch * self.config.word2vec.epochs
        self.threads = (self.config.train.threads or n_cores()) if self.engine.parallel else 1
        if self.threads > 1:
            hint = "the result is not reproducible; use --threads 1 to make it so"
            self.listener.info(f"{self.threads} threads: {hint}")
        self.forecast = self._forecast()
        self._next = self.progress.step
        self._loss, self._pairs = 0.0, 0
        self._lock, self._halt = threading.Lock(), threading.Event()
        self._log = Log(self.folder / "metrics.jsonl")

    def share(self) -> float:
        return self.progress.step / self.progress.total

    def current_loss(self) -> float | None:
        loss, pairs = self._loss, self._pairs
        return loss / pairs if pairs else None

    def train(self) -> VectorsProgress:
        """Train to the end, or until a signal asks to stop; the package contains the vectors in both cases.

        Raises TxError if training diverges or a file cannot be written, and whatever the engine raises.
        """
        progress, corpus = self.progress, self.folder / CORPUS
        if self.corpus.folder != corpus:
            clear(self.folder, but=self.corpus.folder)
            self.corpus.folder = self.corpus.folder.rename(corpus)
            self._save()
            save_inputs(self.folder, self.config)  # the text is not read again; it may be a pipe
        else:
            save_config(self.folder, self.config)
        started = time.monotonic() - progress.seconds
        self._log.truncate(progress.log_bytes)
        try:
            with StopSignal() as stop:
                while progress.step < progress.total and not stop.requested:
                    self._train_until_checkpoint(stop, started)
                    self._save()
            self._publish()
        finally:
            self._log.close()
        if progress.step == progress.total:
            remove(corpus / INFO)  # a run without this file has ended, even if the process is killed now
            remove(corpus)
            progress.finished = "epochs"
            seconds = f"{progress.seconds:,.0f} s"
            self.listener.info(f"trained on {progress.tokens:,} words in {seconds}, loss {progress.loss:.3f}")
        return progress

    def _train_until_checkpoint(self, stop: StopSignal, started: float) -> None:
        """Train in threads until a checkpoint is due, and log; all blocks that were begun are finished."""
        progress, begun = self.progress, time.monotonic()
        logged, n_logged = begun, progress.tokens
        self._halt.clear()
        with ThreadPoolExecutor(self.threads) as pool:
            workers = [pool.submit(self._work) for _ in range(self.threads)]
            try:
                pending = set(workers)
                while pending:
                    pending = wait(workers, POLL_SECONDS).not_done
                    now = time.monotonic()
                    progress.seconds = now - started
                    if stop.requested or now - begun > SAVE_SECONDS:
                        self._halt.set()
                    if progress.tokens > n_logged and (not pending or now - logged > LOG_SECONDS):
                        self._report((progress.tokens - n_logged) / max(now - logged, 1e-9))
                        logged, n_logged = now, progress.tokens
            finally:
                self._halt.set()
        for worker in workers:
            worker.result()  # raises what the worker raised

    def _work(self) -> None:
        """Train on one block after another, until there are no more or `_halt` is set."""
        try:
            while not self._halt.is_set():
                with self._lock:
                    number = self._next
                    if number >= self.progress.total:
                        return
                    self._next += 1
                n_words, loss, n_pairs = self._train_block(number)
                with self._lock:
                    self.progress.step += 1
                    self.progress.epochs = self.progress.step / self.steps_per_epoch
                    self.progress.tokens += n_words
                    self._loss, self._pairs = self._loss + loss, self._pairs + n_pairs
        except BaseException:
            self._halt.set()
            raise

    def _train_block(self, number: int) -> tuple[int, float, int]:
        """Train on block `number` of the run; return its words, the loss, and the pairs that have this loss."""
        size, total, config = self.engine.block, self.progress.total, self.config
        ids = self.corpus.read(number % self.steps_per_epoch * size, size)
        first, last = (learning_rate(config.train.lr, n / total) for n in (number, number + 1))
        seed = np.random.SeedSequence((config.seed, number)).generate_state(1, np.uint64)
        return int((ids >= 0).sum()), *self.engine.train(ids, (first, last), int(seed[0]))

    def _report(self, words_per_s: float) -> None:
        """Log a record. Raises TxError if training diverged."""
        progress, lr = self.progress, self.config.train.lr
        with self._lock:
            progress.loss = self.current_loss() or progress.loss
            self._loss, self._pairs = 0.0, 0
        if not progress.loss < MAX_LOSS * (1 + self.config.word2vec.negative):  # also if it is not a number
            hint = f"choose a lower --lr than {lr:g}"
            raise TxError(f"training diverged: the loss is {progress.loss:.3g}", hint)
        record = {"step": progress.step, "share": self.share(), "epochs": progress.epochs}
        record |= {"words": progress.tokens, "loss": progress.loss, "lr": learning_rate(lr, self.share())}
        record |= {"words_per_s": words_per_s, "seconds": progress.seconds}
        self._log.write(record)
        self.listener.train(record)

    def _save(self) -> None:
        """Write a checkpoint."""
        self.progress.log_bytes = self._log.flush()
        save_checkpoint(self.folder / "last", self.progress, self.engine.matrices())

    def _publish(self) -> None:
        """Write the present vectors to the package."""
        config, epochs = self.config, self.progress.epochs
        training = {"engine": self.progress.engine, "lr": config.train.lr, "seed": config.seed}
        training["epochs"] = int(epochs) if epochs == int(epochs) else round(epochs, 2)
        names, corpus = ", ".join(text_names(config)), self.corpus
        write_vectors(
            self.out,
            corpus.words,
            self.engine.matrices()["vectors"],
            corpus.counts,
            arch=config.arch,
            config=asdict(config.word2vec) | training,
            data={"files": names, "words": corpus.n_read, "words in the vocabulary": corpus.n_tokens},
            overwrite=True,
        )

    def _forecast(self) -> Forecast:
        """The time that the run takes, by the speed of one block, trained on with a learning rate of 0."""
        ids, seconds = self.corpus.read(0, self.engine.block), 0.0
        for _ in range(2):  # the first time is slower
            start = time.monotonic()
            self.engine.train(ids, (0.0, 0.0), 1)
            seconds = (time.monotonic() - start) / self.threads
        steps = self.progress.total - self.progress.step
        return Forecast(seconds, self.steps_per_epoch, steps, steps * seconds)


@dataclass
class FinishedRun:
    """A run that has ended, which trains no further."""

    progress: VectorsProgress
    forecast: None = None

    def share(self) -> float:
        return 1.0

    def current_loss(self) -> float | None:
        return None

    def train(self) -> VectorsProgress:
        return self.progress


def prepare(config: Config, out: Path, resume: bool, listener: Listener) -> Run:
    """A run in the package `out`, or the one to resume there, with its encoded text in the run folder.

    Raises TxError for faults in the text, the configuration or the checkpoint.
    """
    run = out / "run"
    if resume:
        check_inputs(run, config)
        progress, matrices = load_checkpoint(run / "last")
        if progress.step == progress.total and not (run / CORPUS / INFO).exists():
            listener.info("this run is finished; start a new one to train other vectors")
            progress.finished = "epochs"
            return FinishedRun(progress)
        corpus = open_corpus(run / CORPUS)
        engine = make_engine(progress.engine, config, corpus.words, corpus.counts)
        engine.load(matrices)
        return Word2VecRun(config, out, corpus, engine, progress, listener)
    with atomic_folder(run / NEW_CORPUS) as folder:
        corpus = read_text(config, folder, listener)
        made = new_run(config, out, corpus, listener)
    corpus.folder = run / NEW_CORPUS
    return made


def read_text(config: Config, folder: Path, listener: Listener) -> Corpus:
    """Encode the text of the configuration into `folder`, and report its size."""
    started = time.monotonic()
    corpus = encode_text(config.data.train, config.word2vec, folder, listener.info)
    listener.info(
        f"{' + '.join(text_names(config))}: {corpus.n_read:,} words; {len(corpus.words):,} different words occur "
        f"{config.word2vec.min_count} times or more ({format_duration(time.monotonic() - started)})"
    )
    return corpus


def text_names(config: Config) -> list[str]:
    """The names of the text files without their folders."""
    return ["standard input" if path == "-" else Path(path).name for path in config.data.train]


def new_run(config: Config, out: Path, corpus: Corpus, listener: Listener) -> Word2VecRun:
    """A run with untrained vectors. Raises TxError if the engine cannot be used."""
    epochs = config.word2vec.epochs
    n_parameters, n_words = 2 * len(corpus.words) * config.word2vec.dim, corpus.n_tokens * epochs
    name, reason = choose_engine(config, n_words)
    text = f"{n_words:,} words in {epochs} epoch{'s' * (epochs != 1)}"
    listener.info(f"{config.arch}: {n_parameters:,} parameters, {text}")
    listener.info(f"engine: {name} ({reason})")
    engine = make_engine(name, config, corpus.words, corpus.counts)
    return Word2VecRun(config, out, corpus, engine, VectorsProgress(engine=name), listener)
