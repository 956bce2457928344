"""tx can be imported on systems without POSIX: no module needs fcntl, resource and their like at import time."""

import subprocess
import sys

SCRIPT = """
import importlib, os, pkgutil, signal, sys, traceback

POSIX = ["fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "readline", "syslog", "_posixsubprocess"]
import filelock, multiprocessing.pool, subprocess, torch  # the libraries choose by the system, and this one is POSIX

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in POSIX:
            raise ImportError(f"{name} is not on this system")

for name in POSIX:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
for owner, names in ((os, ["fork", "sched_getaffinity", "O_NOFOLLOW", "O_NONBLOCK", "getppid"]),
                     (signal, ["SIGKILL", "SIGHUP", "SIGXFSZ", "SIGPIPE"])):
    for name in names:
        if hasattr(owner, name):
            delattr(owner, name)

import tx

def by_tx(error):
    # whether the import that failed is in tx, not in a library of an extra
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    files = [file for file in files if not file.startswith("<")]
    return bool(files) and files[-1].startswith(tx.__path__[0])

failed = []
for module in pkgutil.walk_packages(tx.__path__, "tx.", onerror=lambda name: None):
    if module.name == "tx.__main__":
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("tx"):
            failed.append(f"{module.name}: {error!r}")  # else the library of an extra
    except Exception as error:
        if by_tx(error):
            failed.append(f"{module.name}: {error!r}")
print("\\n".join(failed))
"""


def test_every_module_can_be_imported_without_posix() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
