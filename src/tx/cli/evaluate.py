"""`tx evaluate`: a model's score on a test set, kept in its package."""

from pathlib import Path
from typing import Annotated

import typer

from tx.cli import console
from tx.cli.app import MEASURE, app
from tx.errors import TxError, UsageError
from tx.package import Package, find, update_manifest
from tx.text.lines import LineWriter, read_lines


@app.command(rich_help_panel=MEASURE)
def evaluate(
    files: Annotated[
        list[str], typer.Argument(metavar="SRC REF...", help="The source, then its reference translations.")
    ],
    model: console.Model = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Keep the translations here.")
    ] = None,
    beam_size: Annotated[
        int | None, typer.Option("--beam-size", "-b", min=1, help="Hypotheses kept; 1: greedy.")
    ] = None,
    tokenize: Annotated[str, typer.Option(metavar="NAME", help="How BLEU cuts up words.")] = "13a",
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Keep the scores in the package and its card.")
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: one per core.")] = 0,
    as_json: console.Json = False,
    quiet: console.Quiet = False,
) -> None:
    """Translate a test set and score it: BLEU and chrF with 95% intervals, and BLEU without regard to case.

    ```
    $ tx evaluate -m de-en test.de test.en
    $ tx evaluate -m de-en test.de test.en -b 1 --no-store -o test.hyp
    ```

    The scores are kept in the package, with their sacreBLEU signature and the name of the test set.
    """
    console.set_quiet(quiet)
    if len(files) < 2:
        raise UsageError("a source and at least one reference are needed", "tx evaluate -m MODEL SRC REF")
    src, *refs = (list(read_lines(file)) for file in files)
    for file, ref in zip(files[1:], refs, strict=True):
        if len(ref) != len(src):
            raise TxError(f"{files[0]} has {len(src):,} lines and {file} has {len(ref):,}: they must agree")
    path = find(model, "translation")
    package = Package.open(path, "translation")
    from tx.decode.translate import SearchOptions, open_translator
    from tx.evaluate.metrics import check, corpus_scores

    translator, decode = open_translator(path, device, threads)
    decode.beam_size = beam_size or decode.beam_size
    hyps = [result.text for result in translator.translate(src, SearchOptions(decode))]
    if output:
        with LineWriter(output) as writer:
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
        kept = [old for old in package.scores if old.get("data") != data]
        update_manifest(package, scores=[*kept, *records])
    if as_json:
        console.print_json({"model": package.name, "lines": len(src), "scores": records})
        return
    rows = [(s.name, f"{s.value:.2f}", f"± {s.ci:.2f}", s.signature) for s in scores]
    console.print_table(["metric", "score", "95%", "signature"], rows)
