"""Time gensim in its fastest mode: from a file of lines, in threads without the interpreter lock."""

import time
from pathlib import Path

import gensim
import numpy as np
from gensim.models import Word2Vec
from harness import cpu_seconds, peak_gib, read_job, write_result


def main() -> None:
    job = read_job()
    model = Word2Vec(
        vector_size=job["dim"],
        window=job["window"],
        negative=job["negative"],
        min_count=job["min_count"],
        sample=job["subsample"],
        alpha=job["lr"],
        sg=1,
        workers=job["threads"],
        seed=job["seed"],
    )
    cpu = cpu_seconds()
    model.build_vocab(corpus_file=job["lines"])
    reading = cpu_seconds() - cpu
    cpu, wall = cpu_seconds(), time.perf_counter()
    model.train(
        corpus_file=job["lines"],
        total_words=model.corpus_total_words,
        total_examples=model.corpus_count,
        epochs=job["epochs"],
    )
    seconds = {"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall}
    result = {
        **seconds,
        "reading": reading,
        "starting": 0.0,
        "words": model.corpus_total_words,
        "gib": peak_gib(),
    }
    out = Path(job["work"]) / f"{job['name']}-gensim"
    np.save(out.with_suffix(".npy"), model.wv.vectors)
    out.with_suffix(".words").write_text("\n".join(model.wv.index_to_key))
    write_result(job, {**result, "vectors": str(out), "versions": f"gensim {gensim.__version__}"})


if __name__ == "__main__":
    main()
