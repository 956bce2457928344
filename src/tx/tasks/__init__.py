"""What a model can be trained for: one room a task, with its configuration, data, model and validation."""

from tx.tasks import language_model, speech, tagging, translation, vectors

TASKS = {task.TASK.name: task.TASK for task in (translation, language_model, tagging, speech, vectors)}
