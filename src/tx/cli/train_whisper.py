"""`tx train whisper`: the run of `tx.tasks.speech.run`, as it looks in a terminal or a log."""

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer

from tx.cli import console
from tx.cli.progress import TrainingDisplay
from tx.config.duration import format_duration
from tx.config.resolve import Resolved


class SpeechDisplay(TrainingDisplay):
    """Hears what a run of fine-tuning does, and tells it on stderr."""

    def warn(self, message: str) -> None:
        console.warn(message)

    def train(self, record: dict[str, Any]) -> None:
        """A line of the training log."""
        self.show(
            f"step {record['step']:,}  epoch {record['epochs']:.2f}  loss {record['loss']:.3f}"
            f"  {record['s_per_step']:.2f} s/step{self.left(record)}{self.best}",
            record["share"],
        )

    def evaluated(self, record: dict[str, Any], worst: list[dict[str, str]], best: bool) -> None:
        """The result of a validation, and where the model is furthest from what was said."""
        if best:
            self.best = f"  best WER {record['valid_wer']:.1f} %"
        mark = "  *best*" if best else ""
        when = (
            f"step {record['step']:,}  {format_duration(record['seconds'])}"
            if record["step"]
            else "untouched model"
        )
        console.note(f"{when}  {_rates(record, 'valid')}{mark}", style="bold" if best else "")
        for key in record:
            if key.startswith("also_") and key.endswith("_wer"):
                name = key.removesuffix("_wer")
                console.note(f"    {name.removeprefix('also_')}: {_rates(record, name)}")
        for pair in worst:
            console.note(f"    said   {pair['ref']}\n    heard  {pair['hyp']}", style="dim")


def _rates(record: dict[str, Any], name: str) -> str:
    wer, cer, raw = (record[f"{name}_{kind}"] for kind in ("wer", "cer", "wer_raw"))
    return f"WER {wer:.1f} %  CER {cer:.1f} %  (as written: WER {raw:.1f} %)"


def run_whisper(resolved: Resolved, out: Path, resume: bool, overwrite: bool, dry_run: bool) -> None:
    """Fine-tune Whisper as configured, or say what that would be."""
    from tx.cli.train import print_config
    from tx.tasks.speech.checkpoint import transformers
    from tx.train.run_folder import claim
    from tx.train.signals import sigterm_as_interrupt

    transformers()  # or the error that says how to get it
    from tx.tasks.speech.ranks import rank
    from tx.tasks.speech.run import forecast, train_whisper

    display = SpeechDisplay()
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
