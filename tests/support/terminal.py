"""`tx` with stdin, stdout and stderr on a pseudo-terminal."""

import os
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path


def on_terminal(*words: str, columns: int = 80, cwd: Path | None = None, **variables: str) -> str:
    """The output of `tx WORDS` on a terminal of this width, with escape sequences; stdin is at its end."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (25, columns))
    settings = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tx", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=settings | {"TERM": "xterm-256color"} | variables,
    )
    os.close(theirs)
    os.write(ours, b"\x04")  # Ctrl-D
    shown = b""
    with suppress(OSError):  # EIO: the other end is closed
        while chunk := os.read(ours, 1 << 16):
            shown += chunk
    os.close(ours)
    process.wait()
    return shown.decode().replace("\r\n", "\n")
