"""Large files are hashed once: again when anything about them has changed, and always when asked afresh."""

import os
import shutil
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from packages import fill, translator
from tx.errors import TxError
from tx.files import cache_folder
from tx.package import WEIGHTS, Package, hash_cache, load_package, read, write_package


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package whose weights count as large, and that has been at rest for a while."""
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hash_cache, "LARGE", 100)
    monkeypatch.setattr(hash_cache, "_SETTLED", -(10**12))
    path = write_package(tmp_path / "model", fill(1, size=50), **translator()).path
    shutil.rmtree(cache_folder())
    yield path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whether it is "large" or "small", for each file that is hashed from now on."""
    sizes: list[str] = []
    plain = read.hashlib.file_digest

    def spy(file: BufferedReader, name: str) -> Any:
        sizes.append("large" if os.fstat(file.fileno()).st_size >= hash_cache.LARGE else "small")
        return plain(file, name)

    monkeypatch.setattr(read.hashlib, "file_digest", spy)
    return sizes


def damage(path: Path) -> None:
    """Flip a bit and put the time of the last change back."""
    weights = path / WEIGHTS
    before = weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_large_file_is_hashed_once_and_small_ones_always(package: Path, hashed: list[str]) -> None:
    for _ in range(3):
        Package.open(package)
    assert hashed.count("large") == 1
    assert hashed.count("small") == 6
    Package.open(package, rehash=True)
    assert hashed.count("large") == 2


def test_a_change_is_found_though_size_and_time_are_the_same(package: Path) -> None:
    Package.open(package)
    damage(package)
    with pytest.raises(TxError, match="damaged: its SHA-256"):
        Package.open(package)


def test_a_file_of_the_moment_is_not_remembered(
    package: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "_SETTLED", 10**15)
    Package.open(package)
    Package.open(package)
    assert hashed.count("large") == 2


def test_a_copy_is_hashed_for_itself(package: Path, hashed: list[str]) -> None:
    Package.open(package)
    copy = shutil.copytree(package, package.with_name("copy"))
    Package.open(copy)
    assert hashed.count("large") == 2


def test_a_memory_that_cannot_be_kept_or_read_does_no_harm(
    package: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TX_HOME", "/dev/null/nowhere")
    Package.open(package)
    assert hashed.count("large") == 1
    monkeypatch.setenv("TX_HOME", str(package.with_name("home2")))
    Package.open(package)
    (record,) = (cache_folder() / "verified").iterdir()
    record.write_bytes(b"\xff\x00")
    Package.open(package)
    assert hashed.count("large") == 3


def test_what_is_remembered_is_of_this_very_digest(package: Path) -> None:
    Package.open(package)
    (record,) = (cache_folder() / "verified").iterdir()
    other = record.read_text().rpartition(" ")[0] + " " + "0" * 64 + "\n"
    record.write_text(other)
    damage(package)
    with pytest.raises(TxError, match="damaged"):
        load_package(package, lambda package: np.zeros(1))
