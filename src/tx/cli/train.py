"""`tx train`: from text to a tokenizer or a model."""

import dataclasses
import shlex
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from tx.cli import console
from tx.cli.options import architecture_config, collect_flags, config_flags, value_of
from tx.cli.progress import TrainingDisplay, describe_weights
from tx.cli.recipe_help import TOKENIZER_FLAGS, RecipeHelp
from tx.config.catalog import arch_named, arch_names, recipe_names
from tx.config.resolve import Resolved, resolve
from tx.config.schema import MODELS, SPEECH, TRANSLATION, VECTORS, RunConfig
from tx.errors import TxError, UsageError, did_you_mean
from tx.tasks import TASKS
from tx.tasks.task import Task
from tx.text.lines import read_lines
from tx.text.tokenizer import KINDS

Valid = Annotated[
    list[str] | None,
    typer.Option(
        "--valid", metavar="FILE", help="Validation data; for translation first the source, then the target."
    ),
]
Out = Annotated[str, typer.Option("--output", "-o", metavar="NAME", help="The package to write.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any other key, as in --set model.d_ff=1024; repeatable."
    ),
]


COMMAND_CLASS = RecipeHelp


@config_flags
def train(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE|CONFIG.toml|KIND] [FILE...]",
            help="A recipe, a configuration file, an architecture or a kind of tokenizer, then the data.",
            show_default=False,
        ),
    ] = None,
    output: Out = "",
    valid: Valid = None,
    sets: Sets = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in -o.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in -o.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the resolved configuration and a forecast, train nothing."),
    ] = False,
    quiet: console.Quiet = False,
    **flags: Any,
) -> None:
    """Train a tokenizer or a model, from text or speech.

    ```
    $ tx train train.de train.en -o de-en
    $ tx train transformer-xs train.de train.en --valid dev.de --valid dev.en -o de-en
    $ tx train transformer-xs train.de train.en --max-time 30m -o de-en
    $ tx train --resume -o de-en
    $ tx train char-rnn shakespeare.txt -o bard
    $ tx train word2vec text8 -o vectors
    $ tx train tagger train.conll --valid dev.conll --embeddings vectors -o names
    $ tx train whisper videos/ --init-from whisper-base --language de -o my-whisper
    $ tx train whisper train.tsv --valid dev.tsv --init-from whisper-base --language de --max-time 1h -o my-whisper
    $ tx train bpe train.de train.en --vocab-size 8000 -o bpe8k
    $ tx config transformer-xs > run.toml && tx train run.toml train.de train.en -o de-en
    ```

    For two files a recipe is chosen by their size. The first Ctrl-C finishes the step and saves.
    `tx train RECIPE --help` shows what concerns a recipe alone, with the values that it sets.
    """
    words, given = what or [], collect_flags(flags)
    if not output and not dry_run:
        raise UsageError("where to? no package is named", "name one with -o NAME")
    if words and words[0] in KINDS:
        if dry_run or resume or valid or sets:
            raise UsageError(
                "a tokenizer is fitted in one go: --dry-run, --resume, --valid and --set mean nothing for it",
                "a tokenizer knows --vocab-size, --seed and --overwrite",
            )
        _train_tokenizer(words[0], words[1:], given, output, overwrite)
        return
    if resume and overwrite:
        raise UsageError("--resume goes on with a run, and --overwrite replaces it", "leave one of them away")
    out = Path(output)
    resolved = (
        _resume_config(out, words, valid, given, sets) if resume else _config(words, valid, given, sets)
    )
    _run(resolved, out, resume, overwrite, dry_run)


def _train_tokenizer(
    kind: str, files: list[str], given: dict[str, Any], output: str, overwrite: bool
) -> None:
    from tx.text.fit_tokenizer import train_tokenizer_package

    if wrong := sorted(given.keys() - TOKENIZER_FLAGS):
        name = wrong[0].rpartition(".")[2].replace("_", "-")
        raise UsageError(
            f"--{name} means nothing for a tokenizer", "a tokenizer knows --vocab-size and --seed"
        )
    if not files:
        raise UsageError("there is no text to learn from", f"tx train {kind} FILE... -o {output}")
    config = resolve(flags=given).config
    package = train_tokenizer_package(
        kind, files, config.data.vocab_size, output, overwrite=overwrite, seed=config.seed, say=console.note
    )
    text = shlex.quote(files[0])
    console.note(
        f"{output}: {package.config['vocab_size']:,} pieces; try: tx tokenize -m {output} {text} | head"
    )


# -- the configuration -----------------------------------------------------------------------------


def _config(
    words: list[str], valid: list[str] | None, given: dict[str, Any], sets: list[str] | None
) -> Resolved:
    """The configuration a command line asks for."""
    name, files = _name_and_files(words)
    if files:
        given["data.train"] = files
    if valid:
        given["data.valid"] = valid
    if name is None and not files:
        raise UsageError("what shall be trained?", "tx train SRC TGT -o NAME; `tx config` lists the recipes")
    resolved = resolve(name or _choose_recipe(files), flags=given, sets=sets or [], model=architecture_config)
    _check_files(resolved.config)
    return resolved


def _check_files(config: RunConfig) -> None:
    """Raise UsageError unless there are as many files as the task needs, TxError for one that is not there."""
    data = config.data
    if config.task != TRANSLATION and not data.train:
        what, files = ("speech", "DATA") if config.task == SPEECH else ("text", "FILE")
        raise UsageError(f"there is no {what} to learn from", f"tx train {config.arch} {files}... -o NAME")
    for key, paths in (("training", data.train), ("validation", data.valid)):
        n_files = f"{len(paths)} file{'s' * (len(paths) != 1)}"
        if config.task == TRANSLATION and len(paths) not in ((2,) if key == "training" else (0, 2)):
            raise UsageError(
                f"a translator needs a source and a target file of {key} text, not {n_files}",
                "tx train RECIPE SRC TGT --valid SRC --valid TGT; for a language model: tx train char-rnn FILE",
            )
        for path in paths:
            if path == "-" and config.task != VECTORS:
                raise UsageError(
                    "training reads its text more than once, and cannot read it from a pipe",
                    "write it to a file first: cat > train.txt",
                )
            if not (Path(path).is_file() or path == "-" or (config.task == SPEECH and Path(path).is_dir())):
                raise TxError(
                    f"there is no file {path}", "check the path; a relative one starts at this folder"
                )


def _name_and_files(words: list[str]) -> tuple[str | None, list[str]]:
    """Split the positional words: a configuration first, if the first word is one, then text."""
    if not words:
        return None, []
    first, known = words[0], [*recipe_names(), *arch_names()]
    if first.endswith(".toml") or first in known or arch_named(first):
        return first, words[1:]
    if not Path(first).is_file():
        raise UsageError(
            f"'{first}' is neither a file nor a recipe",
            did_you_mean(first, [*known, *KINDS]) or "`tx config` lists the recipes",
        )
    return None, words


def _choose_recipe(files: list[str]) -> str:
    """The recipe for a corpus of this size on this machine: without a GPU only the smallest ends in hours."""
    import torch

    n, gpu = sum(1 for _ in read_lines(files[0])), torch.cuda.is_available()
    if n <= 60_000 or not gpu:
        name = "transformer-xs"
    else:
        name = "transformer-s" if n <= 300_000 else "transformer-base"
    console.note(
        f"recipe: {name}, for {n:,} pairs on a {'GPU' if gpu else 'CPU'} "
        "(name one yourself to choose another; `tx config` lists them)"
    )
    return name


def _resume_config(
    out: Path, words: list[str], valid: list[str] | None, given: dict[str, Any], sets: list[str] | None
) -> Resolved:
    """What the run in `out` is to go on with; whether it may is for the run to say."""
    kept = out / "run" / "config.toml"
    if not kept.is_file():
        raise TxError(f"there is no run to resume in {out}", "leave --resume away to start one")
    name, files = _name_and_files(words)
    flags = dict(given)
    flags |= {"data.train": files} if files else {}
    flags |= {"data.valid": valid} if valid else {}
    return resolve(name or str(kept), flags=flags, sets=sets or [], model=architecture_config)


# -- the run ---------------------------------------------------------------------------------------


def _run(resolved: Resolved, out: Path, resume: bool, overwrite: bool, dry_run: bool) -> None:
    from tx.train.run_folder import claim
    from tx.train.signals import sigterm_as_interrupt

    task = TASKS[resolved.config.task]
    if task.name in MODELS:
        resolved.check_model(architecture_config(resolved.config.arch))
    if task.is_secondary():
        console.set_quiet(True)
    with ExitStack() as stack:
        stack.enter_context(sigterm_as_interrupt())
        if dry_run:
            print_config(resolved)
            if not resume:
                out = Path(stack.enter_context(TemporaryDirectory()))
        elif not task.is_secondary():
            stack.enter_context(claim(out, resume, overwrite))
        _train(task, resolved.config, out, resume, dry_run)


def _train(task: Task, config: RunConfig, out: Path, resume: bool, dry_run: bool) -> None:
    """Prepare the run in `out`, and unless it is a dry run train and print the outcome."""
    display = TrainingDisplay(task)
    name, begun = shlex.quote(str(out)), resume
    try:
        run = task.prepare(config, out, resume, display)
        if run.forecast:
            console.note(str(run.forecast))
        if dry_run:
            return
        display.run, begun = run, True
        with display:
            progress = run.train()
    except KeyboardInterrupt:
        if begun and (out / "run" / "last").is_dir():
            console.note(f"continue with: tx train --resume -o {name}")
        else:
            console.note("stopped before the first step; nothing was saved")
        raise typer.Exit(130) from None
    if not progress.finished:
        console.note(f"stopped at step {progress.step:,}; continue with: tx train --resume -o {name}")
        if progress.step and progress.evaluated < 0:
            note = ", which was not validated yet" if task.metrics else ""
            console.note(f"{name} holds the present model{note}")
        raise typer.Exit(130)
    outcome = f"finished ({progress.finished}) after {progress.step:,} steps"
    if best := task.format_metrics(progress.best_values):
        outcome += f": best {', '.join(best)} at step {progress.best_step:,}"
        outcome += f", with {describe_weights(progress.best_weights)}, which the package holds"
        values = progress.best_values
        if "valid_loss" in values and values.get(f"valid_{next(iter(task.metrics))}") == 0:
            outcome += f" ({best[0].split()[0]} is still 0, so the lowest loss was chosen)"
    console.note(outcome)
    console.note("try: " + task.example.format(out=name, text=shlex.quote(config.data.train[0])))


def print_config(resolved: Resolved) -> None:
    rows = []
    for key, origin in resolved.origins.items():
        value = value_of(resolved.config, key)
        if not dataclasses.is_dataclass(value):
            rows.append((key, value, origin))
    console.print_table(["key", "value", "from"], rows)
