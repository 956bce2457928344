"""`tx translate`: lines of one language in, lines of another out."""

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from tx.cli import console
from tx.cli.console import given, option
from tx.cli.pipe import Files, Input, Output, Seed, TopK, TopP, json_line, line_batches, sampling
from tx.decode.config import MAX_BEAM_SIZE
from tx.errors import TxError, UsageError
from tx.package import find_package
from tx.text.lines import LineWriter, read_lines

if TYPE_CHECKING:
    from tx.decode.translate import SearchOptions, Translation, Translator

search = partial(option, panel="Search")


def translate(
    context: typer.Context,
    files: Files = None,
    model: console.Model = None,
    input: Input = "-",
    output: Output = "-",
    beam_size: Annotated[
        int | None, search("Beam size; 1: greedy search.", "-b", min=1, max=MAX_BEAM_SIZE)
    ] = None,
    n_best: Annotated[int, search("Number of translations of each line, best first.", "-n", min=1)] = 1,
    length_penalty: Annotated[
        float | None, search("Exponent of the length by which scores are divided.", min=0)
    ] = None,
    max_len_ratio: Annotated[
        float | None, search("Maximum length of a translation: X pieces per source piece ...", min=0)
    ] = None,
    max_len_extra: Annotated[int | None, search("... plus N pieces.", min=0)] = None,
    prefix: Annotated[
        str | None,
        search("Force each translation to begin with the corresponding line of FILE.", metavar="FILE"),
    ] = None,
    sample: Annotated[bool, sampling("Sample each token instead of searching.")] = False,
    temperature: Annotated[
        float | None, sampling("Temperature; values below 1 favour the more probable tokens.", min=0.01)
    ] = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    scores: Annotated[bool, option("Print the score and a tab before each translation.")] = False,
    alignments: Annotated[
        str | None,
        option(
            "Write word alignments to FILE (Pharaoh format); - is stdout, with -o or --json.", metavar="FILE"
        ),
    ] = None,
    as_json: console.Json = False,
    device: console.Device = "auto",
    threads: console.Threads = 0,
    quiet: console.Quiet = False,
) -> None:
    """Translate text: one output line for each input line, printed as soon as it is ready.

    ```
    $ tx translate -m de-en < test.de > test.hyp
    $ echo "Ein Hund läuft." | tx translate -m de-en
    $ tx translate -m de-en --n-best 3 --scores < test.de
    $ tx translate -m de-en --sample --top-p 0.9 --seed 3 < test.de
    $ tx translate -m de-en --alignments test.align < test.de > test.hyp
    $ tx translate -m de-en --json < test.de | jq -r .translations[0].text
    ```

    A blank input line produces a blank output line. With --n-best N each line produces N lines. Search
    options default to the settings of the model. Scores are log-probabilities divided by length. With --json, `cut`
    is true for a translation that ended at the length limit.

    Alignments come from the cross-attention, as the mean over all layers and heads: 2-1 aligns source word 2 with
    target word 1, counted from 0, if each is the other's best match. Words are separated by spaces.
    """
    if not sample and (temperature, top_k, top_p, seed) != (None, None, None, None):
        raise UsageError("--temperature, --top-k, --top-p and --seed apply to sampling only", "add --sample")
    if sample and (n_best > 1 or (beam_size or 1) > 1):
        raise UsageError(
            "--sample cannot be combined with --n-best or --beam-size",
            "omit them; for several samples, run it with several --seed",
        )
    path = find_package(model, "translation")
    batches = line_batches(files, input, ramp=True)
    # With --json, `--alignments -` puts the alignments into the records.
    in_records = as_json and alignments == "-"
    if alignments == output and not in_records:
        where = "stdout" if output == "-" else output
        raise UsageError(f"translations and alignments would both go to {where}", "add -o FILE, or --json")
    writer = LineWriter(output)
    aligned = LineWriter(os.devnull if in_records or not alignments else alignments)
    from tx.decode.sampling import Sampling
    from tx.decode.translate import SearchOptions, open_translator

    translator, decode = open_translator(path, device, threads)
    decode = replace(decode, **given(context, type(decode)))
    if not decode.max_len_ratio and not decode.max_len_extra:
        raise UsageError(
            "--max-len-ratio 0 and --max-len-extra 0 leave no room for a translation", "increase one of them"
        )
    if n_best > decode.beam_size:
        raise UsageError(
            f"--n-best {n_best} needs a beam size of {n_best} or more, got {decode.beam_size}",
            f"use -b {n_best}",
        )
    drawn = Sampling(**given(context, Sampling)) if sample else None
    options = SearchOptions(decode, n_best, drawn, scores or as_json, with_alignments=alignments is not None)
    with writer, aligned:
        _translate(translator, options, batches, prefix, writer, aligned, scores, as_json)


def _translate(
    translator: "Translator",
    options: "SearchOptions",
    batches: Iterator[tuple[int, list[str]]],
    prefix: str | None,
    writer: LineWriter,
    aligned: LineWriter,
    scores: bool,
    as_json: bool,
) -> None:
    """Write the translations and alignments of all lines; the lines of the file `prefix` are forced."""
    prefixes = None if prefix is None else read_lines(prefix)
    hint = "give one line for each line of the source; a blank line forces nothing"
    for number, lines in batches:
        forced = None if prefixes is None else list(islice(prefixes, len(lines)))
        if forced is not None and len(forced) < len(lines):
            raise TxError(f"{prefix} ends after line {number + len(forced):,}, before the source", hint)
        results = translator.translate(lines, options, forced, number)
        for n, (line, result) in enumerate(zip(lines, results, strict=True), number + 1):
            if result.n_parts > 1:
                console.warn(f"line {n} is too long, and was translated in {result.n_parts} parts")
            if as_json:
                writer.write([_record(line, result, options.with_alignments)])
            else:
                writer.write(_lines(result, options.n_best, scores))
            if options.with_alignments:
                aligned.write(_pharaoh(result, i) for i in range(options.n_best))
    if prefixes is not None and next(prefixes, None) is not None:
        raise TxError(f"{prefix} has more lines than the source", hint)


def _pharaoh(result: "Translation", i: int) -> str:
    """The alignment of the i-th text in the Pharaoh format (Koehn 2004), blank if there is no such text."""
    return " ".join(f"{s}-{t}" for s, t in result.alignments[i]) if i < len(result.alignments) else ""


def _lines(result: "Translation", n_best: int, scores: bool) -> Iterator[str]:
    """`n_best` lines, blank where there are fewer translations, so that the lines of an input can be counted."""
    for i in range(n_best):
        found = i < len(result.texts)
        score = f"{result.hypotheses[i].score:.4f}" if found else ""
        yield f"{score}\t" * scores + (result.texts[i] if found else "")


def _record(src: str, result: "Translation", with_alignments: bool) -> str:
    found = zip(result.texts, result.hypotheses, strict=True)
    translations = [{"text": text, "score": h.score, "logprob": h.logprob, "cut": h.cut} for text, h in found]
    if with_alignments:
        for i, translation in enumerate(translations):
            translation["alignment"] = _pharaoh(result, i)
    return json_line({"src": src, "translations": translations})
