"""`tx data check`: a set of speech as it is, before hours are spent on training with it."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tx.cli import console
from tx.errors import TxError, UsageError

if TYPE_CHECKING:
    from tx.speech.items import Item, Problem
    from tx.speech.summary import Summary
    from tx.speech.windows import Labels

BAR = 30  # cells of the longest bar


def check(
    sets: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA",
            help="Folders of media with subtitles, tables (.tsv, .csv, .jsonl), Common Voice, saved datasets.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FOLDER",
            help="The Whisper model whose tokens are counted.",
            show_default=False,
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(metavar="LANG", help="Chooses talk.de.srt where there is a talk.en.srt as well."),
    ] = None,
    shown: Annotated[
        int, typer.Option("--problems", min=0, metavar="N", help="Name N of each kind; 0: all.")
    ] = 5,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there is any problem.")] = False,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Read sets of speech as training would, and tell what is in them.

    Hours, durations, lengths of labels, languages, and what cannot be used. Every media file is read to its end,
    which finds truncated ones.

    ```
    $ tx data check videos/
    $ tx data check cv-corpus/de -m whisper-base --language de
    $ tx data check train.tsv test.tsv --strict --problems 0
    ```

    The splits of a folder are told apart; an item that stands in two of them is a problem of the second. Sound is cut
    into windows of up to 30 s at the ends of cues; durations are in seconds, and labels in tokens of the model, or
    in letters without --model: their median and the most.
    """
    console.set_quiet(quiet)
    from tx.speech.datasets import read_splits
    from tx.speech.media import measure
    from tx.speech.summary import summarize
    from tx.speech.windows import cut_windows

    code = None if language is None else _code(language)
    labels = _labels(model, code) if model is not None else None
    found = read_splits(sets, code)
    n_items, checked = sum(len(each.items) for each in found.values()), 0

    def watched(items: "Iterable[Item]") -> "Iterator[Item]":
        nonlocal checked
        for item in items:
            bar.update(task, completed=checked, description=str(item.media))
            yield item
            checked += 1

    summaries = []
    parts = BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("{task.description}", markup=False)
    hidden = not console.is_terminal()
    with Progress(*parts, console=console.stderr(), transient=True, disable=hidden) as bar:
        task = bar.add_task("", total=n_items)
        for name, each in found.items():
            windows, problems = cut_windows(watched(each.items), labels, measure)
            summaries.append(summarize(name, each, windows, problems, labels))
    if as_json:
        console.print_json({"sets": [asdict(summary) for summary in summaries]})
    else:
        _print_sets(summaries)
        _print_durations(summaries)
        _print_problems([problem for summary in summaries for problem in summary.problems], shown)
    if not any(summary.windows for summary in summaries):
        raise TxError(f"there is nothing usable in {' '.join(sets)}", "the problems that are shown say why")
    if strict and any(summary.problems for summary in summaries):
        raise typer.Exit(1)


def _code(language: str) -> str:
    """Whisper's code for a language given as de or German. Raises UsageError if it knows no such language."""
    from tx.speech.languages import language_code, suggest_language

    if (code := language_code(language)) is None:
        raise UsageError(f"Whisper knows no language '{language}'", suggest_language(language))
    return code


def _labels(model: str, language: str | None) -> "Labels":
    from tx.package import find_package
    from tx.package.hf_folder import TOKENIZER, open_hf_folder
    from tx.speech.whisper_tokenizer import WhisperTokenizer
    from tx.speech.windows import Labels

    folder = open_hf_folder(find_package(model, ""))
    vocabulary = WhisperTokenizer(folder)
    from tokenizers import Tokenizer

    code = None if language is None else vocabulary.language(language)
    return Labels(
        Tokenizer.from_file(str(folder.file(TOKENIZER))), code, multilingual=bool(vocabulary.languages)
    )


def _print_sets(summaries: "Sequence[Summary]") -> None:
    unit = summaries[0].unit
    columns = ["set", "items", "windows", "h:mm:ss", "shortest", "median", "longest"]
    columns += ["tokens" if unit == "tokens" else "letters", "most", "languages", "problems"]
    rows = []
    for summary in summaries:
        minutes, seconds = divmod(round(summary.seconds), 60)
        lengths = (f"{seconds:.1f}" for seconds in vars(summary.durations).values())
        languages = " ".join(f"{code}:{n:,}" for code, n in summary.languages.items()) or "-"
        rows.append(
            (
                summary.name,
                f"{summary.items:,}",
                f"{summary.windows:,}",
                f"{minutes // 60}:{minutes % 60:02}:{seconds:02}",
                *lengths,
                f"{summary.labels.median:.0f}",
                f"{summary.labels.longest:.0f}",
                languages,
                f"{len(summary.problems):,}",
            )
        )
    console.print_table(columns, rows, optional=["shortest", "median", "longest", "most"])


def _print_durations(summaries: "Sequence[Summary]") -> None:
    """Bars of the durations of all windows, for people."""
    counts = [sum(column) for column in zip(*(summary.histogram for summary in summaries), strict=True)]
    if not sys.stdout.isatty() or not any(counts):
        return
    width = 30 // len(counts)
    out = console.stdout()
    out.print()
    for i, n in enumerate(counts):
        bar = "█" * round(BAR * n / max(counts)) or "▏" * bool(n)
        out.print(f"{i * width:>3}-{(i + 1) * width:<2} s  {bar} {n:,}")


def _print_problems(problems: "Sequence[Problem]", shown: int) -> None:
    from tx.speech.items import report_problems

    if problems:
        lines = report_problems(problems, shown or len(problems))
        print("\n" + "\n".join(lines))  # noqa: T201
