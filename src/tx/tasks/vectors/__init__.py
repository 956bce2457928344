"""Word vectors, trained by word2vec."""

from tx.tasks.task import Task
from tx.word2vec.config import Config

TASK = Task(
    name="vectors",
    config=Config,
    training="tx.tasks.vectors.training",
    metrics={},
    example="tx neighbors WORD --model {out}",
    reads_stdin=True,
    log_line="epoch {epochs:.2f}  loss {loss:.3f}  {words_per_s:,.0f} words/s",
    log_seconds=10.0,
)
