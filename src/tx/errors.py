"""The error for faults that a user can correct, and suggestions for misspelled names."""

import difflib
from collections.abc import Iterable


class TxError(Exception):
    """A fault that the user can correct: a sentence that names it, and a hint how to correct it.

    The command line prints both on stderr and exits with `exit_code`.
    """

    def __init__(self, message: str, hint: str | None = None, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # which a traceback shows
        self.exit_code = exit_code


class UsageError(TxError):
    """A wrong command line or call, as opposed to faulty data or files: exit status 2."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint, exit_code=2)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return "did you mean 'x'?" for the closest of `known`, or None where nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else None
