"""`tx translate`: lines of one language in, lines of another out."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tx.cli import console
from tx.cli.pipe import Files, Input, Output, json_line, line_batches
from tx.errors import TxError, UsageError
from tx.package import find_package
from tx.text.lines import LineWriter, read_lines

if TYPE_CHECKING:
    from tx.decode.translate import SearchOptions, Translation

SEARCH, SAMPLE = "Search", "Sampling"


def translate(
    files: Files = None,
    model: console.Model = None,
    input: Input = "-",
    output: Output = "-",
    beam_size: Annotated[
        int | None,
        typer.Option(
            "--beam-size",
            "-b",
            min=1,
            max=1000,
            help="Hypotheses kept at each step; 1: greedy.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    n_best: Annotated[
        int,
        typer.Option(
            "--n-best", "-n", min=1, help="Translations of each line, best first.", rich_help_panel=SEARCH
        ),
    ] = 1,
    length_penalty: Annotated[
        float | None,
        typer.Option(min=0, help="Scores are divided by length to this power.", rich_help_panel=SEARCH),
    ] = None,
    max_len_ratio: Annotated[
        float | None,
        typer.Option(min=0, help="Longest translation, in pieces of the source ...", rich_help_panel=SEARCH),
    ] = None,
    max_len_extra: Annotated[
        int | None, typer.Option(min=0, help="... plus this many.", rich_help_panel=SEARCH)
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Line i of FILE is how translation i must begin.", rich_help_panel=SEARCH
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw each token at random instead.", rich_help_panel=SAMPLE)
    ] = False,
    temperature: Annotated[
        float | None,
        typer.Option(min=0.01, help="Below 1: likelier tokens; above: wilder.", rich_help_panel=SAMPLE),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=0, help="From the K likeliest; 0: all.", rich_help_panel=SAMPLE)
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="From the smallest set of this mass.", rich_help_panel=SAMPLE),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Another number, another draw (1).", rich_help_panel=SAMPLE)
    ] = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Put the score and a tab before each line.")
    ] = False,
    alignments: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write the word alignment of each line here, as 0-0 1-2; - is stdout (with -o or --json).",
        ),
    ] = None,
    as_json: console.Json = False,
    device: console.Device = "auto",
    threads: console.Threads = 0,
    quiet: console.Quiet = False,
) -> None:
    """Translate lines: one line out for each line in, in order, as soon as they can be had.

    ```
    $ tx translate -m de-en < test.de > test.hyp
    $ echo "Ein Hund läuft." | tx translate -m de-en
    $ tx translate -m de-en --n-best 3 --scores < test.de
    $ tx translate -m de-en --sample --top-p 0.9 --seed 3 < test.de
    $ tx translate -m de-en --alignments test.align < test.de > test.hyp
    $ tx translate -m de-en --json < test.de | jq -r .translations[0].text
    ```

    A blank line gives a blank line. With --n-best N there are N lines for each. The model's own search settings
    hold where no flag is given; scores are log-probabilities divided by length. With --json, `cut` marks a
    translation that ended at the length limit.

    Alignments are read off the attention, the mean over all layers and heads: 2-1 links word 2 of the line to word
    1 of its translation, counted from 0, where each is the other's best match; some words have none. Words are
    what stands between spaces.
    """
    console.set_quiet(quiet)
    if not sample and (temperature, top_k, top_p, seed) != (None, None, None, None):
        raise UsageError("--temperature, --top-k, --top-p and --seed are for sampling", "add --sample")
    if sample and (n_best > 1 or (beam_size or 1) > 1):
        raise UsageError(
            "sampling draws one translation a line",
            "leave --n-best and --beam-size away, or run it with other seeds",
        )
    path = find_package(model, "translation")
    batches, (writer, aligned) = line_batches(files, input, ramp=True), _writers(output, alignments, as_json)
    from tx.decode.sampling import Sampling
    from tx.decode.translate import SearchOptions, open_translator

    translator, decode = open_translator(path, device, threads)
    for name, value in (
        ("beam_size", beam_size),
        ("length_penalty", length_penalty),
        ("max_len_ratio", max_len_ratio),
        ("max_len_extra", max_len_extra),
    ):
        if value is not None:
            setattr(decode, name, value)
    if not decode.max_len_ratio and not decode.max_len_extra:
        raise UsageError(
            "--max-len-ratio 0 and --max-len-extra 0 leave no room for a translation", "raise one of them"
        )
    if n_best > decode.beam_size:
        raise UsageError(
            f"a beam of {decode.beam_size} cannot give {n_best} translations", f"add -b {n_best}"
        )
    drawn = Sampling(
        temperature or 1.0, top_k or 0, 1.0 if top_p is None else top_p, 1 if seed is None else seed
    )
    options = SearchOptions(
        decode,
        n_best,
        drawn if sample else None,
        with_scores=scores or as_json,
        with_alignments=alignments is not None,
    )
    _pipe(translator, options, batches, writer, aligned, prefix, scores, as_json)


def _writers(output: str, alignments: str | None, as_json: bool) -> tuple[LineWriter, LineWriter]:
    """Where translations go, and where alignments do: with --json and `-` into the translations' own lines."""
    if alignments == output and not (alignments == "-" and as_json):
        where = "stdout" if output == "-" else output
        raise UsageError(f"translations and alignments would both go to {where}", "add -o FILE, or --json")
    apart = alignments is not None and not (alignments == "-" and as_json)
    return LineWriter(output), LineWriter(alignments if apart and alignments else os.devnull)


def _pipe(
    translator: Any,
    options: "SearchOptions",
    batches: Iterator[tuple[int, list[str]]],
    writer: LineWriter,
    aligned: LineWriter,
    prefix: str | None,
    scores: bool,
    as_json: bool,
) -> None:
    forced = read_lines(prefix) if prefix else iter(())
    with writer, aligned:
        for number, lines in batches:
            prefixes = list(islice(forced, len(lines))) if prefix else None
            if prefixes is not None and len(prefixes) < len(lines):
                raise _uneven(prefix, f"ends after line {number + len(prefixes):,}, and the source goes on")
            results = translator.translate(lines, options, prefixes, number)
            for n, (line, result) in enumerate(zip(lines, results, strict=True), number + 1):
                if result.n_parts > 1:
                    console.warn(f"line {n} is too long, and was translated in {result.n_parts} parts")
                writer.write(_format(result, options.n_best, scores, as_json, options.with_alignments, line))
                if options.with_alignments:
                    aligned.write(_pharaoh(result, i) for i in range(options.n_best))
        if next(forced, None) is not None:
            raise _uneven(prefix, "goes on after the last line of the source")


def _uneven(prefix: str | None, how: str) -> TxError:
    return TxError(
        f"{prefix} {how}", "it needs one line for each line of the source; a blank one forces nothing"
    )


def _pharaoh(result: "Translation", i: int) -> str:
    """The alignment of the i-th text in the notation of Pharaoh (Koehn 2004); nothing where there is no such text."""
    return " ".join(f"{s}-{t}" for s, t in result.alignments[i]) if i < len(result.alignments) else ""


def _format(
    result: "Translation", n_best: int, scores: bool, as_json: bool, aligned: bool, src: str
) -> Iterator[str]:
    if as_json:
        translations: list[dict[str, Any]] = [
            {"text": text, "score": h.score, "logprob": h.logprob, "cut": h.cut}
            for text, h in zip(result.texts, result.hypotheses, strict=True)
        ]
        if aligned:
            for i, translation in enumerate(translations):
                translation["alignment"] = _pharaoh(result, i)
        yield json_line({"src": src, "translations": translations})
        return
    for i in range(n_best):  # also where fewer were found, so that the lines can be counted off
        text = result.texts[i] if i < len(result.texts) else ""
        score = (
            f"{result.hypotheses[i].score:.4f}\t" if scores and i < len(result.hypotheses) else "\t" * scores
        )
        yield score + text
