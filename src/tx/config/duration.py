"""Lengths of time as people write them: read from options, and printed in logs."""

import json
import math
import re

from tx.errors import TxError


def parse_duration(text: str) -> float:
    """Seconds in "90s", "30m", "2h", "1h30m" or a plain number of seconds; raises TxError for all else."""
    number = r"(\d+(?:\.\d+)?)"
    pattern = rf"(?:{number}h)?(?:{number}m)?(?:{number}s)?|{number}"
    match = re.fullmatch(pattern, text.strip(), re.ASCII)
    parts = match.groups(default="0") if match else ()
    seconds = sum(float(part) * unit for part, unit in zip(parts, (3600, 60, 1, 1), strict=False))
    if not 0 < seconds < math.inf:
        raise TxError(f"expected a time such as 90s, 30m or 1h30m, not {json.dumps(text)}")
    return seconds


def format_duration(seconds: float) -> str:
    """A length of time: 45 s, 12 min, 3.2 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
