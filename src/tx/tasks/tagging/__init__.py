"""Tagging: a label for every word of a sentence, such as the named entity that it belongs to."""

from tx.tasks.task import Task

TASK = Task(
    name="tagging",
    training="tx.tasks.tagging.training",
    metrics={"f1": "F1 {:.2f}", "loss": "loss {:.4f}"},
    example="tx tag -m {out} --from columns {text} | head",
)
