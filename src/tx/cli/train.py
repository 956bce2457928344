"""`tx train`: from text to a tokenizer or a model."""

import shlex
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from tx.cli import console
from tx.cli.options import collect_flags, config_flags, value_of
from tx.cli.progress import TrainingDisplay, describe_weights
from tx.cli.recipe_help import TOKENIZER_FLAGS, RecipeHelp
from tx.config.catalog import recipe_names
from tx.config.resolve import Resolved, arch_named
from tx.config.schema import RunConfig, has_model, options
from tx.errors import TxError, UsageError, did_you_mean
from tx.tasks import TASKS, architecture_config, architectures, resolve
from tx.tasks.task import Task
from tx.text.lines import read_lines
from tx.text.tokenizer import KINDS

Valid = Annotated[
    list[str] | None,
    typer.Option(
        "--valid", metavar="FILE", help="Validation data; for translation twice: --valid SRC --valid TGT."
    ),
]
Out = Annotated[str, typer.Option("--output", "-o", metavar="NAME", help="Package to write.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Set any key, as in --set model.d_ff=1024; can be repeated.",
    ),
]


COMMAND_CLASS = RecipeHelp


@config_flags
def train(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE|CONFIG.toml|KIND] [FILE...]",
            help="A recipe, a configuration file, an architecture or a kind of tokenizer; then the data.",
            show_default=False,
        ),
    ] = None,
    output: Out = "",
    valid: Valid = None,
    sets: Sets = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in -o.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the package in -o.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the configuration and an estimate of the training time and memory, but do not train.",
        ),
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

    For two files without a recipe, tx chooses a translation recipe by their size. Press Ctrl-C once to finish the
    current step and save, twice to stop at once. `tx train RECIPE --help` shows only the options of that recipe,
    with its default values.
    """
    words, given = what or [], collect_flags(flags)
    if not output and not dry_run:
        raise UsageError("missing option -o NAME", "add -o NAME, the package to write")
    if words and words[0] in KINDS:
        if dry_run or resume or valid or sets:
            raise UsageError(
                "--dry-run, --resume, --valid and --set do not apply to a tokenizer",
                "the options of a tokenizer are --vocab-size, --seed and --overwrite",
            )
        return _train_tokenizer(words[0], words[1:], given, output, overwrite)
    if resume and overwrite:
        raise UsageError("--resume continues a run, and --overwrite replaces it", "omit one of them")
    out = Path(output)
    name, files = _name_and_files(words)
    given |= {"data.train": files} if files else {}
    given |= {"data.valid": valid} if valid else {}
    if resume:
        stored = out / "run" / "config.toml"
        if not stored.is_file():
            raise TxError(f"there is no run to resume in {out}", "omit --resume to start one")
        name = name or str(stored)
    elif name is None and not files:
        raise UsageError("nothing to train", "tx train SRC TGT -o NAME; `tx config` lists the recipes")
    resolved = resolve(name or _choose_recipe(files), flags=given, sets=sets or [])
    task = TASKS[resolved.config.task]
    if not resume:
        task.check_files(resolved.config)
    if has_model(type(resolved.config)):
        resolved.check_model(architecture_config(resolved.config.arch))
    _run(task, resolved, out, resume, overwrite, dry_run)


def _train_tokenizer(
    kind: str, files: list[str], given: dict[str, Any], output: str, overwrite: bool
) -> None:
    from tx.text.fit_tokenizer import train_tokenizer_package

    if wrong := sorted(given.keys() - TOKENIZER_FLAGS):
        name = wrong[0].rpartition(".")[2].replace("_", "-")
        raise UsageError(
            f"--{name} does not apply to a tokenizer",
            "the options of a tokenizer are --vocab-size, --seed and --overwrite",
        )
    if not files:
        raise UsageError("there is no training text", f"tx train {kind} FILE... -o {output}")
    config: Any = resolve(flags=given).config
    package = train_tokenizer_package(
        kind, files, config.data.vocab_size, output, overwrite=overwrite, seed=config.seed, say=console.note
    )
    name, text = shlex.quote(output), shlex.quote(files[0])
    console.note(f"{name}: {package.config['vocab_size']:,} pieces; try: tx tokenize -m {name} {text} | head")


def _name_and_files(words: list[str]) -> tuple[str | None, list[str]]:
    """Split the positional words: a configuration first, if the first word is one, then files."""
    if not words:
        return None, []
    first, known = words[0], [*recipe_names(), *architectures()]
    if first.endswith(".toml") or first in known or arch_named(first, architectures()):
        return first, words[1:]
    if not Path(first).is_file():
        raise UsageError(
            f"'{first}' is neither a file nor a recipe",
            did_you_mean(first, [*known, *KINDS]) or "`tx config` lists the recipes",
        )
    return None, words


def _choose_recipe(files: list[str]) -> str:
    """The recipe for a corpus of this size on this machine: on a CPU only the smallest takes hours, not days."""
    import torch

    n, gpu = sum(1 for _ in islice(read_lines(files[0]), 300_001)), torch.cuda.is_available()
    if n <= 60_000 or not gpu:
        name = "transformer-xs"
    else:
        name = "transformer-s" if n <= 300_000 else "transformer-base"
    console.note(
        f"recipe: {name}, for {'more than ' * (n > 300_000)}{min(n, 300_000):,} pairs "
        f"on a {'GPU' if gpu else 'CPU'} "
        "(`tx config` lists the recipes; name another one to use it instead)"
    )
    return name


# -- the run ---------------------------------------------------------------------------------------


def _run(task: Task, resolved: Resolved, out: Path, resume: bool, overwrite: bool, dry_run: bool) -> None:
    """Claim the run folder and train, or only print the configuration and the forecast."""
    from tx.training.run_folder import claim
    from tx.training.signals import sigterm_as_interrupt

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
            note = ", which has not been validated yet" if task.metrics else ""
            console.note(f"{name} holds the current model{note}")
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
    """Print every key with its value and its origin."""
    keys = [key for key, _, _ in options(type(resolved.config))]
    keys += [key for key in resolved.origins if key.startswith("model.")]
    rows = ((key, value_of(resolved.config, key), resolved.origins[key]) for key in keys)
    console.print_table(["key", "value", "from"], rows)
