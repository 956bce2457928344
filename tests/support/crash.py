"""A process that dies at a chosen file operation, for the tests of everything that must survive a crash."""

import os
import sys
from collections.abc import Callable
from pathlib import Path


def kill_at(n: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child that dies before its n-th file operation; whether it lived to the end."""
    child = os.fork()
    if child == 0:
        count = 0

        def die(event: str, args: object) -> None:
            nonlocal count
            if event == "open" or event.startswith(("os.", "shutil.", "test.")):
                count += 1
                if count == n:
                    os._exit(9)

        os.fsync = lambda descriptor: sys.audit("test.fsync")  # a dead process loses no write
        sys.addaudithook(die)
        try:
            action()
        except BaseException:
            os._exit(7)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), f"the child failed with {status}"
    return status == 0


def names(folder: Path) -> list[str]:
    """What is in a folder, hidden files included."""
    return sorted(entry.name for entry in folder.iterdir())
