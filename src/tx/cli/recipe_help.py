"""The help page of `tx train` for the recipe named before `--help`: its own flags only, with the values it sets."""

from copy import copy
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from tx.cli.options import flag_fields, flag_help, value_of
from tx.config.catalog import recipe_header, recipe_names
from tx.config.resolve import arch_named
from tx.config.schema import options
from tx.tasks import architectures, resolve
from tx.text.tokenizer import KINDS

TOKENIZER_FLAGS = {"data.vocab_size", "seed"}
_NOT_FOR_TOKENIZERS = {"valid", "sets", "resume", "dry_run"}
_WORDS = "tx.cli.recipe_help"


class RecipeHelp(TyperCommand):
    """A command with flags by `config_flags` whose help page depends on a recipe: `tx train whisper --help`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Store the words: `--help` is answered before arguments are parsed."""
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the page for the first recipe, architecture, configuration file or kind of tokenizer named."""
        shown = copy(self)
        name = next(filter(_is_known, ctx.meta.get(_WORDS, [])), None)
        if name is not None:
            helps = _helps(name)
            hidden = {option.name for _, option, _ in flag_fields()} - helps.keys()
            hidden |= _NOT_FOR_TOKENIZERS if name in KINDS else set()
            shown.params = [_with_help(param, helps) for param in self.params if param.name not in hidden]
            shown.help = _about(name, self.help or "")
        TyperCommand.format_help(shown, ctx, formatter)


def _is_known(word: str) -> bool:
    is_file = word.endswith(".toml") and Path(word).is_file()
    return is_file or word in KINDS or word in recipe_names() or bool(arch_named(word, architectures()))


def _helps(name: str) -> dict[str, str]:
    """The help texts of the flags that apply to a recipe or a kind of tokenizer, with their values."""
    config = resolve(None if name in KINDS else name).config
    return {
        option.name: flag_help(option, value_of(config, key))
        for key, option, _ in options(type(config))
        if option.metadata["flag"] and (name not in KINDS or key in TOKENIZER_FLAGS)
    }


def _with_help(param: Any, helps: dict[str, str]) -> Any:
    changed = copy(param)
    changed.help = helps.get(param.name, getattr(param, "help", None))
    return changed


def _about(name: str, text: str) -> str:
    """The text of the page, with the examples that name the recipe, if there are any, and with its description."""
    lines = text.split("\n")
    examples = [line for line in lines if line.lstrip().startswith("$ ")]
    matching = [line for line in examples if f" {name} " in line] or examples
    about = "\n".join(line for line in lines if line not in examples or line in matching)
    if name in recipe_names():
        about += "\n\n" + "\n".join(recipe_header(name))
    more = "" if name in KINDS else f" `tx config {name}` prints every key."
    return f"{about}\n\nThe options and defaults below are those of {name}.{more}"
