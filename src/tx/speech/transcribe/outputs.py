"""Which files to transcribe, and where and in which format each transcript is written."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tx.errors import TxError, UsageError
from tx.speech.media import MEDIA_SUFFIXES
from tx.speech.transcript_formats import FORMAT_OF_SUFFIX, SUFFIX_OF_FORMAT

STDIO = "-"


def find_media(names: Sequence[str]) -> Iterator[str]:
    """The files in `names`, with folders replaced by the media files in them; "-" is stdin.

    Raises TxError for a file that does not exist, and for a folder without media.
    """
    for name in names:
        path = Path(name)
        if name == STDIO or (path.exists() and not path.is_dir()):
            yield name
            continue
        if not path.exists():
            raise TxError(
                f"there is no file {name}", "check the path; relative paths start at the current folder"
            )
        found = sorted(
            file for file in path.rglob("*") if file.suffix.lower() in MEDIA_SUFFIXES and file.is_file()
        )
        if not found:
            raise TxError(f"there is no audio or video file in {name}", "name the files themselves")
        yield from map(str, found)


def choose_outputs(sources: Sequence[str], output: str, format: str | None) -> tuple[list[str], str]:
    """The output file of each source, and the format: the given one, else that of the suffix of `output`, else text.

    With several sources, or if it is a folder, `output` is a folder that gets one file for each source. Raises
    UsageError if transcripts would overwrite each other, files beside their media, or be mixed in one subtitle file.
    """
    path = Path(output)
    is_folder = output != STDIO and (output.endswith("/") or path.is_dir() or len(sources) > 1)
    if not is_folder:
        by_suffix = "text" if output == STDIO else FORMAT_OF_SUFFIX.get(path.suffix.lower(), "text")
        chosen = format or by_suffix
        if len(sources) > 1 and chosen in ("srt", "vtt", "tsv"):
            what = f"one {chosen} file cannot hold the times of {len(sources)} files"
            raise UsageError(what, "add -o FOLDER/")
        return [output] * len(sources), chosen
    chosen = format or "text"
    if path.exists() and not path.is_dir():
        what = f"{output} is a file, but there are {len(sources)} transcripts"
        raise UsageError(what, "name a folder with -o")
    paths = [Path("stdin" if name == STDIO else name) for name in sources]
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [path.name for path in paths]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"several files are called {repeated[0]}", "transcribe them into different folders")
    path.mkdir(parents=True, exist_ok=True)
    outputs = [path / f"{name}{SUFFIX_OF_FORMAT[chosen]}" for name in names]
    for source, file in zip(sources, outputs, strict=True):
        if file.exists() and source != STDIO and file.samefile(Path(source).with_name(file.name)):
            raise UsageError(
                f"{file} exists next to {Path(source).name} and may have been written by hand",
                "name another folder with -o, or move the file",
            )
    return list(map(str, outputs)), chosen
