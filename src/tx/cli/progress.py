"""How a training run looks: one live line on a terminal, plain lines now and then anywhere else."""

from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, Progress, TextColumn

from tx.cli import console
from tx.train.text import duration


class TrainingDisplay:
    """Hears what the loop does (see `tx.train.loop.Listener`) and tells it on stderr."""

    def __init__(self) -> None:
        self.best = ""
        self._bar: Progress | None = None
        self._first: tuple[float, float] | None = None

    def __enter__(self) -> Self:
        if console.is_terminal():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                console=console.stderr(),
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=1.0)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, message: str) -> None:
        console.note(message)

    def train(self, record: dict[str, Any]) -> None:
        """A line of the training log."""
        share, seconds, left = record["share"], record["seconds"], ""
        first_share, first_seconds = self._first = self._first or (share, seconds)
        if share > first_share:  # by the speed of this process: a resumed run may have been slower before
            left = f"  {duration((seconds - first_seconds) * (1 - share) / (share - first_share))} left"
        line = (
            f"step {record['step']:,}  epoch {record['epochs']:.2f}  loss {record['loss']:.3f}"
            f"  {record['tokens_per_s']:,.0f} tokens/s{left}"
        )
        if record["skipped"]:
            line += f"  {record['skipped']} skipped"
        if self._bar is not None:
            self._bar.update(self._task, completed=share, description=line + self.best)
        else:
            console.note(line)

    def evaluated(self, record: dict[str, Any], samples: list[dict[str, str]], best: bool) -> None:
        """The result of a validation, and what a few lines became."""
        if best:
            self.best = f"  best BLEU {record['valid_bleu']:.1f}"
        mark = "  *best*" if best else ""
        console.note(
            f"step {record['step']:,}  {duration(record['seconds'])}  validation: BLEU {record['valid_bleu']:.2f}"
            f"  loss {record['valid_loss']:.3f}  ppl {record['valid_ppl']:.2f}  ({record['weights']} weights){mark}",
            style="bold" if best else "",
        )
        for sample in samples:
            for name in ("src", "ref", "hyp"):
                console.note(f"    {name}  {sample[name]}", style="dim")
