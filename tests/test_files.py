"""tx.files: whatever fails or dies midway, the old content or the new one is there, and no litter."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crash import kill_at, names
from tx.errors import TxError
from tx.files import (
    atomic_file,
    atomic_folder,
    cannot_write,
    check_output,
    locked,
    recover_folder,
    sha256,
)
from tx.plots.figure import check_path
from tx.text.lines import LineWriter


def test_a_file_is_old_or_new_wherever_the_writer_dies(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write() -> None:
        with atomic_file(path) as file:
            file.write(b"new" * 100_000)

    seen = set()
    n, done = 1, False
    while not done:
        path.write_bytes(b"old")
        done = kill_at(n, write)
        seen.add(path.read_bytes())
        n += 1
    assert seen == {b"old", b"new" * 100_000}
    assert n > 4
    assert names(tmp_path) == ["file"]  # the last writer removed what the dead left


def test_a_folder_is_old_or_new_wherever_the_writer_dies(tmp_path: Path) -> None:
    path = tmp_path / "folder"

    def write() -> None:
        with atomic_folder(path) as folder:
            (folder / "a").write_text("new")
            (folder / "b").write_text("new")

    n, done = 1, False
    while not done:
        with atomic_folder(path) as folder:
            (folder / "a").write_text("old")
        done = kill_at(n, write)
        recover_folder(path)
        content = {file.name: file.read_text() for file in path.iterdir()}
        assert content in ({"a": "old"}, {"a": "new", "b": "new"})
        n += 1
    assert n > 10
    assert content == {"a": "new", "b": "new"}
    assert names(tmp_path) == ["folder"]


def test_an_interrupted_replacement_is_undone_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    path.rename(tmp_path / ".tmp-folder-old")  # as a process leaves it that dies between the two renames
    with pytest.raises(RuntimeError), atomic_folder(path):
        assert path.is_dir()
        raise RuntimeError
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError, OSError(errno.ENOSPC, "No space left")])
@pytest.mark.parametrize("kind", [atomic_file, atomic_folder])
def test_a_failure_inside_leaves_nothing(tmp_path: Path, kind, failure) -> None:
    path = tmp_path / "deep" / "name"
    with pytest.raises((KeyboardInterrupt, RuntimeError, TxError)) as caught, kind(path):
        raise failure
    assert names(path.parent) == []
    if isinstance(failure, OSError):
        assert "No space left" in str(caught.value)


@pytest.mark.parametrize("kind", [atomic_file, atomic_folder])
def test_only_failures_to_write_are_told_as_such(tmp_path: Path, kind) -> None:
    with pytest.raises(FileNotFoundError), kind(tmp_path / "out"):
        (tmp_path / "input").read_bytes()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TxError, match=r"cannot write .*file/out"), kind(tmp_path / "file" / "out"):
        pass


def test_a_full_disk_is_one_sentence_and_keeps_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    script = f"""
import resource, signal
from pathlib import Path
from tx.errors import TxError
from tx.files import atomic_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_file(Path({str(path)!r})) as file:
        file.write(b"x" * 100_000)
except TxError as error:
    print(error.message)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == f"cannot write {path}: File too large\n"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_typed_name_makes_no_folder_and_replaces_none(tmp_path: Path) -> None:
    check_output(tmp_path / "file")
    with pytest.raises(TxError, match=r"(?m)cannot write .*: it is a folder$"):
        check_output(tmp_path)
    with pytest.raises(TxError, match=r"(?m)cannot write .*/no/file: there is no folder .*/no$") as caught:
        check_output(tmp_path / "no" / "file")
    assert str(caught.value.hint).startswith("make it first: mkdir -p ")
    for write in (LineWriter, lambda path: check_path(path.with_suffix(".png"))):
        with pytest.raises(TxError, match="there is no folder"):
            write(tmp_path / "no" / "file")
    assert names(tmp_path) == []


def test_only_a_full_disk_asks_for_space() -> None:
    hints = [cannot_write(Path("x"), OSError(number, "")).hint for number in (errno.ENOSPC, errno.EACCES)]
    assert ["free some space" in str(hint) for hint in hints] == [True, False]


def test_the_litter_of_the_living_is_not_touched(tmp_path: Path) -> None:
    living = tmp_path / f".tmp-file-{os.getppid()}"
    living.write_bytes(b"")
    with atomic_file(tmp_path / "file") as file:
        file.write(b"new")
    assert living.exists()


def test_locked_makes_a_second_writer_wait(tmp_path: Path) -> None:
    log = tmp_path / "log"
    ready, tell = os.pipe()
    with locked(tmp_path):
        child = os.fork()
        if child == 0:
            os.write(tell, b"!")
            with locked(tmp_path), log.open("a") as file:
                file.write("second ")
            os._exit(0)
        os.read(ready, 1)
        time.sleep(0.05)
        with log.open("a") as file:
            file.write("first ")
    os.waitpid(child, 0)
    assert log.read_text() == "first second "


def test_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")  # the example of FIPS 180-4
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
