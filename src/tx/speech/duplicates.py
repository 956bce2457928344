"""Duplicates in speech datasets: excerpts of one file, or of files with equal content and text, at the same times.

File sizes are compared only if the texts are equal, and contents only if the sizes are, so that little is read.
"""

import hashlib
from pathlib import Path
from typing import Generic, TypeVar

from tx.speech.items import Item
from tx.speech.media import StoredAudio
from tx.speech.windows import Window

Excerpt = TypeVar("Excerpt", Item, Window)  # a part of some audio, and its text


class DuplicateIndex(Generic[Excerpt]):
    """The excerpts so far, to find duplicates of them."""

    def __init__(self) -> None:
        # By file; and by text, then by text and size, then also by content.
        self._first: dict[object, Excerpt] = {}
        self._refined: set[object] = set()  # the keys whose first excerpt is also stored under a longer key
        self._digests: dict[object, str] = {}

    def find_duplicate(self, item: Excerpt) -> Excerpt | None:
        """An earlier excerpt with the same audio, or None; then the excerpt is added to the index."""
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
        except OSError:  # reported when the audio is decoded
            return None
        first = self._first.setdefault(key, item)
        return None if first is item else first

    def _digest(self, media: Path | StoredAudio) -> str:
        if media not in self._digests:
            with media.open("rb") if isinstance(media, Path) else media.open_audio() as file:
                self._digests[media] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        return self._digests[media]


def describe_duplicate(item: Item | Window, first: Item | Window) -> str:
    """Says where the excerpt that `item` is a duplicate of comes from."""
    if media_key(item.media) == media_key(first.media):
        return f"{item.media} is also in {first.origin}"
    place = f" in {first.origin}" if first.origin != str(first.media) else ""
    return f"{item.media} is the same as {first.media}{place}"


def media_key(media: Path | StoredAudio) -> object:
    """A key that is equal for all paths of the same file."""
    return media.resolve() if isinstance(media, Path) else media


def _size(media: Path | StoredAudio) -> int:
    if isinstance(media, Path):
        return media.stat().st_size
    with media.open_audio() as file:
        return file.seek(0, 2)
