"""`tx score -m MODEL`: how likely a translator finds given translations, and a language model lines of text."""

import math
from itertools import islice
from pathlib import Path

from tx.cli import console
from tx.cli.pipe import line_batches
from tx.errors import TxError, UsageError
from tx.package import find_package
from tx.package.read import read_unverified
from tx.text.lines import LineWriter
from tx.text.parallel import n_lines as told_lines
from tx.text.parallel import read_aligned

BATCH = 1000  # pairs scored together


def score_model(name: str, files: list[str], as_json: bool) -> None:
    """Print the log-probability of each line, in nats; a summary goes to stderr."""
    path = find_package(name, "")
    if read_unverified(path)["task"] == "language-model":
        _score_text(path, files, as_json)
    else:
        _score_translations(path, files, as_json)


def _score_text(path: Path, files: list[str], as_json: bool) -> None:
    from tx.evaluate.perplexity import open_language_model, score_lines

    model, tokenizer = open_language_model(path)
    n_lines = n_tokens = n_characters = 0
    total = 0.0
    with LineWriter() as writer:
        for _, lines in line_batches(files, "-", ramp=True):
            results = score_lines(model, tokenizer, lines)
            n_lines += len(lines)
            n_characters += sum(len(line) + 1 for line in lines)  # the newline counts
            n_tokens += sum(n for _, n in results)
            total += sum(logprob for logprob, _ in results)
            form = '{{"logprob": {0:.6f}, "tokens": {1}, "characters": {2}}}' if as_json else "{0:.6f}"
            writer.write(
                form.format(*result, len(line) + 1) for result, line in zip(results, lines, strict=True)
            )
    if not n_lines:
        raise TxError("there is no text to score", "tx score -m MODEL < text")
    console.note(
        f"{told_lines(n_lines)}, {n_characters:,} characters: {total:.2f} nats, "
        f"{-total / n_characters / math.log(2):.4f} bits per character, "
        f"perplexity {math.exp(min(-total / n_tokens, 700.0)):.3f} a token"
    )


def _score_translations(path: Path, files: list[str], as_json: bool) -> None:
    if len(files) != 2:
        raise UsageError(
            "with -m, tx score needs a source file and a file of translations", "tx score -m MODEL SRC TGT"
        )
    src, tgt = read_aligned(files)
    if not src:
        raise TxError(f"{files[0]} and {files[1]} are empty", "there is nothing to score")
    from tx.decode.translate import open_translator

    translator, _ = open_translator(path)
    total, n_tokens = 0.0, 0
    pairs = iter(zip(src, tgt, strict=True))
    with LineWriter() as writer:
        while chunk := list(islice(pairs, BATCH)):
            results = translator.score([a for a, _ in chunk], [b for _, b in chunk])
            total += sum(logprob for logprob, _ in results)
            n_tokens += sum(n for _, n in results)
            form = '{{"logprob": {0:.6f}, "tokens": {1}}}' if as_json else "{0:.6f}"
            writer.write(form.format(*result) for result in results)
    console.note(
        f"{len(src):,} pairs, {n_tokens:,} tokens: {total:.2f} nats, "
        f"perplexity {math.exp(-total / n_tokens):.3f} a token"
    )
