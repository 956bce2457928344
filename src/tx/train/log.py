"""metrics.jsonl: a JSON object for each line of a run's log; with the extra, TensorBoard events beside it."""

import json
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from tx.data.batch import Batch
from tx.errors import TxError
from tx.files import writing


class Log:
    """Appends records; nothing is opened before the first one."""

    def __init__(self, path: Path, tensorboard: bool = False) -> None:
        self.path, self._tensorboard = path, tensorboard
        self._file: IO[str] | None = None
        self._events: Any = None
        if tensorboard and find_spec("tensorboard") is None:
            raise TxError("TensorBoard is not installed", "pip install 'tx[tensorboard]'")

    def _open(self) -> IO[str]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.path.parent / "tensorboard"))
        return self.path.open("a", encoding="utf-8", newline="\n")

    def write(self, record: dict[str, Any]) -> None:
        """Append one record, its numbers as TensorBoard scalars at its step. Raises TxError if that fails."""
        with writing(self.path, inside=self.path.parent):
            self._file = self._file or self._open()
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        if self._events is not None:
            kind = "valid" if "weights" in record else "train"
            for key, value in record.items():
                if isinstance(value, int | float) and key != "step":
                    self._events.add_scalar(f"{kind}/{key}", value, record["step"])

    def flush(self) -> int:
        """The length of the file so far, in bytes, all of it written."""
        return self.path.stat().st_size if self.path.exists() else 0

    def truncate(self, n_bytes: int) -> None:
        """Forget what a killed run wrote after its last checkpoint."""
        if self.path.exists() and self.path.stat().st_size > n_bytes:
            with self.path.open("r+b") as file:
                file.truncate(n_bytes)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._events is not None:
            self._events.close()


class Recent:
    """Sums since the last line of the log; they stay on the device until somebody asks."""

    def __init__(self, device: torch.device, loss: float = 0.0, loss_tokens: float = 0.0) -> None:
        self._in_a_row = torch.zeros((), device=device)
        self._skipped = torch.zeros((), device=device)
        self._loss = torch.tensor(loss, device=device)
        self._loss_tokens = torch.tensor(loss_tokens, device=device)  # those of skipped updates left out
        self.start()

    def start(self) -> None:
        """Measure the speed from here on."""
        self._tokens = self._src_tokens = 0
        self._started = time.monotonic()

    def forget(self) -> None:
        """Begin anew, after a line of the log."""
        self._loss.zero_()
        self._loss_tokens.zero_()
        self.start()

    def add(self, loss: Tensor, skipped: Tensor, batches: Sequence[Batch]) -> None:
        """Count an update with its summed loss; `skipped` is 1.0 if it was not finite."""
        n_tokens = sum(batch.n_tokens for batch in batches)
        self._loss += torch.where(skipped > 0, 0.0, loss)
        self._loss_tokens += (1 - skipped) * n_tokens
        self._skipped += skipped
        self._in_a_row = (self._in_a_row + skipped) * skipped
        self._tokens += n_tokens
        self._src_tokens += sum(batch.n_src_tokens for batch in batches)

    def sums(self) -> list[float]:
        """What a resumed run needs to write the next line as if it had not been interrupted."""
        return [float(self._loss), float(self._loss_tokens)]

    def bad_in_a_row(self) -> int:
        return int(self._in_a_row)

    def take_skipped(self) -> int:
        skipped = int(self._skipped)
        self._skipped.zero_()
        return skipped

    def mean_loss(self) -> float:
        return float(self._loss) / max(1.0, float(self._loss_tokens))

    def speed(self) -> dict[str, float]:
        seconds = max(time.monotonic() - self._started, 1e-9)
        return {"tokens_per_s": self._tokens / seconds, "src_tokens_per_s": self._src_tokens / seconds}
