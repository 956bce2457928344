"""Queries of word vectors: tx compared with gensim on the same vectors, in turns, on one pinned core.

    python benchmarks/vectors_queries.py --model glove --questions questions-words.txt

It measures opening the vectors and answering one analogy in a new process, a thousand analogies in one process, and a
file of analogies, for which both have to have the same number of correct answers.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import (
    cpu_seconds,
    machine,
    median,
    peak_gib,
    ratio,
    read_job,
    run,
    save,
    table,
    take_turns,
    write_result,
)

from tx.vectors import open_vectors
from tx.vectors.formats import export_vectors

N_BATCH = 1000


def measure() -> None:
    """In a separate process: the time of one system for each part of the job."""
    job = read_job()
    start = cpu_seconds()
    result: dict[str, object] = {}
    if job["system"] == "tx":
        from tx.evaluation.analogy import evaluate_analogies, read_questions
        from tx.vectors.search import Query

        vectors = open_vectors(job["model"])
        result["open"] = cpu_seconds() - start
        start = cpu_seconds()
        vectors.search([Query((a, b, c), (-1.0, 1.0, 1.0)) for a, b, c in job["batch"]], 10)
        result["batch"] = cpu_seconds() - start
        start = cpu_seconds()
        lines = Path(job["questions"]).read_text(encoding="utf-8").split("\n")
        total = evaluate_analogies(vectors, read_questions(lines, "questions")).total
        result["total"] = [total.correct, total.known]
    else:
        from gensim.models import KeyedVectors

        keyed = KeyedVectors.load_word2vec_format(job["binary"], binary=True)
        result["open"] = cpu_seconds() - start
        start = cpu_seconds()
        names = keyed.index_to_key
        for a, b, c in job["batch"]:
            keyed.most_similar([names[b], names[c]], [names[a]], topn=10)
        result["batch"] = cpu_seconds() - start
        start = cpu_seconds()
        _, sections = keyed.evaluate_word_analogies(job["questions"])
        correct = len(sections[-1]["correct"])
        result["total"] = [correct, correct + len(sections[-1]["incorrect"])]
    result["evaluate"] = cpu_seconds() - start
    write_result(job, {**result, "gib": peak_gib()})


def whole_process(args: argparse.Namespace, model: str) -> tuple[float, float]:
    """CPU and wall seconds of `tx analogy king-man+woman`, from start to end."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [
        "taskset",
        "-c",
        str(args.core),
        sys.executable,
        "-m",
        "tx",
        "analogy",
        "king-man+woman",
        "--model",
        model,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a vectors package")
    parser.add_argument("--questions", type=Path, required=True, help="analogies, like questions-words.txt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tx-benchmarks")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    vectors = open_vectors(args.model)
    binary = args.work / "vectors.bin"
    export_vectors(vectors, binary, "word2vec-binary")
    step = max(len(vectors.words) // (3 * N_BATCH + 3), 1)
    batch = [[(3 * i + j) * step % len(vectors.words) for j in range(3)] for i in range(N_BATCH)]
    model = subprocess.run(
        [sys.executable, "-m", "tx", "models", "path", args.model], check=True, capture_output=True, text=True
    ).stdout.strip()
    job = {"name": "vectors", "model": model, "binary": str(binary), "batch": batch}
    job["questions"] = str(args.questions.resolve())
    print(machine(args.core))
    print(f"{len(vectors.words):,} words, {vectors.dim} dimensions")
    results: dict[str, list[dict]] = {"tx": [], "gensim": []}
    for _, system in take_turns(["tx", "gensim"], args.rounds):
        results[system].append(
            run(system, Path(__file__).name, sys.executable, {**job, "system": system}, args)
        )
    if any(result["total"] != results["tx"][0]["total"] for found in results.values() for result in found):
        print(f"the totals differ: {[[r['total'] for r in found] for found in results.values()]}")
    parts = {
        "open": "import and open",
        "batch": f"{N_BATCH:,} analogies, top 10",
        "evaluate": "file of analogies",
    }
    rows = []
    for part, name in parts.items():
        seconds = [median(results[system], lambda result, part=part: result[part]) for system in results]
        faster = ratio(results["gensim"], results["tx"], lambda result, part=part: result[part])
        rows.append([name, *(f"{value:.2f}" for value in seconds), f"{faster:.1f}x"])
    memory = [median(results[system], lambda result: result["gib"]) for system in results]
    rows.append(["peak memory, GiB", *(f"{value:.2f}" for value in memory), ""])
    print(table(["CPU seconds", "tx", "gensim", "tx is faster"], rows))
    whole = [whole_process(args, model) for _ in range(args.rounds + 1)][1:]
    cpu, wall = (sorted(values)[len(values) // 2] for values in zip(*whole, strict=True))
    print(f"tx analogy king-man+woman, whole process, warm cache: {cpu:.2f} s CPU, {wall:.2f} s wall")
    correct, asked = results["tx"][0]["total"]
    print(f"{correct:,} of {asked:,} analogies right in both")
    save(args, {**job, "batch": N_BATCH}, results)


if __name__ == "__main__":
    measure() if len(sys.argv) == 2 and json.loads(Path(sys.argv[1]).read_text()).get("result") else main()
