"""Parallel texts, where line n of one corresponds to line n of the other: checks, and where they lose alignment."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tx.errors import TxError
from tx.text.lines import read_lines

if TYPE_CHECKING:
    import numpy as np


def n_lines(n: int) -> str:
    """ "1 line", "2 lines" ..."""
    return f"{n:,} line{'s' * (n != 1)}"


def read_parallel(files: Sequence[str]) -> list[list[str]]:
    """The lines of each file. Raises TxError, with the place, if one has another number of lines than the first."""
    first, *others = (list(read_lines(file)) for file in files)
    for file, other in zip(files[1:], others, strict=True):
        if len(other) != len(first):
            raise line_count_error((files[0], file), first, other)
    return [first, *others]


def line_count_error(names: Sequence[str], src: Sequence[str], tgt: Sequence[str]) -> TxError:
    """The error for texts with different numbers of lines; it names the line where they seem to lose alignment."""
    line = first_misaligned_line(src, tgt)
    hint = f"line n of one file must correspond to line n of the other: check line {line:,} of both"
    if all(Path(name).is_file() and not name.endswith(".gz") for name in names):
        files = " ".join(map(shlex.quote, names))
        hint = f"compare the lines: paste {files} | sed -n '{max(1, line - 2)},{line + 2}p'"
    return TxError(
        f"{names[0]} has {n_lines(len(src))} but {names[1]} has {n_lines(len(tgt))}; "
        f"they seem to get out of step near line {line:,}, judging by line lengths",
        hint,
    )


def first_misaligned_line(src: Sequence[str], tgt: Sequence[str]) -> int:
    """The line, from 1, after which `tgt` is best explained as shifted against `src` by the missing lines.

    The cost of pairing two lines is the distance of their length ratio from the median (after Gale and Church 1993),
    plus one if they end in different characters. The cut with the smallest total cost is found by prefix sums.
    """
    shift = len(tgt) - len(src)
    n = min(len(src), len(tgt))
    import numpy as np  # slow to import, and only needed for an error

    lengths = [np.log1p([len(line) for line in side]) for side in (src, tgt)]
    endings = [np.array([ord(line.rstrip()[-1:] or " ") for line in side]) for side in (src, tgt)]
    if n == 0:
        return 1
    mean = float(np.median(lengths[1][:n] - lengths[0][:n]))

    def cost(a: int, b: int) -> "np.ndarray":
        m = min(len(src) - a, len(tgt) - b)
        ratio = np.abs(lengths[1][b : b + m] - lengths[0][a : a + m] - mean)
        return np.minimum(ratio, 2) + (endings[0][a : a + m] != endings[1][b : b + m])  # type: ignore[no-any-return]

    aligned = np.concatenate(([0.0], cost(0, 0).cumsum()))
    shifted = cost(max(-shift, 0), max(shift, 0))  # pairs src line i with tgt line i + shift
    remaining = np.concatenate((shifted[::-1].cumsum()[::-1], [0.0]))
    # cut c: lines before c are aligned; there the longer side has |shift| extra lines
    total = aligned[: len(remaining)] + remaining[: len(aligned)]
    return int(total.argmin()) + 1
