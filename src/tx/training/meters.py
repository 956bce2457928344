"""Loss and speed since the last line of a run's log, summed on the model's device."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tx.errors import TxError

MAX_BAD_STEPS = 5  # non-finite updates in a row before the run stops


class Meters:
    """Sums since the last line of the log; they stay on the device until they are read."""

    def __init__(self, device: torch.device, loss: float = 0.0, loss_tokens: float = 0.0) -> None:
        self._in_a_row = torch.zeros((), device=device)
        self._skipped = torch.zeros((), device=device)
        self._loss = torch.tensor(loss, device=device)
        self._loss_tokens = torch.tensor(loss_tokens, device=device)  # without those of skipped updates
        self.restart_clock()

    def restart_clock(self) -> None:
        """Measure the speed from here on."""
        self._tokens = self._src_tokens = 0
        self._started = time.monotonic()

    def reset(self) -> None:
        """Start again from zero, after a line of the log."""
        self._loss.zero_()
        self._loss_tokens.zero_()
        self.restart_clock()

    def add(self, loss: Tensor, skipped: Tensor, batches: Sequence[Any]) -> None:
        """Count an update with its summed loss; `skipped` is 1.0 if it was not finite."""
        n_tokens = sum(batch.n_tokens for batch in batches)
        self._loss += torch.where(skipped > 0, 0.0, loss)
        self._loss_tokens += (1 - skipped) * n_tokens
        self._skipped += skipped
        self._in_a_row = (self._in_a_row + skipped) * skipped
        self._tokens += n_tokens
        self._src_tokens += sum(batch.n_src_tokens for batch in batches)

    def sums(self) -> list[float]:
        """The summed loss and its tokens, from which a resumed run continues the current line of the log."""
        return [float(self._loss), float(self._loss_tokens)]

    def check_finite(self, step: int) -> int:
        """The number of updates skipped since the last call. Raises TxError after several in a row, up to `step`."""
        in_a_row, skipped = int(self._in_a_row), int(self._skipped)
        self._skipped.zero_()
        if in_a_row >= MAX_BAD_STEPS:
            raise TxError(
                f"training diverged: the loss was not finite for {in_a_row} updates in a row, up to step {step:,}",
                "start again with a lower learning rate (--lr); the best model so far is in the package",
            )
        return skipped

    def mean_loss(self) -> float:
        return float(self._loss) / max(1.0, float(self._loss_tokens))

    def speed(self) -> dict[str, float]:
        seconds = max(time.monotonic() - self._started, 1e-9)
        speed = {"tokens_per_s": self._tokens / seconds}
        return speed | ({"src_tokens_per_s": self._src_tokens / seconds} if self._src_tokens else {})
