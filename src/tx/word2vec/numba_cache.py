"""How this folder uses numba: with which options, and where the compiled code is kept."""

import hashlib
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from tx.files import cache_folder

F = TypeVar("F", bound=Callable[..., Any])


def has_numba() -> bool:
    """Whether the extra `fast` is installed."""
    return find_spec("numba") is not None


def compiled(function: F) -> F:
    """Compile a function for others that are compiled."""
    from numba import njit

    made: F = njit(nogil=True, fastmath=True, error_model="numpy")(function)
    return made


def kept(function: F, variant: str = "") -> F:
    """Compile a function at its first call, or find the code that an earlier process left.

    A `variant` has a folder of its own, so that `is_kept` can tell.
    """
    from numba import njit

    made: F = njit(nogil=True, fastmath=True, error_model="numpy", cache=_set_cache_folder(variant))(function)
    return made


def instruction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of compiled code from one that emits LLVM instructions."""
    from numba.extending import intrinsic

    made: Callable[..., Any] = intrinsic(prefer_literal=True)(function)
    return made


def variant(negative: int, dim: int, window: int) -> str:
    """The name of the training loop for these sizes."""
    return f"{negative}-{dim}-{window}"


def is_kept(variant: str) -> bool:
    """Whether an earlier process left the code of this variant; numba is not asked, as importing it takes time."""
    return any(_cache_folder(variant).rglob("*.nbc"))


def _cache_folder(variant: str) -> Path:
    """Where numba keeps compiled code: by the content of these files, so that none is ever stale.

    A folder that the user named to numba stays.
    """
    if own := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(own) / variant
    source = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return cache_folder() / "numba" / hashlib.sha256(source).hexdigest()[:16] / variant


def _set_cache_folder(variant: str = "") -> bool:
    """Tell numba where to keep compiled code; returns whether that can be written to."""
    import numba

    folder = _cache_folder(variant)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    numba.config.CACHE_DIR = str(folder)
    return os.access(numba.config.CACHE_DIR, os.W_OK)
