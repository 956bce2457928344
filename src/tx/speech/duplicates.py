"""The same sound twice: in one file, or with the same content, where text and times agree as well.

Sizes are compared where texts are the same, and contents only where sizes are, so that little is read.
"""

import hashlib
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tx.speech.media import StoredAudio


class Excerpt(Protocol):
    """An item or a window: a part of some sound, and its text."""

    @property
    def media(self) -> Path | StoredAudio: ...
    @property
    def text(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float | None: ...
    @property
    def origin(self) -> str: ...


E = TypeVar("E", bound=Excerpt)


class DuplicateIndex(Generic[E]):
    """The excerpts so far, to find one again."""

    def __init__(self) -> None:
        self._first: dict[object, E] = {}  # by file, and by text, then also size, then also content
        self._refined: set[object] = set()  # the keys whose first excerpt stands under a longer one, too
        self._digests: dict[object, str] = {}

    def find_duplicate(self, item: E) -> E | None:
        """An earlier excerpt with the same sound, else None; the excerpt is seen then."""
        same = self._first.setdefault((media_key(item.media), item.start, item.end), item)
        if same is not item:
            return same
        key: tuple[object, ...] = (item.text, item.start, item.end, "text")
        try:
            for refine in (_size, self._digest):
                first = self._first.setdefault(key, item)
                if first is item:
                    return None
                if key not in self._refined:
                    self._refined.add(key)
                    self._first.setdefault((*key, refine(first.media)), first)
                key = (*key, refine(item.media))
        except OSError:  # it is told when the file is to be heard
            return None
        first = self._first.setdefault(key, item)
        return None if first is item else first

    def _digest(self, media: Path | StoredAudio) -> str:
        if media not in self._digests:
            with media.open("rb") if isinstance(media, Path) else media.open_audio() as file:
                self._digests[media] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        return self._digests[media]


def describe_duplicate(item: Excerpt, twin: Excerpt) -> str:
    """What is said of an excerpt that is the same as an earlier one."""
    if media_key(item.media) == media_key(twin.media):
        return f"{item.media} stands in {twin.origin}, too"
    place = f" in {twin.origin}" if twin.origin != str(twin.media) else ""
    return f"{item.media} is the same as {twin.media}{place}"


def media_key(media: Path | StoredAudio) -> object:
    """What is the same for the same file, however it is written."""
    return media.resolve() if isinstance(media, Path) else media


def _size(media: Path | StoredAudio) -> int:
    if isinstance(media, Path):
        return media.stat().st_size
    with media.open_audio() as file:
        return file.seek(0, 2)
