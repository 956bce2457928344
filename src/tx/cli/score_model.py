"""`tx score -m MODEL SRC TGT`: what a translator thinks of given translations."""

import math
from itertools import islice

from tx.cli import console
from tx.errors import TxError, UsageError
from tx.package import find
from tx.text.lines import LineWriter, read_lines

BATCH = 1000  # pairs scored together


def score_model(model: str, files: list[str], as_json: bool) -> None:
    """Print the log-probability of each line of TGT given its line of SRC, in nats; a summary goes to stderr."""
    if len(files) != 2:
        raise UsageError(
            "with -m, tx score needs a source file and a file of translations", "tx score -m MODEL SRC TGT"
        )
    src, tgt = (list(read_lines(file)) for file in files)
    if len(src) != len(tgt):
        raise TxError(f"{files[0]} has {len(src):,} lines and {files[1]} has {len(tgt):,}: they must agree")
    if not src:
        raise TxError(f"{files[0]} and {files[1]} are empty: there is nothing to score")
    from tx.decode.translate import open_translator

    translator, _ = open_translator(find(model, "translation"))
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
