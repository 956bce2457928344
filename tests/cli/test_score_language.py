"""Scores of lines and of running text, against the model's own steps."""

import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from languages import ALPHABET, MODELS, keep, random_model, tokenizer_of
from tx.cli.app import main
from tx.decode.generate import Context, TorchLM
from tx.evaluation import perplexity
from tx.evaluation.perplexity import RunningText, score_lines
from tx.package import Package
from tx.text.incremental import encode_text

LINES = ["my name is Jack", "", "a", "my name are Jack", "ROMEO: thou shalt, 3 (0) times." * 3]


def stepwise(model: Any, ids: list[int]) -> list[float]:
    """The log-probability of each id after those before it, as generating goes on."""
    text, logprobs = Context(TorchLM(model), getattr(model.config, "max_len", None)), []
    for before, id in zip([0, *ids[:-1]], ids, strict=True):
        logits = torch.from_numpy(text.feed([before])).double()
        logprobs.append(float(logits.log_softmax(-1)[id]))
    return logprobs


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("limit", [1, 1 << 23])
def test_a_line_has_the_probability_with_which_it_is_generated(
    name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perplexity, "LOGITS", limit)
    monkeypatch.setattr(perplexity, "CHUNK", 20)
    model = random_model(name)
    for line, (logprob, n) in zip(LINES, score_lines(model, ALPHABET, LINES), strict=True):
        expected = stepwise(model, [*ALPHABET.encode(line), 0])
        assert n == len(expected) == len(line) + 1
        assert logprob == pytest.approx(sum(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["gru", "nplm", "transformer"])
def test_the_loss_of_running_text_is_that_of_its_streams(name: str) -> None:
    model = random_model(name)
    ids = np.array([0, *encode_text("\n".join(LINES * 5), ALPHABET)])
    text = RunningText(ids, ALPHABET, 12)
    assert (text.streams, text.n_tokens, text.n_characters) == (13, 13 * 49, 13 * 49)
    total = 0.0
    for stream in range(13):
        piece = ids[stream * 49 : stream * 49 + 50]
        pieces = [piece] if name != "transformer" else [piece[at : at + 13] for at in range(0, 49, 12)]
        for part in pieces:
            state = model.start(1)  # type: ignore[operator]
            for before, id in pairwise(part):
                logits, state = model.step(torch.tensor([before]), state)  # type: ignore[operator]
                total -= float(logits.detach().log_softmax(-1)[0, id])
    found = text.measure(model)
    assert found.loss == pytest.approx(total / 637, rel=1e-5)
    assert found.bits_per_character == pytest.approx(found.loss / math.log(2))
    assert found.perplexity == pytest.approx(math.exp(found.loss))


def test_bits_are_per_character_not_per_token() -> None:
    tokenizer = tokenizer_of("bpe")
    model = random_model("lstm", len(tokenizer))
    lines = ["They will eat a cake.", "größer", ""] * 9
    ids = [0, *encode_text("\n".join(lines), tokenizer)]
    text = RunningText(np.array(ids), tokenizer, 1000)
    nats = -sum(stepwise(model, ids[1:]))
    assert text.streams == 1 and text.n_characters == len("\n".join(lines)) > len(ids)
    assert text.measure(model).bits_per_character * text.n_characters * math.log(2) == pytest.approx(nats)


# --- the commands ---


@pytest.fixture
def tx(monkeypatch: pytest.MonkeyPatch, capfdbinary: Any, tmp_path: Path) -> Any:
    def run(*words: str, stdin: str = "") -> tuple[int, str, str]:
        (tmp_path / "stdin").write_text(stdin)
        monkeypatch.setenv("TX_HOME", str(tmp_path))
        monkeypatch.setattr(sys, "argv", ["tx", *words])
        status = 0
        with (tmp_path / "stdin").open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            try:
                main()
            except SystemExit as exit:
                status = int(exit.code or 0)
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return run


def test_score_prints_a_number_for_each_line(tx: Any, tmp_path: Path) -> None:
    model = random_model("gru")
    name = str(keep(tmp_path / "bard", model))
    status, out, err = tx("score", "-m", name, stdin="\n".join(LINES))
    scores = score_lines(model, ALPHABET, LINES)
    assert status == 0
    assert [float(line) for line in out.splitlines()] == pytest.approx([s for s, _ in scores], abs=1e-5)
    nats, characters = -sum(s for s, _ in scores), sum(len(line) + 1 for line in LINES)
    assert f"5 lines, {characters} characters" in err
    assert f"{nats / characters / math.log(2):.4f} bits per character" in err
    (tmp_path / "text").write_text("\n".join(LINES) + "\n")
    assert tx("score", "-m", name, str(tmp_path / "text"))[1] == out
    records = [json.loads(line) for line in tx("score", "-m", name, "--json", stdin="ab\n\n")[1].splitlines()]
    assert [(r["tokens"], r["characters"]) for r in records] == [(3, 3), (1, 1)]
    assert tx("score", "-m", name, stdin="")[0] == 1


def test_score_without_a_model_needs_references(tx: Any) -> None:
    status, _, err = tx("score")
    assert status == 2 and "reference" in err


def test_evaluate_stores_the_scores(tx: Any, tmp_path: Path) -> None:
    model = random_model("transformer")
    name = str(keep(tmp_path / "bard", model))
    (tmp_path / "text").write_text("\n".join(LINES * 5) + "\n")
    status, out, err = tx("evaluate", "-m", name, str(tmp_path / "text"), "--json")
    document = json.loads(out)
    assert (status, err) == (0, "")
    ids = np.array([0, *encode_text("\n".join(LINES * 5) + "\n", ALPHABET)])
    expected = RunningText(ids, ALPHABET, 12).measure(model)
    values = {score["metric"]: score["value"] for score in document["scores"]}
    assert values == pytest.approx(
        {
            "loss": expected.loss,
            "bits per character": expected.bits_per_character,
            "perplexity": expected.perplexity,
        }
    )
    stored = Package.open(tmp_path / "bard").scores
    assert [(s["metric"], s["data"]) for s in stored] == [(m, "text") for m in values]
    assert tx("evaluate", "-m", name, str(tmp_path / "text"), "-b", "3")[0] == 2
    (tmp_path / "empty").write_text("")
    assert tx("evaluate", "-m", name, str(tmp_path / "empty"))[0] == 1
