"""Word vectors by skip-gram, tx's compiled engine compared with gensim: speed, memory and quality.

    python benchmarks/word2vec.py --text text8.txt --measures word-sim

Both read the same words; gensim gets them in lines of a thousand, where it would cut a longer line anyway.
Rates are words of the text over all epochs, per second of CPU time and of wall time of the training alone; the
times for reading the text and for starting (tx compiles its loop) are separate columns. `--words` uses only the
beginning of the text, for a quick test; the quality of the vectors is low then.
"""

import argparse
import sys
from copy import copy
from itertools import islice, product
from pathlib import Path

import harness
import numpy as np
from harness import Job, Result

from tx.evaluation.analogy import evaluate_analogies, read_questions
from tx.evaluation.similarity import evaluate_similarity, read_pairs
from tx.text.lines import open_input
from tx.vectors import WordVectors

SCRIPTS = {"tx": "word2vec_tx.py", "gensim": "word2vec_gensim.py"}
LINE = 1000  # words


def prepare(text: Path, n_words: int, work: Path) -> dict[str, str]:
    """The first `n_words` words of the text (0: all), on one line for tx and on many for gensim."""
    with open_input(text) as file:
        words = file.read(n_words * 12 or -1).decode("utf-8", "ignore").split()[: n_words or None]
    (work / "text").write_text(" ".join(words) + "\n", encoding="utf-8")
    with (work / "lines").open("w", encoding="utf-8") as file:
        rest = iter(words)
        while line := list(islice(rest, LINE)):
            file.write(" ".join(line) + "\n")
    return {"text": str(work / "text"), "lines": str(work / "lines")}


def rate(result: Result) -> float:
    return result["words"] * result["epochs"] / result["cpu"]  # type: ignore[no-any-return]


def wall_rate(result: Result) -> float:
    return result["words"] * result["epochs"] / result["wall"]  # type: ignore[no-any-return]


def quality(result: Result, measures: Path) -> dict[str, float]:
    """Accuracy on questions-words.txt and correlation with WordSim-353, in percent and as rho."""
    words = Path(result["vectors"] + ".words").read_text(encoding="utf-8").split("\n")
    vectors = WordVectors.from_matrix(words, np.load(result["vectors"] + ".npy"))
    with (measures / "questions-words.txt").open(encoding="utf-8") as file:
        report = evaluate_analogies(vectors, read_questions(file, "questions-words.txt"))
    with (measures / "EN-WS-353-ALL.txt").open(encoding="utf-8") as file:
        similarity = evaluate_similarity(vectors, read_pairs(file, "WordSim-353"))
    parts = {"semantic": report.semantic, "syntactic": report.syntactic, "total": report.total}
    return {name: part.percent or 0.0 for name, part in parts.items()} | {"ws353": similarity.spearman or 0.0}


def report(results: dict[str, list[Result]], known: bool) -> str:
    """Medians over the rounds; the last column compares with the line of tx of the same size and threads."""
    columns = {
        "words/CPU s": (rate, ",.0f"),
        "words/s": (wall_rate, ",.0f"),
        "reading CPU s": (lambda r: r["reading"], ".1f"),
        "starting": (lambda r: r["starting"], ".1f"),
        "peak MB": (lambda r: r["gib"] * 1024, ".0f"),
    }
    if known:
        shown = {"semantic": ".1f", "syntactic": ".1f", "total": ".1f", "ws353": ".3f"}
        columns |= {name: (lambda r, name=name: r[name], form) for name, form in shown.items()}
    rows = []
    for name, runs in results.items():
        ours = results.get("tx" + name.removeprefix("tx").removeprefix("gensim"))
        times = f"{harness.ratio(ours, runs, rate):.2f}" if ours else ""
        rows.append(
            [name, *(format(harness.median(runs, value), form) for value, form in columns.values()), times]
        )
    return harness.table(["system", *columns, "tx / it, by CPU"], rows)


def options() -> argparse.Namespace:
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(
        description="Compare the training of word vectors.", formatter_class=style
    )
    add = parser.add_argument
    add("--text", type=Path, required=True, help="plain or gzipped text, words between white space")
    add("--measures", type=Path, help="folder of questions-words.txt and EN-WS-353-ALL.txt")
    add("--words", type=int, default=0, help="take so many words of the text only; 0: all")
    add("--dims", type=int, nargs="+", default=[100, 300])
    add("--threads", type=int, nargs="+", default=[1, 2])
    add("--systems", nargs="+", default=["tx", "gensim"], choices=sorted(SCRIPTS))
    add("--epochs", type=int, default=5)
    add("--window", type=int, default=5)
    add("--negative", type=int, default=5)
    add("--min-count", type=int, default=5)
    add("--subsample", type=float, default=1e-4)
    add("--lr", type=float, default=0.025)
    add("--rounds", type=int, default=1, help="turns each system gets; the median counts")
    add("--cores", type=int, nargs="+", default=[0, 1], help="as many as there are threads are used")
    add("--work", type=Path, default=Path("/tmp/tx-benchmarks"), help="folder for what is made on the way")
    add("--json", type=Path, help="also write every single measurement to this file")
    return parser.parse_args()


def main() -> None:
    args = options()
    args.work.mkdir(parents=True, exist_ok=True)
    args.core = args.cores[0]
    settings = ("epochs", "window", "negative", "min_count", "subsample", "lr")
    shared: Job = {name: getattr(args, name) for name in settings}
    shared |= prepare(args.text, args.words, args.work)
    print(harness.machine(args.core), file=sys.stderr)
    results: dict[str, list[Result]] = {}
    for dim, threads in product(args.dims, args.threads):
        for turn, system in harness.take_turns(args.systems, args.rounds):
            pinned = copy(args)
            pinned.core = ",".join(map(str, args.cores[:threads]))
            job = {
                **shared,
                "name": f"word2vec-{dim}-{threads}",
                "dim": dim,
                "threads": threads,
                "seed": turn + 1,
            }
            result = harness.run(system, SCRIPTS[system], sys.executable, job, pinned) | {
                "epochs": args.epochs
            }
            if args.measures:
                result |= quality(result, args.measures)
            label = f"{system}, dim {dim}, {threads} thread{'s' if threads > 1 else ''}"
            results.setdefault(label, []).append(result)
            busy = result["cpu"] / result["wall"]
            print(
                f"round {turn + 1}: {label}: {rate(result):,.0f} words/CPU s, {busy:.0%} CPU", file=sys.stderr
            )
    harness.save(args, shared, results)
    options_text = ", ".join(f"{name.replace('_', ' ')} {shared[name]}" for name in settings)
    n_words = next(iter(results.values()))[0]["words"]
    print(f"{n_words:,} words, median of {args.rounds} rounds; {options_text}\n")
    print(report(results, bool(args.measures)), "")
    print(*{runs[-1]["versions"] for runs in results.values()}, sep="\n")


if __name__ == "__main__":
    main()
