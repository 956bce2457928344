"""Evaluating a model package on test data, by the function of its task."""

import inspect
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from tx.errors import TxError, UsageError
from tx.evaluation.report import Report, Track, untracked
from tx.package import Package, add_scores, find_package
from tx.package.hf_folder import open_model

# Each has a module in this folder. Its function `evaluate(package, files, *, ...)` returns a Report; its keyword-only
# parameters are the options that apply to the task.
TASKS = ("translation", "language-model", "tagging", "speech", "vectors")


def run(
    model: str | Path | None,
    files: Sequence[str],
    *,
    store: bool = False,
    track: Track = untracked,
    **options: Any,
) -> Report:
    """Evaluate a model on test data; `store` adds the scores to its package.

    `model` is the name or the folder of a package, or a Hugging Face folder of Whisper; None is the only package
    that is the default of its task. An option that is None counts as not given. Raises UsageError for an option that
    does not apply to the task of the model, and TxError for data that cannot be read.
    """
    package = open_model(_default_model() if model is None else find_package(str(model), ""))
    task = package.task if isinstance(package, Package) else "speech"
    if task not in TASKS:
        raise UsageError(f"a {task} package cannot be evaluated", f"the tasks are {', '.join(TASKS)}")
    evaluate = import_module(f"tx.evaluation.{task.replace('-', '_')}").evaluate
    parameters = inspect.signature(evaluate).parameters
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in parameters or parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY:
            raise UsageError(f"--{name.replace('_', '-')} does not apply to {task}", "omit it")
    if "track" in parameters:
        given["track"] = track
    report: Report = evaluate(package, files, **given)
    if store and isinstance(package, Package):
        add_scores(package, report.records)
    return report


def _default_model() -> Path:
    """The one package that is the default of its task."""
    found = []
    for task in TASKS:
        with suppress(TxError):
            found.append(find_package(None, task))
    if len(found) != 1:
        choices = ", ".join(map(str, found)) or "no task has a default package here"
        raise UsageError(f"cannot choose the package to evaluate: {choices}", "name one with --model")
    return found[0]
