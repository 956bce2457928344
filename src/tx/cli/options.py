"""Flags made from the fields of the configuration, so that key, flag, default and help cannot disagree."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field
from typing import Annotated, Any, TypeVar

import typer

from tx.config.schema import RunConfig, choices, default_of, options
from tx.tasks import TASKS

PANELS = {
    "data": "Data",
    "train": "Training",
    "": "Training",
    "word2vec": "Word vectors",
    "finetune": "Fine-tuning Whisper",
}
METAVARS: dict[Any, str] = {int: "N", float: "X", str: "NAME", list[str]: "FILE"}
F = TypeVar("F", bound=Callable[..., Any])


def config_flags(command: F) -> F:
    """Replace the `**flags` of a Typer command by one flag for each field declared with `flag=True`.

    A flag that was not given is None; `collect_flags(flags)` gives the others.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    owners: dict[str, list[str]] = {}  # the tasks that have a key
    for task in TASKS.values():
        for key, _, _ in options(task.config):
            owners.setdefault(key, []).append(task.name)
    made = [_parameter(key, option, hint, owners[key]) for key, option, hint in flag_fields()]
    command.__signature__ = signature.replace(parameters=[*parameters, *made])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in (*parameters, *made)} | {"return": None}
    return command


def collect_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were given, under their dotted keys: {"lr": 0.1, "seed": None} to {"train.lr": 0.1}."""
    given = ((key, flags.get(key.rpartition(".")[2])) for key, _, _ in flag_fields())
    return {key: value for key, value in given if value is not None and value != []}


def flag_fields() -> list[tuple[str, Field, Any]]:
    """The dotted key, field and type of the flags of all tasks; of a flag of several tasks that of the first one."""
    found: dict[str, tuple[str, Field, Any]] = {}
    for task in TASKS.values():
        for key, option, hint in options(task.config):
            if option.metadata["flag"]:
                found.setdefault(key, (key, option, hint))
    order = list(PANELS)
    return sorted(found.values(), key=lambda flag: order.index(flag[0].rpartition(".")[0]))


def value_of(config: RunConfig, key: str) -> Any:
    """The value that a configuration holds under a dotted key."""
    section, _, leaf = key.rpartition(".")
    owner: Any = getattr(config, section) if section else config
    return owner.get(leaf) if isinstance(owner, dict) else getattr(owner, leaf)


def flag_help(option: Field, default: Any, tasks: Sequence[str] = ()) -> str:
    """The text of a flag on the help page: with the tasks that alone have it, and its default."""
    only = " and ".join(task.removesuffix("-model") for task in tasks)
    notes = [
        f"{only} models only" if only else "",
        f"default {default}" if default not in ("", False, []) else "",
    ]
    more = "; ".join(filter(None, notes))
    return f"{option.metadata['help']} ({more})" if more else str(option.metadata["help"])


def _metavar(option: Field, hint: Any) -> str:
    """The name of a flag's value, or its choices."""
    return "|".join(choices(hint)) or option.metadata["metavar"] or METAVARS.get(hint, "")


def _parameter(key: str, option: Field, hint: Any, tasks: Sequence[str]) -> inspect.Parameter:
    name, section = option.name.replace("_", "-"), key.rpartition(".")[0]
    some = tasks if section in ("data", "train") and len(tasks) <= 2 else ()
    info = typer.Option(
        f"--{name}/--no-{name}" if hint is bool else f"--{name}",
        help=flag_help(option, default_of(option), some),
        metavar=_metavar(option, hint),
        rich_help_panel=PANELS[section],
        allow_from_autoenv=False,  # `tx.config.resolve` reads the environment, in its order of precedence
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(option.name, kind, default=None, annotation=Annotated[hint | None, info])
