"""Where the configuration of a run comes from: recipe, files, environment and flags, merged and checked.

The order of precedence: flag or `--set`, environment (`TX_TRAIN_LR`), the named file, the nearest `tx.toml`, the
user's file, recipe, default. The source of every value is recorded, so that errors name the file and the line.
"""

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from tx.config.catalog import load_recipe, recipe_names, recipe_text
from tx.config.check import Fault, Source, check_field, check_section, check_values, raise_faults
from tx.config.schema import RunConfig, has_model, options, sections
from tx.config.toml import nearest_toml, read_toml, toml_value
from tx.errors import TxError, UsageError, did_you_mean

Configs = Mapping[str, type[RunConfig]]  # the configuration of the runs that train an architecture
T = TypeVar("T")


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
        config: Any = self.config
        model = check_section(cls, config.model, self.sources, others=sections(type(config)))
        derived = {option.name for option in fields(cls) if option.metadata.get("derived")}  # type: ignore[arg-type]
        values = asdict(model)  # type: ignore[call-overload]
        config.model = {name: value for name, value in values.items() if name not in derived}
        for name in config.model:
            self.origins.setdefault(f"model.{name}", "default")
        return model


def resolve(
    name: str | None,
    configs: Configs,
    model: Callable[[str], type],
    *,
    flags: Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Resolved:
    """Merge and check everything that configures a run.

    `name` is a TOML file, a recipe or an architecture of `configs`; `flags` holds dotted keys ("train.lr"), `sets`
    the arguments of `--set`; `environ` and `folder` replace those of the process. `[model]` is checked later, by
    `Resolved.check_model`; only if there are other errors, the dataclass `model(architecture)` is asked for at once,
    so that they are reported together. Raises TxError that lists every unknown key and bad value with its place, or
    names the line of a TOML error; UsageError if all of them were typed on the command line.
    """
    environ = os.environ if environ is None else environ
    tables = {"model"}.union(*map(sections, configs.values())) - {""}
    recipe, named = _named(name, configs, tables)
    settings = [*_settings(folder or Path.cwd(), environ, tables)]
    variables = [*_environment(environ, tables)]
    sources = [*recipe, *settings, *named, *variables, *_typed(flags or {}, sets, configs)]
    arch = _architecture(sources, configs)
    config: Any = configs[arch]()
    cls, faults = type(config), list[Fault]()
    chosen: dict[str, tuple[Any, Source]] = {}
    for source in sources:
        for key, value in source.values.items():
            owner = _owner(key, cls, configs)
            try:
                checked = arch if key == "arch" else _check(key, value, source.typed, owner, tables)
            except ValueError as error:
                faults.append((source, key, str(error)))
                continue
            if owner is cls:
                chosen[key] = checked, source
            elif source not in settings and source not in variables:  # which may be for other tasks, too
                faults.append((source, key, f"does not apply to {cls.task}"))
    if faults and has_model(cls):
        given = {key: item for key, item in chosen.items() if key.startswith("model.")}
        values = {key.removeprefix("model."): value for key, (value, _) in given.items()}
        places = {key: source for key, (_, source) in given.items()}
        faults += check_values(model(arch), values, places, others=sections(cls))[1]
    raise_faults(faults, cls.hints)
    origins = dict.fromkeys((key for key, _, _ in options(cls)), "default")
    for key, (value, source) in chosen.items():
        section, _, leaf = key.partition(".")
        if section == "model":
            config.model[leaf] = value
        else:
            setattr(getattr(config, section) if leaf else config, leaf or key, value)
        origins[key] = source.origin
    return Resolved(config, origins, {key: source for key, (_, source) in chosen.items()})


def arch_named(name: str, configs: Configs) -> str | None:
    """The architecture called `name`, in which a hyphen may replace an underscore, or None."""
    return arch if (arch := name.replace("-", "_")) in configs else None


def _architecture(sources: Sequence[Source], configs: Configs) -> str:
    """The architecture that the last of the sources names. Raises TxError if any of them names an unknown one."""
    arch, faults = RunConfig.arch, list[Fault]()
    for source in sources:
        if "arch" in source.values:
            try:
                name = check_field(RunConfig, "arch", source.values["arch"], source.typed)
                if (found := arch_named(name, configs)) is None:
                    hint = did_you_mean(name, configs) or f"there are: {', '.join(configs)}"
                    raise ValueError(f"no architecture '{name}'; {hint}")
                arch = found
            except ValueError as error:
                faults.append((source, "arch", str(error)))
    raise_faults(faults)
    return arch


def _owner(key: str, config: type[RunConfig], configs: Configs) -> type[RunConfig]:
    """The first configuration that has `key`, beginning with `config`, which it is also if none has it."""
    for one in (config, *configs.values()):
        if key in (known for known, _, _ in options(one)) or (key.startswith("model.") and has_model(one)):
            return one
    return config


def _check(key: str, value: Any, typed: str | None, config: type[RunConfig], tables: set[str]) -> Any:
    """The value of a dotted key as the type of its field; ValueError says what is wrong."""
    section, _, leaf = key.partition(".")
    if key in tables:
        raise ValueError(f"expected a table, as in [{section}]")
    if section == "model":
        return value
    others = sections(config)
    inside = bool(leaf) and section in others
    return check_field(others[section if inside else ""], leaf if inside else key, value, typed, others)


def user_toml(environ: Mapping[str, str]) -> Path:
    """The user's file: `$TX_HOME/config.toml`, else `tx/config.toml` in the XDG configuration folder."""
    if home := environ.get("TX_HOME"):
        return Path(home).expanduser() / "config.toml"
    return Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "tx" / "config.toml"


def _flat(table: Mapping[str, Any], tables: set[str]) -> dict[str, Any]:
    """{"seed": 1, "train": {"lr": 1}} as {"seed": 1, "train.lr": 1}."""
    flat = {}
    for name, value in table.items():
        inner = name in tables and isinstance(value, dict)
        flat.update({f"{name}.{key}": item for key, item in value.items()} if inner else {name: value})
    return flat


def _named(name: str | None, configs: Configs, tables: set[str]) -> tuple[list[Source], list[Source]]:
    """The recipe under `name`, and the file or architecture that it names."""
    if name is None:
        return [], []

    def recipe(name: str) -> Source:
        return Source(f"recipe {name}", _flat(load_recipe(name), tables), f"recipe {name}", recipe_text(name))

    if Path(name).is_file() or name.endswith(".toml"):
        table, text = read_toml(Path(name))
        base = table.pop("recipe", None)
        named = [Source(name, _flat(table, tables), name, text)]
        if base is None:
            return [], named
        if base in recipe_names():
            return [recipe(base)], named
        hint = did_you_mean(str(base), recipe_names()) or "`tx config` lists the recipes"
        raise TxError(f"{named[0].place('recipe')}: no recipe {toml_value(base)}", hint)
    if name in recipe_names():
        return [recipe(name)], []
    if arch := arch_named(name, configs):
        return [], [Source("command line", {"arch": arch})]
    hint = did_you_mean(name, [*recipe_names(), *configs]) or "`tx config` lists the recipes"
    raise UsageError(f"there is no recipe, architecture or TOML file '{name}'", hint)


def _settings(folder: Path, environ: Mapping[str, str], tables: set[str]) -> Iterator[Source]:
    """The user's file, then the nearest `tx.toml`, without `[defaults]`, which `tx models` reads."""
    user, near = user_toml(environ), nearest_toml(folder)
    for path, origin in ((user, "user's config"), (near, "tx.toml")):
        if path and path.is_file():
            table, text = read_toml(path)
            table.pop("defaults", None)
            here = path.parent == folder.absolute()
            yield Source(origin, _flat(table, tables), path.name if here else str(path), text)


def _environment(environ: Mapping[str, str], tables: set[str]) -> Iterator[Source]:
    """`TX_SECTION_KEY`, `TX_ARCH` and `TX_SEED`; an empty variable counts as unset."""
    for variable, text in sorted(environ.items()):
        section, _, leaf = variable.removeprefix("TX_").lower().partition("_")
        key = f"{section}.{leaf}" if section in tables and leaf else section
        if text and variable.startswith("TX_") and (key != section or variable in ("TX_ARCH", "TX_SEED")):
            yield Source(f"environment {variable}", {key: _parse(text)}, typed=text)


def _typed(flags: Mapping[str, Any], sets: Sequence[str], configs: Configs) -> Iterator[Source]:
    """The values of flags and of `--set`; a key may come from one of them only."""
    offered = {
        key for cls in set(configs.values()) for key, option, _ in options(cls) if option.metadata["flag"]
    }
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


def _parse(text: str) -> Any:
    """`text` as a TOML value if it is exactly one, else unchanged."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text
