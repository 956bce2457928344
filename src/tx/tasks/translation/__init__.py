"""Translation: a model that writes the target sentence for a source sentence."""

from tx.tasks.task import Task

TASK = Task(
    name="translation",
    training="tx.tasks.translation.training",
    metrics={"bleu": "BLEU {:.2f}", "loss": "loss {:.4f}", "ppl": "ppl {:.2f}"},
    example="tx translate -m {out} {text} | head",
)
