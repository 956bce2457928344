"""The one error a user can cause, and the did-you-mean that goes with it."""

import difflib
from collections.abc import Iterable


class TxError(Exception):
    """A fault that the user can mend: one sentence that names it, and a hint that says how.

    The command line prints both on stderr and exits with `exit_code`; nothing else in tx prints errors.
    """

    def __init__(self, message: str, hint: str | None = None, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class UsageError(TxError):
    """A command line that makes no sense, as opposed to data or files that do not: exit status 2."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, exit_code=2)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return "did you mean 'x'?" for the closest of `known`, or None where nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else None
