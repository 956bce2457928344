"""metrics.jsonl: a JSON object for each line of a run's log; with the extra `tensorboard` also TensorBoard events."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from tx.errors import TxError
from tx.files import write_errors


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
        with write_errors(self.path, inside=self.path.parent):
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
        """Remove the lines that a killed run wrote after its last checkpoint."""
        if self.path.exists() and self.path.stat().st_size > n_bytes:
            with self.path.open("r+b") as file:
                file.truncate(n_bytes)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._events is not None:
            self._events.close()
