"""The report of an evaluation: what `tx evaluate` stores in the package, and prints as a table or as JSON."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Track = Callable[[Sequence[Any], str], Iterable[Any]]  # shows the progress of an iteration over items


@dataclass(frozen=True)
class Example:
    """An utterance or sentence with errors: (reference words, hypothesis words, whether they agree), in order."""

    heading: str
    words: Sequence[tuple[str, str, bool]]


@dataclass
class Report:
    """The result of evaluating one model.

    `records` are the scores as a package stores them (see `record`), `details` is the JSON document, `columns` and
    `rows` are the table. `notes` and `warnings` are sentences about the data or the model.
    """

    records: list[dict[str, Any]]
    details: dict[str, Any]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)


def record(metric: str, value: float, signature: str, data: str, ci: float | None = None) -> dict[str, Any]:
    """A score as a package stores it; `ci` is the half width of its 95% confidence interval, if there is one."""
    interval = {} if ci is None else {"ci": ci}
    return {"metric": metric, "value": value, **interval, "signature": signature, "data": data}


def untracked(items: Sequence[Any], description: str) -> Iterable[Any]:
    """Iterate without showing any progress."""
    return items
