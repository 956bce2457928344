"""`tx evaluate` for language models: how well they predict a text."""

from pathlib import Path
from typing import Any

from tx.cli import console
from tx.errors import TxError
from tx.package import Package, add_scores
from tx.text.lines import read_lines


def evaluate_language(
    package: Package,
    files: list[str],
    store: bool,
    as_json: bool,
    *,
    device: str = "auto",
    threads: int = 0,
) -> None:
    """Measure the loss on each of `files`: in nats a token, bits per character, and as perplexity."""
    import numpy as np

    from tx.evaluate.language import RunningText, open_model
    from tx.text.running import encode_text

    model, tokenizer = open_model(package.path, device, threads)
    seq_len = package.config.get("max_len") or 256
    records: list[dict[str, Any]] = []
    rows = []
    for file in files:
        lines = list(read_lines(file))
        ids = np.array([tokenizer.eos_id, *encode_text("\n".join([*lines, ""]), tokenizer)])
        if not lines:
            raise TxError(f"{file} is empty", "there is nothing to predict")
        text = RunningText(ids, tokenizer, seq_len)
        found, name = text.measure(model), Path(file).name
        signature = f"tokens:{text.n_tokens}|streams:{text.streams}|length:{seq_len}"
        records += [
            {"metric": metric, "value": value, "signature": signature, "data": name}
            for metric, value in (
                ("loss", found.loss),
                ("bits per character", found.bits_per_character),
                ("perplexity", found.perplexity),
            )
        ]
        row = (name, f"{found.loss:.4f}", f"{found.bits_per_character:.4f}", f"{found.perplexity:.3f}")
        rows.append((*row, f"{text.n_characters:,}"))
    if store:
        add_scores(package, records)
    if as_json:
        console.print_json({"model": package.name, "scores": records})
    else:
        console.print_table(["data", "nats/token", "bits/character", "perplexity", "characters"], rows)
