"""Speed of training a translator on one thread, with equal text, pieces, shape and dropout.

    python benchmarks/translation_training.py --data multi30k \\
        --peer opennmt=/envs/opennmt/bin/python --peer joey=/envs/joey/bin/python

The text is cut into the pieces of one joint BPE, and every system gets these. Rates are per second of CPU
time and of wall time, and count the tokens of the text: source pieces, and target pieces with the end of
sentence. Padding never counts.
"""

import sys
from pathlib import Path

import harness
from harness import Job, Result

from tx.text.fit_tokenizer import train_tokenizer_package
from tx.text.load_tokenizer import open_tokenizers

SETTINGS = {
    "tx": {"malloc"},
    "bare": {"malloc", "onednn"},
    "opennmt": {"malloc", "onednn"},
    "joey": {"malloc", "onednn"},
}
SCRIPTS = {
    "tx": "train_tx.py",
    "bare": "bare_loop.py",
    "opennmt": "train_opennmt.py",
    "joey": "train_joey.py",
}


def prepare(data: Path, src: str, tgt: str, vocab_size: int, work: Path) -> dict[str, str]:
    """Learn one joint BPE with tx, and write the training text for the others in its pieces.

    In `work`: `raw.src` and `raw.tgt`, the pairs without a blank side; `train.src` and `train.tgt`, the same
    in pieces; `vocab`, the pieces; `bpe`, the tokenizer package.
    """
    sides = [(data / f"train.{language}").read_text("utf-8").split("\n")[:-1] for language in (src, tgt)]
    pairs = [pair for pair in zip(*sides, strict=True) if all(map(str.strip, pair))]
    paths = {
        f"{kind}_{side}": str(work / f"{kind}.{side}") for kind in ("raw", "train") for side in ("src", "tgt")
    }
    for column, side in enumerate(("src", "tgt")):
        Path(paths[f"raw_{side}"]).write_text("".join(pair[column] + "\n" for pair in pairs), "utf-8")
    raw = [paths["raw_src"], paths["raw_tgt"]]
    bpe, _ = open_tokenizers(train_tokenizer_package("bpe", raw, vocab_size, work / "bpe", overwrite=True))
    for column, side in enumerate(("src", "tgt")):
        rows = (" ".join(bpe.encode_pieces(pair[column])) + "\n" for pair in pairs)
        Path(paths[f"train_{side}"]).write_text("".join(rows), "utf-8")
    special = {bpe.eos_id, bpe.unk_id, bpe.pad_id}
    pieces = [bpe.piece(id) for id in range(len(bpe)) if id not in special]
    (work / "vocab").write_text("".join(piece + "\n" for piece in pieces), "utf-8")
    return paths | {"bpe": str(work / "bpe"), "vocab": str(work / "vocab")}


def tgt_rate(result: Result) -> float:
    return result["tgt_tokens"] / result["cpu"]  # type: ignore[no-any-return]


def both(result: Result) -> float:
    return result["src_tokens"] + result["tgt_tokens"]  # type: ignore[no-any-return]


def report(results: dict[str, list[Result]]) -> str:
    """Medians over the rounds, and how many times as fast the first system is as each."""
    first, ours = next(iter(results.items()))
    columns = {
        "tgt/CPU s": (tgt_rate, ".0f"),
        "tgt/s": (lambda r: r["tgt_tokens"] / r["wall"], ".0f"),
        "src+tgt/CPU s": (lambda r: both(r) / r["cpu"], ".0f"),
        "src+tgt/s": (lambda r: both(r) / r["wall"], ".0f"),
        "peak GiB": (lambda r: r["gib"], ".2f"),
        "tgt/update": (lambda r: r["tgt_tokens"] / r["steps"], ".0f"),
        "padding": (lambda r: 1 - r["filled"] / r["cells"], ".0%"),
        "loss": (lambda r: r["loss"], ".2f"),
        "parameters": (lambda r: r["parameters"], ",.0f"),
    }
    rows = [
        [
            system,
            *(format(harness.median(runs, value), form) for value, form in columns.values()),
            f"{harness.ratio(ours, runs, tgt_rate):.2f}",
        ]
        for system, runs in results.items()
    ]
    return harness.table(["system", *columns, f"{first} / it"], rows)


def main() -> None:
    systems = ["tx", "bare", "bare+malloc", "bare+malloc+onednn", "opennmt", "opennmt+malloc+onednn", "joey"]
    parser = harness.shared_options("Compare the speed of training a translator.", systems)
    add = parser.add_argument
    add("--steps", type=int, default=40, help="updates that are measured")
    add("--warmup", type=int, default=10, help="updates before them")
    add("--batch-tokens", type=int, default=4096, help="tokens of a batch's longer side, padding included")
    add("--arch", default="transformer", choices=["transformer", "rnn"])
    add("--n-encoder-layers", type=int, default=3)
    add("--n-decoder-layers", type=int, default=3)
    add("--d-model", type=int, default=256)
    add("--d-ff", type=int, default=1024)
    add("--n-heads", type=int, default=4)
    add("--n-layers", type=int, default=1, help="rnn: layers of the encoder, and of the decoder")
    add("--cell", default="lstm", choices=["lstm", "gru"], help="rnn: the recurrent unit")
    add("--attention", default="luong", choices=["luong", "bahdanau"], help="rnn: the attention")
    add("--input-feeding", action="store_true", help="rnn: the last attentional vector is read, too")
    add("--vocab-size", type=int, default=8000)
    add("--dropout", type=float, default=0.1, help="on embeddings and on each sublayer's output")
    add("--attention-dropout", type=float, default=0.0, help="on attention weights")
    add("--hidden-dropout", type=float, default=0.0, help="inside the feed-forward layers")
    args = parser.parse_args()
    pythons = harness.interpreters(parser, args, SETTINGS)
    args.work.mkdir(parents=True, exist_ok=True)
    told = ("arch", "steps", "warmup", "batch_tokens", "d_model")
    transformer = ("d_ff", "n_heads", "n_encoder_layers", "n_decoder_layers")
    recurrent = ("n_layers", "cell", "attention", "input_feeding")
    dropouts = ("dropout", "attention_dropout", "hidden_dropout")
    job: Job = {name: getattr(args, name) for name in (*told, *transformer, *recurrent, *dropouts)}
    job |= {"name": "training", "activation": "relu", "label_smoothing": 0.1, "lr": 5e-4, "clip_norm": 1.0}
    job |= prepare(args.data, args.src, args.tgt, args.vocab_size, args.work)
    print(harness.machine(args.core), file=sys.stderr)
    results: dict[str, list[Result]] = {system: [] for system in args.systems}
    for turn, system in harness.take_turns(args.systems, args.rounds):
        name = system.split("+")[0]
        result = harness.run(system, SCRIPTS[name], pythons[name], {**job, "seed": turn + 1}, args)
        results[system].append(result)
        busy = result["cpu"] / result["wall"]
        print(
            f"round {turn + 1}: {system}: {tgt_rate(result):.0f} target tokens/CPU s, {busy:.0%} CPU",
            file=sys.stderr,
        )
    harness.save(args, job, results)
    settings = ", ".join(f"{name.replace('_', ' ')} {job[name]}" for name in (*told[2:], *dropouts))
    print(f"{args.steps} updates after {args.warmup}, median of {args.rounds} rounds; {settings}\n")
    print(
        report(results),
        "",
        *(f"{system}: {runs[-1]['versions']}" for system, runs in results.items()),
        sep="\n",
    )


if __name__ == "__main__":
    main()
