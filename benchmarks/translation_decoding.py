"""Speed of translation on one thread, greedy and with beam search, with the weights of one tx package.

    python benchmarks/translation_decoding.py --model de-en --data multi30k \\
        --peer opennmt=/envs/opennmt/bin/python --peer transformers=/envs/infer/bin/python \\
        --peer ctranslate2=/envs/infer/bin/python

Each system translates the whole test set in one call, after a warm-up, and cuts its own batches; loading is
not measured. tx starts from text and ends with text; the others get pieces and give pieces. The last columns show
that the weights arrived: BLEU, and the share of lines that are the first system's.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import harness
import numpy as np
from harness import Job, Result

from tx.decode.translate import open_translator
from tx.evaluation.metrics import bleu
from tx.text.tokenizer import Tokenizer

SETTINGS = {
    "tx": {"malloc"},
    "ctranslate2": {"malloc", "int8"},
    "opennmt": {"malloc", "onednn"},
    "transformers": {"malloc", "onednn"},
}
SCRIPTS = {
    "tx": "decode_tx.py",
    "ctranslate2": "decode_ctranslate2.py",
    "opennmt": "decode_opennmt.py",
    "transformers": "decode_transformers.py",
}


def export(model: Path, work: Path) -> tuple[Job, Tokenizer, Tokenizer]:
    """Write a package's weights where all can read them; return its shape and tokenizers."""
    translator, _ = open_translator(model, device="cpu", threads=1)
    arrays = {name: p.detach().numpy() for name, p in translator.model.named_parameters()}
    positions = {
        f"{side}_positions": getattr(translator.model, f"{side}_positions") for side in ("src", "tgt")
    }
    np.savez(work / "weights.npz", **arrays, **{name: p.detach().numpy() for name, p in positions.items()})
    job = asdict(translator.model.config) | {
        "weights": str(work / "weights.npz"),
        "model": str(model.resolve()),
    }
    for side, tokenizer in (("src", translator.src), ("tgt", translator.tgt)):
        job[f"{side}_pieces"] = [tokenizer.piece(id) for id in range(len(tokenizer))]
    return job, translator.src, translator.tgt


def report(results: dict[str, list[Result]], refs: list[str]) -> str:
    """Medians over the rounds, and how many times as fast the first system is as each."""
    first, ours = next(iter(results.items()))

    def rate(result: Result) -> float:
        return len(refs) / result["cpu"]  # type: ignore[no-any-return]

    rows = []
    for system, runs in results.items():
        hyps = runs[-1]["hyps"]
        same = sum(a == b for a, b in zip(hyps, ours[-1]["hyps"], strict=True)) / len(refs)
        rows.append(
            [
                system,
                f"{harness.median(runs, rate):.1f}",
                f"{harness.median(runs, lambda r: len(refs) / r['wall']):.1f}",
                f"{harness.median(runs, lambda r: r['gib']):.2f}",
                f"{bleu(hyps, [refs]).value:.2f}",
                f"{same:.1%}",
                f"{harness.ratio(ours, runs, rate):.2f}",
            ]
        )
    header = ["system", "lines/CPU s", "lines/s", "peak GiB", "BLEU", f"as {first}", f"{first} / it"]
    return harness.table(header, rows)


def options() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    systems = ["tx", "ctranslate2", "ctranslate2+int8", "opennmt", "transformers"]
    parser = harness.shared_options("Compare the speed of translating.", systems)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="a tx package: a Transformer with pre-norm")
    add("--test", default="test_2016_flickr", help="the test set: its files without the suffix")
    add("--lines", type=int, default=1000, help="lines of it to translate")
    add("--beam-size", type=int, nargs="+", default=[1, 5], help="one table for each")
    add("--batch", action="append", default=[], metavar="NAME=N", help="another batch size for a system")
    return parser, parser.parse_args()


def main() -> None:
    parser, args = options()
    pythons = harness.interpreters(parser, args, SETTINGS)
    args.work.mkdir(parents=True, exist_ok=True)
    paths = [args.data / f"{args.test}.{language}" for language in (args.src, args.tgt)]
    lines, refs = (path.read_text("utf-8").split("\n")[:-1][: args.lines] for path in paths)
    shape, src, tgt = export(args.model, args.work)
    pieces = [src.encode_pieces(line) for line in lines]
    batch = {name: int(size) for name, size in (pair.split("=", 1) for pair in args.batch)}
    print(harness.machine(args.core), file=sys.stderr)
    for beam_size in args.beam_size:
        results: dict[str, list[Result]] = {system: [] for system in args.systems}
        for turn, system in harness.take_turns(args.systems, args.rounds):
            name = system.split("+")[0]
            job = {**shape, "name": f"beam{beam_size}", "beam_size": beam_size, "seed": turn + 1}
            job |= {"sources": lines if name == "tx" else pieces, "batch": batch.get(name, 0)}
            result = harness.run(system, SCRIPTS[name], pythons[name], job, args)
            if name != "tx":
                result["hyps"] = [tgt.decode_pieces(hyp.split(" ")) if hyp else "" for hyp in result["hyps"]]
            results[system].append(result)
            rate, busy = len(lines) / result["cpu"], result["cpu"] / result["wall"]
            print(f"round {turn + 1}: {system}: {rate:.1f} lines/CPU s, {busy:.0%} CPU", file=sys.stderr)
        if args.json:
            args.json = args.json.with_stem(f"{args.json.stem}-beam{beam_size}")
        harness.save(args, shape, results)
        print(f"beam {beam_size}: {len(lines)} lines of {args.test}, median of {args.rounds} rounds\n")
        print(
            report(results, refs),
            "",
            *(f"{s}: {runs[-1]['versions']}" for s, runs in results.items()),
            "",
            sep="\n",
        )


if __name__ == "__main__":
    main()
