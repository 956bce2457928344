"""How a training run looks: one live line on a terminal, plain lines now and then anywhere else."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from tx.cli import console
from tx.config.duration import format_duration

if TYPE_CHECKING:
    from tx.train.loop import Trainer

# What a validation may find, and how it is shown; the first is what the best is told by.
FOUND = {
    "valid_bleu": "BLEU {:.2f}",
    "valid_f1": "F1 {:.2f}",
    "valid_loss": "loss {:.4f}",
    "valid_bpc": "{:.3f} bits/char",
    "valid_ppl": "ppl {:.2f}",
}


class TrainingDisplay:
    """Hears what the loop does (see `tx.train.loop.Listener`) and tells it on stderr."""

    def __init__(self) -> None:
        self.best = ""
        self.watched: Trainer | None = None  # whose step the live line follows
        self.line = "starting"  # with `watched`, what follows the step
        self._bar: Progress | None = None
        self._first: tuple[float, float] | None = None

    def __enter__(self) -> Self:
        if console.is_terminal():
            self._bar = Progress(
                _LiveText(self),
                BarColumn(bar_width=20),
                console=console.stderr(),
                transient=True,
            )
            self._task = self._bar.add_task("", total=1.0)
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
        line = (
            f"  epoch {record['epochs']:.2f}  loss {record['loss']:.3f}"
            f"  {record['tokens_per_s']:,.0f} tokens/s{self.left(record)}"
        )
        if record["skipped"]:
            line += f"  {record['skipped']:,} skipped"
        self.show(line if self.watched and self._bar else f"step {record['step']:,}{line}", record["share"])

    def left(self, record: dict[str, Any]) -> str:
        """The time that is left, as far as it can be told."""
        share, seconds = record["share"], record["seconds"]
        first_share, first_seconds = self._first = self._first or (share, seconds)
        if share == first_share:  # by the speed of this process: a resumed run may have been slower before
            return ""
        return f"  {format_duration((seconds - first_seconds) * (1 - share) / (share - first_share))} left"

    def show(self, line: str, share: float) -> None:
        """Say how things stand: on the live line if there is one, else on one of its own."""
        if self._bar is not None:
            self.line = line
            self._bar.update(self._task, completed=share)
        else:
            console.note(line)

    def live(self, task: Task) -> str:
        """The live line as things stand: the step goes on between two lines of the log, from the first on."""
        if self.watched is None or not self.watched.progress.step:
            return self.line + self.best
        task.completed, line = self.watched.share(), self.line
        if line == "starting":
            loss = self.watched.loss_so_far()
            line = "" if loss is None else f"  loss {loss:.3f}"
        return f"step {self.watched.progress.step:,}{line}{self.best}"

    def evaluated(self, record: dict[str, Any], samples: list[dict[str, str]], best: bool) -> None:
        """The result of a validation, and what the model writes."""
        found = [text.format(record[name]) for name, text in FOUND.items() if name in record]
        if best:
            self.best = f"  best {found[0]}"
        mark = "  *best*" if best else ""
        console.note(
            f"step {record['step']:,}  {format_duration(record['seconds'])}  validation: {'  '.join(found)}"
            f"  ({record['weights']} weights){mark}",
            style="bold" if best else "",
        )
        for name, text in (item for sample in samples for item in sample.items()):
            for line in text.split("\n") if "\n" in text else [f"{name}  {text}"]:
                console.note(f"    {line}", style="dim")


class _LiveText(ProgressColumn):
    """The live line, asked for anew at each refresh, so that training need not push it."""

    def __init__(self, display: TrainingDisplay) -> None:
        super().__init__()
        self._display = display

    def render(self, task: Task) -> Text:
        return Text(self._display.live(task), no_wrap=True)
