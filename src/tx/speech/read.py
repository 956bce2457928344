"""A set of speech from what people have: a folder of media with subtitles, a table, a dataset saved on disk."""

from collections.abc import Sequence
from pathlib import Path

from tx.errors import TxError
from tx.speech.items import SpeechSet


def read_set(path: str | Path, language: str | None = None, split: str = "train") -> SpeechSet:
    """The items of one set and the problems met, without opening any media.

    `path` is a folder of media with same-named .srt, .vtt or .txt files; a media file that has one; a .tsv, .csv or
    .jsonl table; an audiofolder; a Common Voice folder; or a `datasets` folder saved on disk. `split` chooses where a
    folder has several; `language` chooses between talk.de.srt and talk.en.srt. Raises TxError where there is nothing
    that can be read.
    """
    raise TxError(f"{path} cannot be read yet", "")


def read_sets(paths: Sequence[str | Path], language: str | None = None, split: str = "train") -> SpeechSet:
    """All of several sets as one; an item that an earlier one holds is a problem."""
    raise TxError("not yet", "")
