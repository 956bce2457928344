"""Speed and final loss of training a character language model on one thread.

    python benchmarks/language_training.py --text shakespeare.txt              # speed, in a few minutes
    python benchmarks/language_training.py --text shakespeare.txt --validate   # whole runs

Two models: `gpt`, of the shape and budget of nanoGPT's settings for a CPU, and `lstm`, two layers of 256 units. tx is
set beside plain PyTorch loops of the same shape, batches and optimizer; the first 90 % of the text are trained on,
and the rest is what `--validate` measures, where tx takes the learning rate of its recipes, and the plain loops what
is usual. Rates count the characters of the updates, per second of CPU time. On processors that have bfloat16 tx
uses it; `tx+float32` does not.
"""

import argparse
import sys
from pathlib import Path

import harness
from harness import Job, Result

SCRIPTS = {"tx": "language_tx.py", "bare": "bare_language.py"}
SETTINGS: dict[str, set[str]] = {"tx": {"float32"}, "bare": {"malloc", "onednn"}}
MODELS: dict[str, Job] = {
    "gpt": {
        **{"d_model": 128, "d_ff": 512, "n_layers": 4, "n_heads": 4, "dropout": 0.0},
        **{
            "batch_size": 12,
            "seq_len": 64,
            "lr": {"tx": 3e-3, "bare": 1e-3},
            "warmup_steps": 100,
            "max_steps": 2000,
            "ema": 0.99,
        },
        **{"weight_decay": 0.1, "beta2": 0.99, "clip_norm": 1.0, "warmup": 20, "steps": 200},
    },
    "lstm": {
        **{"d_model": 256, "d_embedding": 256, "n_layers": 2, "dropout": 0.2},
        **{
            "batch_size": 64,
            "seq_len": 128,
            "lr": {"tx": 8e-3, "bare": 2e-3},
            "warmup_steps": 50,
            "max_steps": 580,
            "ema": 0.99,
        },
        **{"weight_decay": 0.01, "beta2": 0.99, "clip_norm": 1.0, "warmup": 3, "steps": 20},
    },
}


def rate(result: Result) -> float:
    return result["tgt_tokens"] / result["cpu"]  # type: ignore[no-any-return]


def report(results: dict[str, list[Result]]) -> str:
    """Medians over the rounds, and how many times as fast the first system is as each."""
    first, ours = next(iter(results.items()))
    columns = {
        "chars/CPU s": (rate, ",.0f"),
        "updates/CPU s": (lambda r: r["steps"] / r["cpu"], ".2f"),
        "chars/s": (lambda r: r["tgt_tokens"] / r["wall"], ",.0f"),
        "CPU s": (lambda r: r["cpu"], ".0f"),
        "peak GiB": (lambda r: r["gib"], ".2f"),
        "loss": (lambda r: r["loss"], ".3f"),
        "validation": (lambda r: r["valid"], ".4f"),
        "parameters": (lambda r: r["parameters"], ",.0f"),
    }
    rows = [
        [
            system,
            *(format(harness.median(runs, value), form) for value, form in columns.values()),
            f"{harness.ratio(ours, runs, rate):.2f}",
        ]
        for system, runs in results.items()
    ]
    return harness.table(["system", *columns, f"{first} / it"], rows)


def arguments() -> argparse.Namespace:
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0], formatter_class=style)
    add = parser.add_argument
    add("--text", type=Path, required=True, help="any UTF-8 text")
    add("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    add("--systems", nargs="+", default=["tx", "tx+float32", "bare", "bare+malloc+onednn"])
    add("--validate", action="store_true", help="train to the end and measure the validation text, too")
    add("--steps", type=int, help="updates that are measured, or that a whole run has")
    add("--rounds", type=int, default=3, help="turns each system gets; the median counts")
    add("--core", type=int, default=0, help="the processor core everything is pinned to")
    add("--work", type=Path, default=Path("/tmp/tx-benchmarks"), help="folder for what is made on the way")
    add("--json", type=Path, help="also write every single measurement to this file")
    args = parser.parse_args()
    args.peer = []
    args.pythons = harness.interpreters(parser, args, SETTINGS)
    args.work.mkdir(parents=True, exist_ok=True)
    return args


def job_of(kind: str, args: argparse.Namespace) -> Job:
    job: Job = {**MODELS[kind], "name": kind, "kind": kind, "text": str(args.text.resolve())}
    job["validate"] = args.validate
    if args.validate:
        job["max_steps"] = args.steps or job["max_steps"]
        job |= {"warmup": 1, "steps": job["max_steps"] - 1}
    elif args.steps:
        job["steps"] = args.steps
    return job


def main() -> None:
    args = arguments()
    print(harness.machine(args.core), file=sys.stderr)
    everything: dict[str, list[Result]] = {}
    for kind in args.models:
        job = job_of(kind, args)
        results: dict[str, list[Result]] = {system: [] for system in args.systems}
        for turn, system in harness.take_turns(args.systems, args.rounds):
            name = system.split("+")[0]
            own = {"seed": turn + 1, "lr": job["lr"][name]}
            result = harness.run(system, SCRIPTS[name], args.pythons[name], {**job, **own}, args)
            results[system].append(result)
            busy = result["cpu"] / result["wall"]
            told = f"round {turn + 1}: {kind}: {system}: {rate(result):,.0f} characters/CPU s, {busy:.0%} CPU"
            print(told, file=sys.stderr)
        everything |= {f"{kind} {system}": runs for system, runs in results.items()}
        shape = ", ".join(f"{key.replace('_', ' ')} {MODELS[kind][key]}" for key in MODELS[kind])
        print(f"\n{kind}: {job['steps']} updates, median of {args.rounds} rounds; {shape}\n")
        print(report(results))
    harness.save(args, {kind: job_of(kind, args) for kind in args.models}, everything)


if __name__ == "__main__":
    main()
