"""Compilation by numba, the optional dependency `fast`: its options in tx, and the cache of compiled code."""

import hashlib
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from tx.files import cache_folder

F = TypeVar("F", bound=Callable[..., Any])


def has_numba() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def jit(function: F, cache: bool = False) -> F:
    """Compile a function at its first call; without `cache`, it is meant for use inside of compiled functions."""
    from numba import njit

    compiled: F = njit(nogil=True, fastmath=True, error_model="numpy", cache=cache)(function)
    return compiled


def cached_jit(function: F) -> F:
    """Compile a function at its first call, or load the code that an earlier process cached."""
    return jit(function, cache=set_cache_folder())


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that emits LLVM instructions callable from compiled functions."""
    from numba.extending import intrinsic

    made: Callable[..., Any] = intrinsic(prefer_literal=True)(function)
    return made


def set_cache_folder() -> bool:
    """Set the folder where numba caches compiled code; returns whether it is writable.

    It is named by the content of the modules here, so that it is never out of date; NUMBA_CACHE_DIR overrides it.
    """
    import numba

    source = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    default = cache_folder() / "numba" / hashlib.sha256(source).hexdigest()[:16]
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or default)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    numba.config.CACHE_DIR = str(folder)
    return os.access(folder, os.W_OK)
