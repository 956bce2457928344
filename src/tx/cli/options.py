"""Flags made from the fields of the configuration, so that key, flag, default and help cannot disagree."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, fields
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from tx.config.schema import SECTIONS, RunConfig, choices, default_of

PANELS = {
    "": "Training",
    "data": "Data",
    "train": "Training",
    "decode": "Search",
    "word2vec": "Word vectors",
    "finetune": "Whisper",
}
METAVARS: dict[Any, str] = {int: "N", float: "X", str: "TEXT", bool: "", list[str]: "TEXT"}
F = TypeVar("F", bound=Callable[..., Any])


def config_flags(command: F) -> F:
    """Replace the `**flags` of a Typer command by one flag for each field declared with `flag=True`.

    A flag that was not given is None; `collect_flags(flags)` gives the others.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    made = [_parameter(key, option, hint) for key, option, hint in flag_fields()]
    command.__signature__ = signature.replace(parameters=[*parameters, *made])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in (*parameters, *made)} | {"return": None}
    return command


def collect_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that were given, under their dotted keys: {"lr": 0.1, "seed": None} to {"train.lr": 0.1}."""
    given = ((key, flags.get(key.rpartition(".")[2])) for key, _, _ in flag_fields())
    return {key: value for key, value in given if value is not None and value != []}


def architecture_config(arch: str) -> type:
    """The `Config` of an architecture: for `tx.config.resolve.resolve`, which asks only where there are faults."""
    from tx.models import load_architecture  # imports torch

    config: type = load_architecture(arch).Config
    return config


def flag_fields() -> Iterator[tuple[str, Field, Any]]:
    """The dotted key, field and type of every flag, in the order of the help page."""
    for section, owner in {**SECTIONS, "": RunConfig}.items():
        hints = get_type_hints(owner)
        for option in fields(owner):
            if option.metadata.get("flag"):
                yield f"{section}.{option.name}".lstrip("."), option, hints[option.name]


def value_of(config: RunConfig, key: str) -> Any:
    """What a configuration holds under a dotted key."""
    section, _, leaf = key.rpartition(".")
    owner: Any = getattr(config, section) if section else config
    return owner.get(leaf) if isinstance(owner, dict) else getattr(owner, leaf)


def flag_help(option: Field, hint: Any, default: Any) -> str:
    """What the help page says of a flag, its choices and its default included."""
    told = [", ".join(choices(hint)), "" if default in ("", False, []) else f"default {default}"]
    more = "; ".join(filter(None, told))
    text: str = option.metadata["help"]
    return f"{text} ({more})" if more else text


def _parameter(key: str, option: Field, hint: Any) -> inspect.Parameter:
    name = option.name.replace("_", "-")
    info = typer.Option(
        f"--{name}/--no-{name}" if hint is bool else f"--{name}",
        help=flag_help(option, hint, default_of(option)),
        metavar=METAVARS.get(hint, "CHOICE"),
        rich_help_panel=PANELS[key.rpartition(".")[0]],
        allow_from_autoenv=False,  # the environment has its own place in the order of `tx.config.resolve`
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(option.name, kind, default=None, annotation=Annotated[hint | None, info])
