"""What a model can be trained for: one room a task, with its configuration, data, model and validation.

To add a task, write its room and a recipe, and name it here.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from tx.config.resolve import Resolved
from tx.config.resolve import resolve as resolve_config
from tx.config.schema import RunConfig
from tx.tasks import language_model, speech, tagging, translation, vectors
from tx.tasks.task import Task

TASKS: dict[str, Task] = {
    room.TASK.name: room.TASK for room in (translation, language_model, tagging, speech, vectors)
}


@cache
def architectures() -> dict[str, type[RunConfig]]:
    """The configuration of the runs that train an architecture, by its name.

    An architecture is a file of tx/models. Its TASK is read from the source, since importing it would import torch.
    The default of a task may be an architecture without such a file, as word2vec is.
    """
    found = {task.config().arch: task.config for task in TASKS.values()}
    for file in files("tx").joinpath("models").iterdir():
        if file.name.endswith(".py") and not file.name.startswith("_"):
            stated = re.search(r'^TASK = "([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE)
            assert stated, f"tx/models/{file.name} does not define TASK"
            found[file.name.removesuffix(".py")] = TASKS[stated[1]].config
    return dict(sorted(found.items()))


def architecture_config(arch: str) -> type:
    """The dataclass of an architecture's `[model]` section; imports torch."""
    from tx.models import load_architecture

    config: type = load_architecture(arch).Config
    return config


def resolve(
    name: str | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Resolved:
    """The configuration of a run: see `tx.config.resolve.resolve`."""
    return resolve_config(
        name,
        architectures(),
        architecture_config,
        flags=flags,
        sets=sets,
        environ=environ,
        folder=folder,
    )
