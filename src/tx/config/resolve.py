"""Where the configuration of a run comes from: recipe, files, environment and flags, merged and checked.

Highest wins: flag or `--set`, environment (`TX_TRAIN_LR`), the named file, the nearest `tx.toml`, the user's
file, recipe, default. Every value keeps where it came from, so that a fault names its file and line, and all
faults are told at once. pydantic judges the types; the wording is ours.
"""

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from tx.config import schema
from tx.config.catalog import arch_named, arch_names, load_recipe, recipe_names, recipe_text, task_of
from tx.config.schema import SECTIONS, RunConfig, choices, concerns, default_of, limits
from tx.config.toml import nearest_toml, read_toml, toml_value
from tx.errors import TxError, UsageError, did_you_mean

TABLES = (*SECTIONS, "model")
COMMAND_LINE = ("flag ", "--set", "command line")  # so begin the origins of what was typed
_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text in quotes",
    list[str]: 'a list of texts, as in ["a", "b"]',
}
UPDATES = ("train.max_steps", "train.max_epochs", "train.max_time")
T = TypeVar("T")
Fault = tuple["Source", str, str]  # where, which key, what is wrong


@dataclass(frozen=True)
class Source:
    """One place that values come from, with the dotted keys it gives."""

    origin: str
    values: Mapping[str, Any]
    path: str = ""  # a file's name, as errors give it
    toml: str = ""  # the file's text, in which errors find the line
    typed: str | None = None  # the text of a lone value that may be TOML or a plain string

    def place(self, key: str) -> str:
        """The file and line of `key`, or what else the source is called."""
        line = _line_of(self.toml, key) if self.toml else None
        return f"{self.path}:{line}" if line else self.path or self.origin


@dataclass
class Resolved:
    """A checked configuration, and where each of its values comes from ("train.lr" to "flag --lr")."""

    config: RunConfig
    origins: dict[str, str]
    sources: dict[str, Source] = field(repr=False)

    def check_model(self, cls: type[T]) -> T:
        """`[model]` as the architecture's `Config`; `config.model` then holds every field, and `origins` too.

        Raises TxError as `check_section` does.
        """
        model = check_section(cls, self.config.model, self.sources)
        derived = {option.name for option in fields(cls) if option.metadata.get("derived")}  # type: ignore[arg-type]
        values = asdict(model)  # type: ignore[call-overload]
        self.config.model = {name: value for name, value in values.items() if name not in derived}
        for name in self.config.model:
            self.origins.setdefault(f"model.{name}", "default")
        return model


def resolve(
    name: str | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    model: Callable[[str], type] | None = None,
) -> Resolved:
    """Merge and check everything that configures a run.

    `name` is a TOML file, a recipe or an architecture; `flags` holds dotted keys ("train.lr"), `sets` what
    `--set` was given; `environ` and `folder` stand in for the process's own. `[model]` stays as given until
    `Resolved.check_model`. Raises TxError that lists every unknown key and bad value with its place, or names
    the line of a TOML error; UsageError if all faults were typed on the command line. `model` finds the
    `Config` of an architecture: asked only if there are faults, so that those in `[model]` are told with them.
    """
    environ = os.environ if environ is None else environ
    recipe, named = _named(name)
    settings, variables = [*_settings(folder or Path.cwd(), environ)], [*_environment(environ)]
    faults: list[Fault] = []
    chosen: dict[str, tuple[Any, Source]] = {}
    for source in (*recipe, *settings, *named, *variables, *_typed(flags or {}, sets)):
        for key, value in source.values.items():
            try:
                chosen[key] = (_check(key, value, source.typed), source)
            except ValueError as error:
                faults.append((source, key, str(error)))
    if any(key == "arch" for _, key, _ in faults):
        _raise(faults)  # without it nobody knows what else means something
    arch = chosen["arch"][0] if "arch" in chosen else RunConfig().arch
    config = schema.defaults(task_of(arch))
    chosen = _concerning(chosen, config.task, (*settings, *variables), faults)
    if faults and model is not None and config.task in schema.MODELS:
        given = {key: item for key, item in chosen.items() if key.startswith("model.")}
        values = {key.removeprefix("model."): value for key, (value, _) in given.items()}
        faults += _checked(model(arch), values, {key: source for key, (_, source) in given.items()})[1]
    _raise(faults)
    origins = dict.fromkeys(_keys(config.task), "default")
    for key, (value, source) in chosen.items():
        section, _, leaf = key.partition(".")
        if section == "model":
            config.model[leaf] = value
        else:
            setattr(getattr(config, section) if leaf else config, leaf or key, value)
        origins[key] = source.origin
    return Resolved(config, origins, {key: source for key, (_, source) in chosen.items()})


def _concerning(
    chosen: Mapping[str, tuple[Any, "Source"]], task: str, general: Sequence["Source"], faults: list["Fault"]
) -> dict[str, tuple[Any, "Source"]]:
    """What of `chosen` means something for the task; the rest is a fault, unless it stands for runs in general."""
    known, kept = _keys(task), {}
    for key, (value, source) in chosen.items():
        if key in known or (key.startswith("model.") and task in schema.MODELS):
            kept[key] = value, source
        elif source not in general:
            faults.append((source, key, f"means nothing for the task {task}"))
    return kept


def check_section(
    cls: type[T],
    values: Mapping[str, Any],
    sources: Mapping[str, Source] | None = None,
    section: str = "model",
) -> T:
    """Check `values` against the fields of the dataclass `cls` and return an instance of it.

    `sources` tells where "section.key" came from, for the messages. Raises TxError that lists every unknown
    key and bad value.
    """
    checked, faults = _checked(cls, values, sources or {}, section)
    _raise(faults)
    return cls(**checked)


def _checked(
    cls: type, values: Mapping[str, Any], sources: Mapping[str, Source], section: str = "model"
) -> tuple[dict[str, Any], list[Fault]]:
    """`values` as the types of the fields of `cls`, and what is wrong with the others."""
    checked: dict[str, Any] = {}
    faults: list[Fault] = []
    unnamed = Source(f"[{section}]", {})
    for name, value in values.items():
        source = sources.get(f"{section}.{name}", unnamed)
        try:
            checked[name] = _check_field(cls, name, value, source.typed)
        except ValueError as error:
            faults.append((source, f"{section}.{name}", str(error)))
    return checked, faults


def user_toml(environ: Mapping[str, str]) -> Path:
    """The user's file: `$TX_HOME/config.toml`, else `tx/config.toml` in the XDG configuration folder."""
    if home := environ.get("TX_HOME"):
        return Path(home).expanduser() / "config.toml"
    return Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "tx" / "config.toml"


def _keys(task: str = "") -> list[str]:
    """The dotted keys that mean something for `task`, in the order of a file; without a task all of them."""
    owners = {"": RunConfig, **SECTIONS}
    return [
        f"{name}.{option.name}".lstrip(".")
        for name, owner in owners.items()
        for option in fields(owner)
        if (name or option.name not in TABLES)
        and (concerns(option, task) if task else not option.metadata.get("derived"))
    ]


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """{"seed": 1, "train": {"lr": 1}} as {"seed": 1, "train.lr": 1}."""
    flat = {}
    for name, value in table.items():
        inner = name in TABLES and isinstance(value, dict)
        flat.update({f"{name}.{key}": item for key, item in value.items()} if inner else {name: value})
    return flat


def _named(name: str | None) -> tuple[list[Source], list[Source]]:
    """The recipe under `name`, and the file or architecture that it names."""
    if name is None:
        return [], []
    path = Path(name)
    if path.is_file() or name.endswith(".toml"):
        table, text = read_toml(path)
        base = table.pop("recipe", None)
        named = [Source(name, _flat(table), name, text)]
        if base is None:
            return [], named
        if base in recipe_names():
            return [_recipe(base)], named
        hint = did_you_mean(str(base), recipe_names()) or "`tx config` lists the recipes"
        raise TxError(f"{named[0].place('recipe')}: no recipe {toml_value(base)}", hint)
    if name in recipe_names():
        return [_recipe(name)], []
    if arch := arch_named(name):
        return [], [Source("command line", {"arch": arch})]
    hint = did_you_mean(name, [*recipe_names(), *arch_names()]) or "`tx config` lists the recipes"
    raise UsageError(f"no recipe, architecture or TOML file '{name}'", hint)


def _recipe(name: str) -> Source:
    return Source(f"recipe {name}", _flat(load_recipe(name)), f"recipe {name}", recipe_text(name))


def _settings(folder: Path, environ: Mapping[str, str]) -> Iterator[Source]:
    """The user's file, then the nearest `tx.toml`; their `[defaults]` name packages and are not ours."""
    user, near = user_toml(environ), nearest_toml(folder)
    for path, origin in ((user, "user's config"), (near, "tx.toml")):
        if path and path.is_file():
            table, text = read_toml(path)
            table.pop("defaults", None)
            here = path.parent == folder.absolute()
            yield Source(origin, _flat(table), path.name if here else str(path), text)


def _environment(environ: Mapping[str, str]) -> Iterator[Source]:
    """`TX_SECTION_KEY`, `TX_ARCH` and `TX_SEED`; an empty variable counts as unset."""
    for variable, text in sorted(environ.items()):
        section, _, leaf = variable.removeprefix("TX_").lower().partition("_")
        key = f"{section}.{leaf}" if section in TABLES and leaf else section
        if text and variable.startswith("TX_") and (key != section or variable in ("TX_ARCH", "TX_SEED")):
            yield Source(f"environment {variable}", {key: _parse(text)}, typed=text)


def _typed(flags: Mapping[str, Any], sets: Sequence[str]) -> Iterator[Source]:
    """What flags and `--set` gave; a key may come from one of them only."""
    offered = {key for key in _keys() if _is_flag(key)}
    for key, value in flags.items():
        leaf = key.rpartition(".")[2].replace("_", "-")
        yield Source(f"flag --{leaf}" if key in offered else "command line", {key: value})
    for setting in sets:
        key, equals, text = setting.partition("=")
        key, text = key.strip(), text.strip()
        if not equals:
            raise UsageError(
                f"--set needs section.key=value, not '{setting}'", "for example --set train.lr=7e-4"
            )
        if key in flags:
            raise UsageError(f"{key} is given twice, by a flag and by --set", "give it once")
        yield Source("--set", {key: _parse(text)}, typed=text)


def _is_flag(key: str) -> bool:
    section, _, leaf = key.rpartition(".")
    owner = SECTIONS.get(section, RunConfig)
    return any(option.name == leaf and option.metadata.get("flag") for option in fields(owner))


def _parse(text: str) -> Any:
    """`text` as a TOML value if it is exactly one, else as it stands."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text


def _line_of(toml: str, key: str) -> int | None:
    """The line on which a dotted key begins: the one after the longest part of the text that lacks it.

    Reading ever longer beginnings with the real parser knows every way to write a key, which no pattern does.
    """
    section, _, leaf = key.partition(".")
    read, before = "", 0
    for number, line in enumerate(toml.split("\n"), 1):
        read += line + "\n"
        try:
            table = tomllib.loads(read)
        except (ValueError, RecursionError):
            continue
        inner = table.get(section, {}) if leaf else table
        if isinstance(inner, dict) and (leaf or section) in inner:
            return before + 1
        before = number
    return None


def _check(key: str, value: Any, typed: str | None) -> Any:
    """The value of a dotted key as its field's type; ValueError says what is wrong."""
    section, _, leaf = key.partition(".")
    if key in TABLES:
        raise ValueError(f"expected a table, as in [{section}]")
    if section == "model":
        return value
    if leaf and section in SECTIONS:
        return _check_field(SECTIONS[section], leaf, value, typed)
    value = _check_field(RunConfig, key, value, typed)
    if key == "arch":
        arch = arch_named(value)
        if arch is None:
            hint = did_you_mean(value, arch_names()) or f"there are: {', '.join(arch_names())}"
            raise ValueError(f"no architecture '{value}'; {hint}")
        return arch
    return value


def _check_field(owner: type, name: str, value: Any, typed: str | None) -> Any:
    known: dict[str, Field] = {option.name: option for option in fields(owner)}
    if name not in known:
        raise ValueError(f"no such key{_elsewhere(owner, name)}")
    option, hint = known[name], get_type_hints(owner)[name]
    if option.metadata.get("derived"):
        raise ValueError("is derived from the data and cannot be set")
    if typed is not None and not isinstance(value, str) and (hint is str or choices(hint)):
        value = typed  # `--set data.tokenizer=1984` means a name
    try:
        result = _adapter(hint).validate_python(value)
    except ValueError:
        result = None
    if result is None or not _within(option, result):
        kind, allowed = _KINDS.get(hint, str(hint)), limits(option, hint)
        wanted = f"one of {allowed}" if choices(hint) else f"{kind} ({allowed})" if allowed else kind
        near = did_you_mean(str(value), map(str, choices(hint)))
        raise ValueError(f"expected {wanted}, got {toml_value(value)}" + (f"; {near}" if near else ""))
    if any("\ud800" <= letter <= "\udfff" for letter in toml_value(result)):
        raise ValueError("not UTF-8 text")  # a file name in another encoding, which TOML cannot hold
    if option.metadata.get("check") and result != default_of(option):
        try:
            option.metadata["check"](result)
        except TxError as error:
            raise ValueError(error.message) from error
    return result


def _within(option: Field, value: Any) -> bool:
    ge, le = option.metadata.get("ge"), option.metadata.get("le")
    return (ge is None or value >= ge) and (le is None or value <= le)


@cache
def _adapter(hint: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter  # takes 0.2 s, which `tx --help` need not wait for

    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


def _elsewhere(owner: type, name: str) -> str:
    """Where a key that `owner` lacks may belong: in another section, or under a similar name."""
    for section, other in SECTIONS.items():
        if other is not owner and any(option.name == name for option in fields(other)):
            return f" here; it belongs in [{section}]"
    names = [option.name for option in fields(owner) if not option.metadata.get("derived")]
    names += ["recipe"] if owner is RunConfig else []
    return f"; {did_you_mean(name, names) or 'there are: ' + ', '.join(names)}"


def _raise(faults: list[Fault]) -> None:
    if faults:
        lines = [f"{source.place(key)}: {key}: {what}" for source, key, what in faults]
        many = f"{len(lines)} faults in the configuration\n  " + "\n  ".join(lines)
        typed = all(source.origin.startswith(COMMAND_LINE) for source, _, _ in faults)
        hint = "`tx config RECIPE` prints every key with its meaning"
        if any(key in UPDATES and what.endswith(f"the task {schema.VECTORS}") for _, key, what in faults):
            hint = "word vectors are trained for as many passes over the text as --epochs says"
        raise TxError(lines[0] if len(lines) == 1 else many, hint, exit_code=2 if typed else 1)
