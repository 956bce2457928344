"""`tx train word2vec`: the run of `tx.tasks.vectors.run`, as it looks in a terminal or a log."""

from pathlib import Path

import typer

from tx.cli import console
from tx.cli.progress import TrainingDisplay
from tx.config.resolve import Resolved
from tx.tasks.vectors import TASK


def run_word2vec(resolved: Resolved, out: Path, resume: bool, overwrite: bool, dry_run: bool) -> None:
    """Train word vectors as configured, or forecast what that would take."""
    from tx.cli.train import print_config
    from tx.tasks.vectors.run import forecast, train_word2vec
    from tx.train.run_folder import claim
    from tx.train.signals import sigterm_as_interrupt

    display = TrainingDisplay(TASK)
    if dry_run:
        print_config(resolved)
        console.note(forecast(resolved.config, display))
        return
    with sigterm_as_interrupt(), claim(out, resume, overwrite), display:
        progress = train_word2vec(resolved.config, out, resume, display)
    if not progress.finished:
        console.note(
            f"stopped after {progress.blocks / progress.total:.0%}; {out} holds what was learned so far; "
            f"go on with: tx train --resume -o {out}"
        )
        raise typer.Exit(130)
    console.note(
        f"finished: {progress.words:,} words in {progress.seconds:,.0f} s, loss {progress.loss:.3f}; "
        f"try: tx neighbors WORD --model {out}"
    )
