"""`tx explain` and `tx plot positions`, against direct computation."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from small import demo_pairs, demo_tokenizer, random_translator
from training import fork_tx, model
from tx.cli.plot_positions import spread
from tx.decode.config import DecodeConfig
from tx.decode.sampling import Sampling
from tx.decode.translate import SearchOptions, Translator
from tx.errors import UsageError
from tx.inspect.explain import explain
from tx.inspect.positions import LAYOUTS, encodings, similarity
from tx.models.rnn import Config, EncoderDecoder
from tx.plots.positions import draw_positions

LINE = demo_pairs()[0].english
DECODE = DecodeConfig(beam_size=4)


# --- explain ---


def test_results_and_scores_are_those_of_each_search() -> None:
    translator = random_translator()
    found = explain(translator, DECODE, LINE, samples=2, seed=7)
    named = {result.search: result for result in found.results}
    assert list(named) == ["greedy", "beam 4", "beam 4, no. 2", "beam 4, no. 3", "sample 7", "sample 8"]
    (greedy,) = translator.translate([LINE], SearchOptions(DecodeConfig(beam_size=1)))
    (beam,) = translator.translate([LINE], SearchOptions(DECODE, 3))
    (drawn,) = translator.translate([LINE], SearchOptions(DECODE, sampling=Sampling(seed=8)))
    assert named["greedy"].text == greedy.text and named["sample 8"].text == drawn.text
    assert [named[name].text for name in list(named)[1:4]] == beam.texts
    assert named["beam 4"].score == pytest.approx(beam.hypotheses[0].score)
    for choice, hypothesis in (
        (named["greedy"], greedy.hypotheses[0]),
        (named["sample 8"], drawn.hypotheses[0]),
    ):
        assert choice.score == pytest.approx(choice.logprob / (len(hypothesis.ids) + 1))
    assert found.maps.translation == beam.text and found.maps.logprob == pytest.approx(
        named["beam 4"].logprob, rel=1e-4
    )


def test_the_strongest_attention_is_the_largest_weight() -> None:
    found = explain(random_translator(), DECODE, LINE, samples=0)
    assert list(found.strongest) == ["cross 1", "encoder 1", "decoder 1"]
    for name, seen in found.strongest.items():
        kind = name.split()[0]
        weights = found.maps.weights[kind][0].mean(0)
        rows, columns = found.maps.queries_and_keys(kind)
        assert [a.place for a in seen] == weights.argmax(1).tolist() and len(seen) == len(rows.pieces)
        assert [a.weight for a in seen] == pytest.approx(weights.max(1).tolist())
        assert [a.piece for a in seen] == [columns.pieces[a.place] for a in seen]


def test_a_model_without_attention_can_be_explained() -> None:
    tokenizer = demo_tokenizer()
    config = Config(len(tokenizer), len(tokenizer), d_embedding=4, d_model=4, attention="none", max_len=60)
    translator = Translator(EncoderDecoder(config), tokenizer, tokenizer, torch.device("cpu"))
    found = explain(translator, DecodeConfig(beam_size=1), LINE)
    assert found.strongest == {} and found.maps.weights == {}
    assert "beam 5" in [result.search for result in found.results]
    document = json.loads(json.dumps(found.as_json(2)))
    assert document["steps"][0]["looks_at"] == {} and len(document["steps"]) == 2


def test_tx_explain_shows_every_part(tmp_path: Path) -> None:
    words = [
        "explain",
        "-m",
        str(model()),
        "They eat a cake.",
        "--steps",
        "2",
        "--top",
        "3",
        "--samples",
        "1",
    ]
    done = fork_tx(words)
    assert done.status == 0, done.err
    for part in (
        "Source pieces and their strongest attention",
        "step 2, after",
        "top 3 ",
        "cross",
        "decoder",
        "greedy\t",
        "sample 1\t",
    ):
        assert part in done.out
    assert "step 3" not in done.out
    document = json.loads(fork_tx([*words, "--json"]).out)
    assert document["source"] == "They eat a cake." and len(document["steps"]) == 2
    assert document["pieces"][-1]["piece"] == "</s>" and document["pieces"][-1]["id"] == 0
    for step in document["steps"]:
        probabilities = [c["probability"] for c in step["candidates"][:3]]
        assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) <= 1
        assert set(step["looks_at"]) == {"cross 1", "decoder 1"}
    assert fork_tx([*words[:3], "  "]).status == 1
    for source in ([], ["-"]):
        piped = fork_tx([*words[:3], *source, *words[4:], "--json"], stdin=b"They eat a cake.\nMore.\n")
        assert json.loads(piped.out) == document and "only the first line" in piped.err
    assert "there is no sentence on stdin" in fork_tx(words[:3]).err


# --- positions ---


@given(st.integers(2, 30), st.sampled_from([2, 8, 64, 512]))
@settings(max_examples=25, deadline=None)
def test_similarity_is_the_mean_cosine_of_the_frequencies(length: int, d_model: int) -> None:
    half = d_model // 2
    for layout, table in encodings(length, d_model).items():
        assert table.shape == (length, d_model)
        spacing = half if layout == "interleaved" else max(half - 1, 1)
        frequencies = [10000.0 ** (-i / spacing) for i in range(half)]
        expected = [sum(math.cos(k * w) for w in frequencies) / half for k in range(length)]
        assert np.allclose(similarity(table), expected, atol=1e-5)
        products = table @ table.T / half
        assert all(np.ptp(np.diagonal(products, k)) < 1e-4 for k in range(length)), (
            "distance is all that counts"
        )


@given(st.integers(1, 40).map(lambda n: 2 * n), st.integers(2, 60), st.booleans())
def test_omitted_dimensions_leave_pairs_intact(d_model: int, width: int, in_pairs: bool) -> None:
    kept = spread(d_model, width, in_pairs)
    assert kept == sorted(set(kept)) and 0 < len(kept) <= width and kept[0] >= 0 and kept[-1] < d_model
    assert len(kept) >= min(width, d_model) - 1
    if in_pairs:
        assert all(a % 2 == 0 and b == a + 1 for a, b in zip(kept[::2], kept[1::2], strict=True))


def test_the_figure_shows_both_layouts_and_the_curve() -> None:
    first, second, curve = draw_positions(encodings(20, 512)).axes
    assert first.get_title(loc="left").startswith("interleaved") and second.get_images()
    assert [line.get_label() for line in curve.get_lines()] == list(LAYOUTS)
    with pytest.raises(UsageError, match="must be even"):
        encodings(3, 5)


def positions(*words: str) -> Any:
    return fork_tx(["plot", "positions", *words])


def test_tx_plot_positions(tmp_path: Path) -> None:
    done = positions("--d-model", "512", "--length", "20")
    assert done.status == 0, done.err
    assert done.out.count("\n") == 2 * 22 + 21
    document = json.loads(
        positions("--d-model", "4", "--length", "3", "--layout", "interleaved", "--json").out
    )
    assert document["layouts"]["interleaved"]["encoding"][1] == pytest.approx(
        [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)], abs=1e-6
    )
    assert list(document["layouts"]) == ["interleaved"]
    assert positions("-o", str(tmp_path / "a.png")).status == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    for words in (["--d-model", "5"], ["--layout", "mixed"], ["-o", "a.txt"], ["--length", "1"]):
        assert positions(*words).status == 2
