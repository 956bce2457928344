"""Evaluating a translator: BLEU and chrF of its translations of a test set, or its word alignments."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tx.decode.translate import SearchOptions, open_translator
from tx.errors import UsageError
from tx.evaluation.alignment import read_gold, score_alignments
from tx.evaluation.metrics import N_BOOTSTRAP, Score, ScoreOptions, check, corpus_scores
from tx.evaluation.report import Report, record
from tx.package import Package
from tx.text.lines import LineWriter, read_lines
from tx.text.parallel import read_parallel

COLUMNS = ("metric", "score", "95%", "signature")


def evaluate(
    package: Package,
    files: Sequence[str],
    *,
    output: str | None = None,
    beam_size: int | None = None,
    tokenize: str | None = None,
    alignments: str | None = None,
    device: str = "auto",
    threads: int = 0,
) -> Report:
    """Translate the first file and score the translations against the others, the references.

    BLEU is computed with and without case. `output` is a file to write the translations to. `alignments` is a file of
    gold alignments of a source and its translation: then the model's alignments are scored and nothing is translated.
    """
    if alignments is not None:
        if (output, beam_size, tokenize) != (None, None, None):
            raise UsageError("with --alignments nothing is translated", "omit -o, -b and --tokenize")
        return _evaluate_alignments(package, files, alignments, device, threads)
    if len(files) < 2:
        raise UsageError("a source and at least one reference are needed", "tx evaluate -m MODEL SRC REF")
    src, *refs = read_parallel(files)
    writer = LineWriter(output) if output else None  # before the model translates: it checks the path
    translator, decode = open_translator(package.path, device, threads)
    decode.beam_size = beam_size or decode.beam_size
    hyps = [result.text for result in translator.translate(src, SearchOptions(decode))]
    if writer is not None:
        with writer:
            writer.write(hyps)
    warnings = check({"the translations": hyps}, dict(zip(files[1:], refs, strict=True)))
    options = ScoreOptions(tokenize or "13a", n_bootstrap=N_BOOTSTRAP)
    scores = corpus_scores(hyps, refs, options=options)
    scores += corpus_scores(hyps, refs, ["bleu"], replace(options, lowercase=True))
    report = _report(package, src, scores, f"{Path(files[0]).name}, beam {decode.beam_size}")
    report.warnings += warnings
    return report


def _evaluate_alignments(
    package: Package, files: Sequence[str], gold: str, device: str, threads: int
) -> Report:
    """Align each source line with its given translation by the model's attention, and compare with `gold`."""
    if len(files) != 2:
        usage = "tx evaluate -m MODEL SRC TGT --alignments GOLD"
        raise UsageError("gold alignments need one source and one translation", usage)
    src, tgt = read_parallel(files)
    lengths = [(len(a.split()), len(b.split())) for a, b in zip(src, tgt, strict=True)]
    wanted, base = read_gold(read_lines(gold), gold, lengths)
    translator, _ = open_translator(package.path, device, threads)
    score = score_alignments(translator.align(src, tgt), wanted)
    signature = f"links:{score.n_links}|sure:{score.n_sure}|possible:{score.n_possible}"
    scores = [
        Score("alignment precision", 100 * score.precision, signature),
        Score("alignment recall", 100 * score.recall, signature),
        Score("AER", 100 * score.error_rate, signature, ci=100 * score.ci),
    ]
    report = _report(package, src, scores, Path(gold).name)
    report.notes += [f"{gold} counts words from {base}"] if base else []
    return report


def _report(package: Package, src: Sequence[str], scores: Sequence[Score], data: str) -> Report:
    records = [record(s.name, s.value, s.signature, data, s.ci) for s in scores]
    rows = [(s.name, f"{s.value:.2f}", "-" if s.ci is None else f"± {s.ci:.2f}", s.signature) for s in scores]
    details = {"model": package.name, "lines": len(src), "scores": records}
    return Report(records, details, COLUMNS, rows)
