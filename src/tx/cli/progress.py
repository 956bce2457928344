"""The display of a training run: one live line on a terminal, plain lines now and then anywhere else."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, Progress, ProgressColumn
from rich.progress import Task as Bar
from rich.text import Text

from tx.cli import console
from tx.config.duration import format_duration
from tx.tasks.task import Task

if TYPE_CHECKING:
    from tx.training.run import Run


class TrainingDisplay:
    """Prints on stderr what a run reports (see `tx.training.run.Listener`); entered while it trains."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.run: Run | None = None  # the run that the live line follows
        self._record: dict[str, Any] = {}  # the last line of the log
        self._left = self._best = ""
        self._first: tuple[float, float] | None = None
        self._printed = float("-inf")
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        if console.is_terminal():
            columns = _LiveText(self), BarColumn(bar_width=20)
            self._progress = Progress(*columns, console=console.stderr(), transient=True)
            self._progress.add_task("", total=1.0)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def info(self, message: str) -> None:
        console.note(message)

    def warn(self, message: str) -> None:
        console.warn(message)

    def train(self, record: dict[str, Any]) -> None:
        """Show a line of the training log."""
        self._record, self._left = record, self._time_left(record)
        due = record["seconds"] - self._printed >= self.task.log_seconds or record["share"] == 1
        if self._progress is None and due:
            self._printed = record["seconds"]
            console.note(f"step {record['step']:,}{self._details()}")

    def _details(self) -> str:
        skipped = f"  {self._record['skipped']:,} skipped" if self._record.get("skipped") else ""
        return f"  {self.task.log_line.format(**self._record)}{self._left}{skipped}"

    def _time_left(self, record: dict[str, Any]) -> str:
        """The time that is left, by the speed of this process: a resumed run may have been slower before."""
        share, seconds = record["share"], record["seconds"]
        first_share, first_seconds = self._first = self._first or (share, seconds)
        if share == first_share or share == 1:
            return ""
        return f"  {format_duration((seconds - first_seconds) * (1 - share) / (share - first_share))} left"

    def live_line(self, bar: Bar) -> str:
        """The text of the live line now: the step advances between two lines of the log."""
        if self.run is None or not self.run.progress.step:
            return "starting"
        bar.completed = self.run.share()
        details = self._details() if self._record else ""
        if not details and (loss := self.run.current_loss()) is not None:
            details = f"  loss {loss:.3f}"
        return f"step {self.run.progress.step:,}{details}{self._best}"

    def validated(self, record: dict[str, Any], samples: list[dict[str, str]], best: bool) -> None:
        """Show the result of a validation, and outputs of the model."""
        metrics = self.task.format_metrics(record)
        if best and metrics:
            self._best = f"  best {metrics[0]}"
        step = f"step {record['step']:,}" if record["step"] else "before training"
        console.note(
            f"{step}  {format_duration(record['seconds'])}  validation of {describe_weights(record['weights'])}: "
            f"{'  '.join(metrics)}{'  *best*' if best else ''}",
            style="bold" if best else "",
        )
        sets = {key.rpartition("_")[0] for key in record if key.startswith("also_")}
        for name in sorted(sets):
            if further := self.task.format_metrics(record, name):
                console.note(f"    {name.removeprefix('also_')}: {'  '.join(further)}")
        for name, text in (item for sample in samples for item in sample.items()):
            for line in text.split("\n") if "\n" in text else [f"{name}  {text}"]:
                console.note(f"    {line}", style="dim")


def describe_weights(kind: str) -> str:
    """The weights that were validated, as the log calls them, in words."""
    if kind.startswith("mean of "):
        return f"the mean of the last {kind.removeprefix('mean of ')} validated weights"
    return "the moving average of the weights" if kind == "ema" else "the current weights"


class _LiveText(ProgressColumn):
    """The live line, recomputed at each refresh, so that training need not push it."""

    def __init__(self, display: TrainingDisplay) -> None:
        super().__init__()
        self._display = display

    def render(self, task: Bar) -> Text:
        return Text(self._display.live_line(task), no_wrap=True)
