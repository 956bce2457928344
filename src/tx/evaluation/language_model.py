"""Evaluating a language model: its loss on text, in nats per token and bits per character, and its perplexity."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tx.errors import TxError
from tx.evaluation.perplexity import RunningText, load_language_model
from tx.evaluation.report import Report, record
from tx.package import Package
from tx.text.incremental import encode_text
from tx.text.lines import read_lines

COLUMNS = ("data", "nats/token", "bits/character", "perplexity", "characters")


def evaluate(package: Package, files: Sequence[str], *, device: str = "auto", threads: int = 0) -> Report:
    """Compute the loss and the perplexity on each file. Raises TxError for an empty file."""
    model, tokenizer = load_language_model(package.path, device, threads)
    seq_len = package.config.get("max_len") or 256
    records, rows = [], []
    for file in files:
        lines = list(read_lines(file))
        if not lines:
            raise TxError(f"{file} is empty", "give text to evaluate the model on")
        ids = np.array([tokenizer.eos_id, *encode_text("\n".join([*lines, ""]), tokenizer)])
        text, name = RunningText(ids, tokenizer, seq_len), Path(file).name
        score = text.measure(model)
        signature = f"tokens:{text.n_tokens}|streams:{text.streams}|length:{seq_len}"
        bits, perplexity = score.bits_per_character, score.perplexity
        values = {"loss": score.loss, "bits per character": bits, "perplexity": perplexity}
        records += [record(metric, value, signature, name) for metric, value in values.items()]
        shown = f"{score.loss:.4f}", f"{bits:.4f}", f"{perplexity:.3f}"
        rows.append((name, *shown, f"{text.n_characters:,}"))
    return Report(records, {"model": package.name, "scores": records}, COLUMNS, rows)
