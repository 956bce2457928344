"""`tx evaluate` for translators: BLEU and chrF of what they make of a test set."""

from pathlib import Path

from tx.cli import console
from tx.cli.evaluate_alignments import evaluate_alignments
from tx.errors import UsageError
from tx.package import Package, add_scores
from tx.text.lines import LineWriter
from tx.text.parallel import read_aligned


def evaluate_translation(
    package: Package,
    files: list[str],
    store: bool,
    as_json: bool,
    *,
    output: str | None = None,
    beam_size: int | None = None,
    tokenize: str | None = None,
    alignments: str | None = None,
    device: str = "auto",
    threads: int = 0,
) -> None:
    """Translate the first file and score it against the others, with and without regard to case."""
    if alignments is not None:
        if (output, beam_size, tokenize) != (None, None, None):
            raise UsageError("with --alignments nothing is translated", "leave -o, -b and --tokenize away")
        evaluate_alignments(package, files, alignments, store, as_json, device, threads)
        return
    tokenize = tokenize or "13a"
    if len(files) < 2:
        raise UsageError("a source and at least one reference are needed", "tx evaluate -m MODEL SRC REF")
    src, *refs = read_aligned(files)
    writer = LineWriter(output) if output else None  # what is wrong with its name is told now
    from tx.decode.translate import SearchOptions, open_translator
    from tx.evaluate.metrics import check, corpus_scores

    translator, decode = open_translator(package.path, device, threads)
    decode.beam_size = beam_size or decode.beam_size
    hyps = [result.text for result in translator.translate(src, SearchOptions(decode))]
    if writer is not None:
        with writer:
            writer.write(hyps)
    for warning in check({"the translations": hyps}, dict(zip(files[1:], refs, strict=True))):
        console.warn(warning)
    scores = [
        *corpus_scores(hyps, refs, tokenize=tokenize, n_bootstrap=1000),
        *corpus_scores(hyps, refs, ["bleu"], tokenize=tokenize, lowercase=True, n_bootstrap=1000),
    ]
    data = f"{Path(files[0]).name}, beam {decode.beam_size}"
    records = [
        {"metric": s.name, "value": s.value, "ci": s.ci, "signature": s.signature, "data": data}
        for s in scores
    ]
    if store:
        add_scores(package, records)
    if as_json:
        console.print_json({"model": package.name, "lines": len(src), "scores": records})
        return
    rows = [(s.name, f"{s.value:.2f}", f"± {s.ci:.2f}", s.signature) for s in scores]
    console.print_table(["metric", "score", "95%", "signature"], rows)
