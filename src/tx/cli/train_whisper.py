"""`tx train whisper`: the run of `tx.tasks.speech.run`, as it looks in a terminal or a log."""

import shlex
from contextlib import nullcontext
from pathlib import Path

import typer

from tx.cli import console
from tx.cli.progress import TrainingDisplay
from tx.config.resolve import Resolved
from tx.tasks.speech import TASK


def run_whisper(resolved: Resolved, out: Path, resume: bool, overwrite: bool, dry_run: bool) -> None:
    """Fine-tune Whisper as configured, or say what that would be."""
    from tx.cli.train import print_config
    from tx.tasks.speech.checkpoint import transformers
    from tx.train.run_folder import claim
    from tx.train.signals import sigterm_as_interrupt

    transformers()  # or the error that says how to get it
    from tx.tasks.speech.ranks import rank
    from tx.tasks.speech.run import forecast, train_whisper

    display = TrainingDisplay(TASK)
    if dry_run:
        print_config(resolved)
        forecast(resolved.config, display)
        return
    if rank():
        console.set_quiet(True)
    name = shlex.quote(str(out))
    try:
        with sigterm_as_interrupt(), nullcontext() if rank() else claim(out, resume, overwrite), display:
            progress = train_whisper(resolved.config, out, resume, display)
    except KeyboardInterrupt:  # while it was set up, or a second one
        kept = (out / "run" / "last").is_dir()
        console.note(
            f"go on with: tx train --resume -o {name}" if kept else "nothing was trained or saved yet"
        )
        raise
    if not progress.finished:
        console.note(f"stopped at step {progress.step:,}; go on with: tx train --resume -o {name}")
        raise typer.Exit(130)
    first, best = progress.first["valid_wer"], 100 * progress.best_wer
    console.note(
        f"finished ({progress.finished}) after {progress.step:,} steps: WER {first:.1f} % -> {best:.1f} % "
        f"at step {progress.best_step:,}"
    )
    if best > first:
        console.warn(
            f"{out} is worse than the model that it started from: try a lower --lr, more data, or --freeze-encoder"
        )
    console.note(f"try: tx transcribe -m {name} {shlex.quote(resolved.config.data.train[0])}")
