"""Language models: the probability of the next token of running text."""

from tx.tasks.task import Task

TASK = Task(
    name="language-model",
    training="tx.tasks.language_model.training",
    metrics={"loss": "loss {:.4f}", "bpc": "{:.3f} bits/char", "ppl": "ppl {:.2f}"},
    example="tx generate -m {out}",
)
