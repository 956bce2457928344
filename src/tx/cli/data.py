"""`tx data check`: the contents of a speech dataset, and the items that cannot be used for training."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tx.cli import console
from tx.cli.console import argument, option
from tx.errors import TxError

if TYPE_CHECKING:
    from tx.speech.check import Summary

BAR = 30  # cells of the longest bar
COLUMNS = ("set", "items", "windows", "duration", "shortest", "median", "longest")


def check(
    sets: Annotated[
        list[str],
        argument(
            "DATA",
            "Folders of audio or video files with subtitles or texts, tables (.tsv, .csv, .jsonl), "
            "Common Voice folders, or datasets saved with save_to_disk.",
        ),
    ],
    model: Annotated[
        str | None,
        option(
            "Whisper model; transcript lengths are counted in its tokens.",
            "-m",
            metavar="NAME|FOLDER",
        ),
    ] = None,
    language: Annotated[
        str | None, option("Language of the speech; de selects talk.de.srt, not talk.en.srt.", metavar="LANG")
    ] = None,
    shown: Annotated[
        int, option("Number of examples of each kind of problem; 0: all.", "--problems", min=0)
    ] = 5,
    strict: Annotated[bool, option("Exit with status 1 if there are problems.")] = False,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Read speech datasets as training would, and report their contents.

    The report shows the hours, durations, transcript lengths and languages, and the items that cannot be used. Every
    media file is read to its end, which finds truncated files.

    ```
    $ tx data check videos/
    $ tx data check cv-corpus/de -m whisper-base --language de
    $ tx data check train.tsv test.tsv --strict --problems 0
    ```

    Each split of a folder has its own row; an item that occurs in two splits is reported as a problem in the second.
    Audio is cut into windows of up to 30 s at the ends of subtitle cues. The total duration is in hours, minutes and
    seconds; the durations of windows are in seconds. The median and maximum transcript lengths of windows are in
    tokens of the model, or in characters without --model.
    """
    from tx.speech.check import check_datasets
    from tx.speech.items import report_problems

    summaries = check_datasets(sets, model, language, console.track)
    problems = [problem for summary in summaries for problem in summary.problems]
    if as_json:
        console.print_json({"sets": [asdict(summary) for summary in summaries]})
    else:
        lengths = (f"median {summaries[0].unit}", f"max {summaries[0].unit}")
        columns = (*COLUMNS, *lengths, "languages", "problems")
        optional = ["shortest", "median", "longest", lengths[1]]
        console.print_table(columns, [_row(summary) for summary in summaries], optional=optional)
        if sys.stdout.isatty():
            _print_durations(summaries)
        if problems:
            print("", *report_problems(problems, shown or len(problems)), sep="\n")  # noqa: T201
    if not any(summary.windows for summary in summaries):
        raise TxError(f"no usable items in {' '.join(sets)}", "see the problems above")
    if strict and problems:
        raise typer.Exit(1)


def _row(summary: "Summary") -> tuple[str, ...]:
    minutes, seconds = divmod(round(summary.seconds), 60)
    return (
        summary.name,
        f"{summary.items:,}",
        f"{summary.windows:,}",
        f"{minutes // 60}:{minutes % 60:02}:{seconds:02}",
        *(f"{seconds:.1f}" for seconds in vars(summary.durations).values()),
        f"{summary.labels.median:.0f}",
        f"{summary.labels.longest:.0f}",
        " ".join(f"{code}:{n:,}" for code, n in summary.languages.items()) or "-",
        f"{len(summary.problems):,}",
    )


def _print_durations(summaries: "Sequence[Summary]") -> None:
    """Print a histogram of the durations of all windows."""
    counts = [sum(column) for column in zip(*(summary.histogram for summary in summaries), strict=True)]
    if not any(counts):
        return
    width = 30 // len(counts)
    out = console.stdout()
    out.print()
    for i, n in enumerate(counts):
        bar = "█" * round(BAR * n / max(counts)) or "▏" * bool(n)
        out.print(f"{i * width:>3}-{(i + 1) * width:<2} s  {bar} {n:,}")
