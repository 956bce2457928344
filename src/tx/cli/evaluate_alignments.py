"""`tx evaluate --alignments`: how well a translator's attention aligns words, by alignments that people made."""

from pathlib import Path

from tx.cli import console
from tx.errors import UsageError
from tx.package import Package, add_scores
from tx.text.lines import read_lines
from tx.text.parallel import read_aligned


def evaluate_alignments(
    package: Package, files: list[str], gold: str, store: bool, as_json: bool, device: str, threads: int
) -> None:
    """Let the model read the given translation of each line, and compare where it looked with `gold`."""
    if len(files) != 2:
        raise UsageError(
            "gold alignments belong to one source and one translation",
            "tx evaluate -m MODEL SRC TGT --alignments GOLD",
        )
    src, tgt = read_aligned(files)
    from tx.evaluate.alignment import read_gold, score_alignments

    lengths = [(len(a.split()), len(b.split())) for a, b in zip(src, tgt, strict=True)]
    wanted, base = read_gold(read_lines(gold), gold, lengths)
    if base:
        console.note(f"{gold} counts words from {base}")
    from tx.decode.translate import open_translator

    translator, _ = open_translator(package.path, device, threads)
    score = score_alignments(translator.align(src, tgt), wanted)
    signature = f"links:{score.n_links}|sure:{score.n_sure}|possible:{score.n_possible}"
    names = {
        "alignment precision": score.precision,
        "alignment recall": score.recall,
        "AER": score.error_rate,
    }
    records = [
        {
            "metric": name,
            "value": 100 * value,
            "ci": 100 * score.ci if name == "AER" else None,
            "signature": signature,
            "data": Path(gold).name,
        }
        for name, value in names.items()
    ]
    if store:
        add_scores(package, records)
    if as_json:
        console.print_json({"model": package.name, "lines": len(src), "scores": records})
        return
    interval = {"AER": f"± {100 * score.ci:.2f}"}
    rows = [(name, f"{100 * value:.2f}", interval.get(name, "-"), signature) for name, value in names.items()]
    console.print_table(["metric", "score", "95%", "signature"], rows)
