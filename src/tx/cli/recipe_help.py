"""The help page of `tx train` for what is named beside `--help`: its own flags alone, with the values it has."""

from collections.abc import Container
from copy import copy
from itertools import takewhile
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from tx.cli.options import flag_fields, flag_help, value_of
from tx.config.catalog import arch_named, recipe_names, recipe_text
from tx.config.resolve import resolve
from tx.text.tokenizer import KINDS

TOKENIZER_FLAGS = {"data.vocab_size", "seed"}
_NOT_FOR_TOKENIZERS = {"valid", "sets", "resume", "dry_run"}
_WORDS = "tx.cli.recipe_help"


class RecipeHelp(TyperCommand):
    """A command with flags by `config_flags` that can be asked what concerns a recipe: `tx train whisper --help`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the words: `--help` is answered before arguments are read."""
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the page, for the first recipe, architecture, configuration file or tokenizer that is named."""
        shown = copy(self)
        name = next(filter(_is_known, ctx.meta.get(_WORDS, [])), None)
        if name is not None:
            helps, hidden = _flags(name)
            shown.params = [_told(param, helps) for param in self.params if param.name not in hidden]
            shown.help = _about(name, self.help or "")
        TyperCommand.format_help(shown, ctx, formatter)


def _is_known(word: str) -> bool:
    is_file = word.endswith(".toml") and Path(word).is_file()
    return is_file or word in KINDS or word in recipe_names() or arch_named(word) is not None


def _flags(name: str) -> tuple[dict[str, str], set[str]]:
    """What is said of the flags that mean something for what is named, with their values; and the other flags."""
    resolved = resolve(None if name in KINDS else name)
    keys: Container[str] = TOKENIZER_FLAGS if name in KINDS else resolved.origins
    helps, hidden = dict[str, str](), set(_NOT_FOR_TOKENIZERS if name in KINDS else ())
    for key, option, hint in flag_fields():
        if key in keys:
            helps[option.name] = flag_help(option, hint, value_of(resolved.config, key))
        else:
            hidden.add(option.name)
    return helps, hidden


def _told(param: Any, helps: dict[str, str]) -> Any:
    told = copy(param)
    told.help = helps.get(param.name, getattr(param, "help", None))
    return told


def _about(name: str, text: str) -> str:
    """The page's text, with the examples that name it, where there are any."""
    lines = text.split("\n")
    examples = [line for line in lines if line.lstrip().startswith("$ ")]
    own = [line for line in examples if f" {name} " in line] or examples
    more = "" if name in KINDS else f"; `tx config {name}` prints every key"
    kept = [line for line in lines if line not in examples or line in own]
    return (
        "\n".join(kept) + f"\n\n{_described(name)}Shown is what concerns {name}, with its own values{more}."
    )


def _described(name: str) -> str:
    """What a recipe says of itself at its top, as paragraphs."""
    if name not in recipe_names():
        return ""
    top = takewhile(lambda line: line.startswith("#"), recipe_text(name).split("\n"))
    return "\n".join(line.lstrip("# ") for line in top) + "\n\n"
