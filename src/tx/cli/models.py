"""`tx models`: list, inspect and average packages, and choose the default of a task."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from tx import tasks
from tx.cli import console
from tx.cli.console import argument, option
from tx.errors import UsageError, did_you_mean
from tx.package import Package, best_score, find_package, get_default, list_packages, set_default

TASKS = (*(name for name in tasks.TASKS if name != "speech"), "tokenizer")
Name = Annotated[str, argument("NAME|FOLDER", "Name or folder of a package.")]


def list_(json: console.Json = False) -> None:
    """List the packages in ./models, in this folder, and in the user package folder.

    ```
    $ tx models list
    $ tx models list | tail -n +2 | cut -f 1
    ```

    Columns: name, task, architecture, size, best score (on a test set if there is one, else on the validation set),
    and folder. A narrow terminal shows fewer columns. The user package folder is `$TX_HOME/models` or
    `~/.local/share/tx/models`. Packages are not verified; `tx models show` does that.
    """
    found = list_packages()
    for package in found:
        if package.problem:
            console.warn(f"skipped {package.path}: {package.problem}")
    entries = [
        {
            "name": package.name,
            "task": package.task,
            "arch": package.manifest["arch"],
            "bytes": package.bytes,
            "score": best_score(package.manifest["scores"]),
            "path": package.path,
        }
        for package in found
        if not package.problem
    ]
    if json:
        console.print_json([entry | {"path": str(Path(entry["path"]).resolve())} for entry in entries])
    elif not entries:
        console.note("no packages found; train one with `tx train`, or give the path of a package with -m")
    else:
        short = sys.stdout.isatty()
        for entry in entries:
            entry["arch"] = entry["arch"] or "-"
            entry["bytes"] = _size(entry["bytes"]) if short else entry["bytes"]
            entry["score"] = _score(entry["score"], short)
        columns = ("name", "task", "arch", "size", "score", "path")
        _print_table(columns, [tuple(entry.values()) for entry in entries], ("path", "arch", "task"))


def show(name: Name, json: console.Json = False) -> None:
    """Verify a package and show its contents.

    ```
    $ tx models show de-en
    $ tx models show de-en --json | jq .scores
    ```

    All checksums are verified first; a damaged package is reported as an error.
    """
    package = Package.open(find_package(name, ""), rehash=True)
    n_parameters = sum(tensor.size for tensor in package.tensors.values())
    if json:
        extra = {"name": package.name, "path": str(package.path.resolve()), "n_parameters": n_parameters}
        console.print_json({**extra, **package.manifest})
        return
    rows: list[tuple[str, Any]] = [("name", package.name), ("path", package.path.resolve())]
    rows += [(key, package.manifest[key]) for key in ("task", "arch", "tx_version", "format")]
    if package.tensors:
        rows.append(("parameters", f"{n_parameters:,}"))
    for key in ("config", "decode", "tokenizers", "data"):
        rows += _flatten(key, package.manifest[key])
    rows += [("score", _score(score)) for score in package.scores]
    for file, entry in package.manifest["files"].items():
        rows.append((f"file {file}", f"{_size(entry['bytes'])}, SHA-256 {entry['sha256']} (verified)"))
    _print_table(("key", "value"), [(key, "-" if value is None else value) for key, value in rows])


def path(name: Name) -> None:
    """Print the absolute path of a package, for scripts.

    ```
    $ ls "$(tx models path de-en)"
    ```
    """
    print(find_package(name, "").resolve())  # noqa: T201


def default(
    task: Annotated[str, argument("TASK", ", ".join(TASKS))],
    name: Annotated[str | None, argument("[NAME|FOLDER]", "Package to use by default.")] = None,
    unset: Annotated[bool, option("Remove the default of the task.")] = False,
) -> None:
    """Show or set the package that commands use without -m.

    ```
    $ tx models default translation de-en
    $ tx models default translation
    $ tx models default translation --unset
    ```

    A tx.toml in this folder or a parent folder takes precedence; in its section `[defaults]` the key is the name of
    the task, for example `translation`.
    """
    if task not in TASKS:
        hint = did_you_mean(task, TASKS) or f"the tasks are {', '.join(TASKS)}"
        raise UsageError(f"there is no task '{task}'", hint)
    if unset and name is not None:
        raise UsageError("--unset takes no package", f"`tx models default {task} --unset`")
    if unset:
        set_default(task, None)
    elif name is not None:
        package = Package.open(find_package(name, task), task)
        set_default(task, package.path)
        console.note(f"{task}: {package.path.resolve()}")
    elif (chosen := get_default(task)) is not None:
        print(chosen)  # noqa: T201
    else:
        console.note(f"no default for {task}; `tx models default {task} NAME` sets one")


def average(
    names: Annotated[
        list[str], argument("NAME", "Packages with the same architecture, usually the same recipe.")
    ],
    output: Annotated[str, option("Package to write.", "-o", metavar="NAME")],
    overwrite: Annotated[bool, option("Replace an existing package.")] = False,
) -> None:
    """Average the weights of packages that have the same configuration and tokenizer.

    ```
    $ tx models average ckpt1 ckpt2 ckpt3 -o mean
    ```

    Averaging helps with models that were trained from the same checkpoint; the mean of unrelated models is useless.
    Evaluate the result before you use it: the scores of the inputs are not copied.
    """
    if len(names) < 2:
        raise UsageError("averaging needs at least two packages", "tx models average A B -o MEAN")
    from tx.training.averaging import average_packages

    packages = [Package.open(find_package(name, "translation"), "translation") for name in names]
    mean = average_packages(packages, Path(output), overwrite)
    console.note(
        f"wrote {output}, the average of {len(packages)} packages; next: tx evaluate -m {mean.path} SRC REF"
    )


def _print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], optional: Sequence[str] = ()
) -> None:
    """Print rows of untrusted text, without its tabs, line ends and terminal codes."""
    safe = (["".join(c if c.isprintable() else "\ufffd" for c in str(cell)) for cell in row] for row in rows)
    console.print_table(columns, safe, optional)


def _flatten(key: str, value: Any) -> list[tuple[str, Any]]:
    """Nested objects as rows: `data.dropped.empty`."""
    if isinstance(value, dict):
        return [row for inner, item in value.items() for row in _flatten(f"{key}.{inner}", item)]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [row for index, item in enumerate(value, 1) for row in _flatten(f"{key}.{index}", item)]
    return [(key, value)]


def _score(score: dict[str, Any] | None, short: bool = False) -> str:
    """A score as text; a `short` one has no signature and no details of the data."""
    if score is None:
        return "-"
    text = f"{score['metric']} {score['value']:.4g}"
    if data := score.get("data"):
        text += f" on {str(data).partition(',')[0] if short else data}"
    return text + (f" ({score['signature']})" if score.get("signature") and not short else "")


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} GB"
