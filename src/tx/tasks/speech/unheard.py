"""Items whose media turn out to be truncated or unreadable only when they are heard, maybe hours into a run.

They are left out. To find them before, every second of sound has to be decoded, which is done with `strict` alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from tx.errors import TxError
from tx.speech.windows import Window


class Unheard:
    """Those of a set that could not be heard, with the reason: each file is told of once."""

    def __init__(self, windows: Sequence[Window], warn: Callable[[str], None]) -> None:
        self.windows, self.warn = windows, warn
        self.reasons: dict[int, str] = {}
        self._told: set[str] = set()

    def add(self, found: Mapping[int, str]) -> None:
        """Count the items in `found` among them. Raises TxError once they are more than half of the set."""
        self.reasons |= found
        for i in sorted(found):
            window = self.windows[i]
            if str(window.media) not in self._told:
                self._told.add(str(window.media))
                self.warn(f"{window.origin}: {found[i]}; it is left out")
        if too_many(len(self.reasons), self.windows):
            raise TxError(
                f"{len(self.reasons):,} of {len(self.windows):,} items cannot be heard",
                "`tx data check` names them; what was trained up to the last checkpoint is kept for --resume",
            )


def too_many(n: int, windows: Sequence[Window]) -> bool:
    """Whether a set of which `n` items cannot be heard is not worth going on with."""
    return 2 * n > len(windows)


def hear(windows: Iterable[Window]) -> None:
    """Decode every window once. Raises TxError at the first that cannot be heard."""
    for window in windows:
        try:
            window.sound(timestamps=True)
        except TxError as error:
            raise TxError(
                f"{window.origin}: {error.message}", "without --strict such items are left out"
            ) from error
