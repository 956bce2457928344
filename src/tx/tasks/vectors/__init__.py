"""Word vectors, trained by word2vec."""

from tx.tasks.task import Task

TASK = Task(
    name="vectors",
    training="tx.tasks.vectors.training",
    metrics={},
    example="tx neighbors WORD --model {out}",
    log_line="epoch {epochs:.2f}  loss {loss:.3f}  {words_per_s:,.0f} words/s",
    log_seconds=10.0,
)
