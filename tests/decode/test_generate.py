"""Generating: numpy against torch, texts longer than a context, stops, penalties, and text piece by piece."""

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from languages import ALPHABET, MODELS, keep, random_model, tokenizer_of
from tx.decode.generate import (
    Context,
    GenerationOptions,
    LanguageModel,
    TorchLM,
    open_language_model,
    until_stop,
)
from tx.decode.numpy_lm import load_numpy_model
from tx.decode.sampling import Sampling
from tx.errors import TxError
from tx.models import load_architecture
from tx.package import Package
from tx.text.incremental import IncrementalDecoder, decode_text, encode_text
from tx.text.tokenizer import KINDS

every_model = pytest.mark.parametrize("name", MODELS)
IDS = [0, *(3 + i * i % 41 for i in range(60))]


def opened(name: str, folder: Path) -> tuple[Any, LanguageModel]:
    model = random_model(name)
    return model, open_language_model(keep(folder / "model", model))


def by_torch(model: Any) -> LanguageModel:
    return LanguageModel(TorchLM(model), ALPHABET, getattr(model.config, "max_len", None))


def text_of(model: LanguageModel, prompt: str, options: GenerationOptions, **more: int) -> str:
    return "".join(next(model.generate(prompt, options, **more)))


# --- the same model ---


@every_model
def test_numpy_gives_the_logits_of_the_model(name: str, tmp_path: Path) -> None:
    model, _ = opened(name, tmp_path)
    n = getattr(model.config, "max_len", 40)
    reader, state = load_numpy_model(Package.open(tmp_path / "model")), model.start(1)
    with torch.inference_mode():
        for ids in (IDS[:1], IDS[1:4], IDS[4:5], IDS[5:7], IDS[7:n]):
            if ids:
                logits, state = model.feed(torch.tensor([ids]), state)
                found = reader.feed(ids)
                assert found.dtype == np.float32
                assert np.abs(found - logits[0].numpy()).max() < 1e-5 * max(1, float(logits.abs().max()))
                assert float(logits.std()) > 0.05


@every_model
def test_units_are_those_of_the_last_token(name: str, tmp_path: Path) -> None:
    opened(name, tmp_path)
    at_once, one_by_one = (load_numpy_model(Package.open(tmp_path / "model")) for _ in range(2))
    at_once.feed(IDS[:7])
    for id in IDS[:7]:
        one_by_one.feed([id])
    assert [u.shape for u in at_once.activations] == [u.shape for u in one_by_one.activations]
    assert all(
        np.allclose(a, b, atol=1e-5) for a, b in zip(at_once.activations, one_by_one.activations, strict=True)
    )


@every_model
def test_a_fork_goes_its_own_way(name: str, tmp_path: Path) -> None:
    _, model = opened(name, tmp_path)
    text, twin = Context(model.empty, model.max_len), Context(model.empty, model.max_len)
    text.feed(IDS[:5])
    twin.feed(IDS[:5])
    fork = text.copy()
    fork.feed([9, 9, 9])
    assert np.array_equal(text.feed([5]), twin.feed([5]))


def test_every_setting_of_a_model_is_one_that_numpy_knows() -> None:
    """A new one must be taught to `numpy_lm`, and put here."""
    known = {
        "rnn_lm": "vocab_size cell d_model n_layers d_embedding dropout tie_embeddings",
        "nplm": "vocab_size order d_embedding d_model direct dropout",
        "transformer_lm": "vocab_size max_len d_model d_ff n_heads n_layers dropout attention_dropout activation "
        "positions tie_embeddings",
    }
    for arch, names in known.items():
        assert [f.name for f in dataclasses.fields(load_architecture(arch).Config)] == names.split()


# --- the same text ---


@every_model
@pytest.mark.parametrize("sampling", [Sampling(seed=5), Sampling(0.0), Sampling(0.7, 5, 0.8)])
def test_numpy_and_torch_write_the_same_text(name: str, sampling: Sampling, tmp_path: Path) -> None:
    model, ours = opened(name, tmp_path)
    options = GenerationOptions(60, sampling)
    for prompt in ("", "ROMEO:", "ab\nc" * 9):
        assert text_of(ours, prompt, options) == text_of(by_torch(model), prompt, options)


def test_seeds_lines_and_samples_draw_differently_and_repeatably(tmp_path: Path) -> None:
    _, model = opened("lstm", tmp_path)

    def texts(seed: int, line: int) -> list[str]:
        return [
            "".join(t) for t in model.generate("a", GenerationOptions(12, Sampling(seed=seed)), line, n=2)
        ]

    found = [text for seed, line in product((1, 2), (0, 1)) for text in texts(seed, line)]
    assert len(set(found)) == 8
    assert texts(1, 0) == found[:2]


@pytest.mark.parametrize("name", ["transformer", "transformer sinusoids"])
def test_a_full_context_goes_on_from_its_last_half(name: str, tmp_path: Path) -> None:
    model, ours = opened(name, tmp_path)
    max_len = model.config.max_len
    hop = max_len - max_len // 2
    text = Context(ours.empty, max_len)
    for n in range(1, len(IDS) + 1):
        logits = text.feed(IDS[n - 1 : n])
        start = max(0, -(-(n - max_len) // hop) * hop)
        assert n - start <= max_len
        with torch.inference_mode():
            expected = model.feed(torch.tensor([IDS[start:n]]), model.start(1))[0][0].numpy()
        assert np.abs(logits - expected).max() < 1e-4
        block = Context(ours.empty, max_len)
        assert np.abs(block.feed(IDS[:n]) - expected).max() < 1e-4


def test_greedy_takes_the_likeliest_and_never_unk(tmp_path: Path) -> None:
    model = random_model("gru")
    with torch.no_grad():
        model.output_bias[ALPHABET.unk_id] += 100
    text, state, ids = text_of(by_torch(model), "", GenerationOptions(30, Sampling(0.0))), model.start(1), [0]
    with torch.inference_mode():
        for _ in range(30):
            logits, state = model.step(torch.tensor(ids[-1:]), state)
            logits[0, ALPHABET.unk_id] = -1e9
            ids.append(int(logits.argmax()))
    assert text == decode_text(ids[1:], ALPHABET)


# --- penalty and stops ---


def test_repetition_penalty_is_ctrl_s() -> None:
    class Fixed:
        """The same logits always."""

        activations: ClassVar[list[Any]] = []

        def feed(self, ids: Any) -> Any:
            logits = np.full(len(ALPHABET) - 1, -50.0, np.float32)
            logits[2:5] = 1.2, 1.1, 1.0  # " ", "!" and "'"
            logits[5] = -0.1  # "("
            return logits

        def copy(self) -> Any:
            return self

    model = LanguageModel(Fixed(), ALPHABET)
    greedy = Sampling(0.0)
    assert text_of(model, "", GenerationOptions(4, greedy)) == "    "
    assert text_of(model, "", GenerationOptions(4, greedy, 1.3)) == " !' "  # 1.2 > 1.1 > 1.0 > 0.92
    assert text_of(model, " ", GenerationOptions(3, greedy, 1.3)) == "!' "  # the prompt counts
    assert text_of(model, "", GenerationOptions(5, greedy, 20)) == " !'  "  # 0.06 is still more than -0.1


@given(st.text("ab<", max_size=12), st.lists(st.text("ab<", min_size=1, max_size=3), max_size=3), st.data())
@settings(max_examples=300, deadline=None)
def test_text_ends_where_a_stop_begins(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    ends = [text.find(stop) for stop in stops if stop in text]
    shown = ""
    for read, out in shown_by(pieces, stops):
        shown += out
        held = read[len(shown) :]
        assert not held or any(stop.startswith(held) for stop in stops) or any(s in read for s in stops)
    assert "".join(until_stop(iter(pieces), stops)) == text[: min(ends, default=len(text))]


def test_a_stop_that_begins_earlier_is_awaited() -> None:
    assert "".join(until_stop(iter(["ab", "b"]), ["abb", "b"])) == ""
    assert "".join(until_stop(iter(["ab", "a"]), ["abb", "b"])) == "a"
    assert "".join(until_stop(iter(["ab"]), ["abb", "b"])) == "a"


def shown_by(pieces: list[str], stops: list[str]) -> Iterator[tuple[str, str]]:
    """What had been read when each part came out, and that part."""
    read: list[str] = []
    last = object()

    def reading() -> Iterator[str]:
        for piece in pieces:
            read.append(piece)
            yield piece
        read.append("")

    for out in until_stop(reading(), stops):
        if len(read) > len(pieces):
            last = None
        if last is not None:
            yield "".join(read), out


# --- text, piece by piece ---


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_of_text_join_to_the_text(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    texts = st.text(st.sampled_from("ab THEe.€𝄞é\n\u00a0'1"), max_size=30) | st.text(max_size=8)

    @given(texts, st.data())
    @settings(max_examples=150, deadline=None)
    def check(text: str, data: st.DataObject) -> None:
        ids = encode_text(text, tokenizer)
        expected = "\n".join(tokenizer.normalize(line) for line in text.split("\n"))
        assert decode_text(ids, tokenizer) == expected
        decoder = IncrementalDecoder(tokenizer)
        parts = [*(decoder.decode(id) for id in ids), decoder.flush()]
        assert "".join(parts) == expected
        if kind != "alphabet":
            assert not any("\ufffd" in part for part in parts) or "\ufffd" in expected
        cut = data.draw(st.integers(0, len(ids)))
        line = cut - (ids[:cut][::-1].index(tokenizer.eos_id) if tokenizer.eos_id in ids[:cut] else cut)
        decoder = IncrementalDecoder(tokenizer, ids[line:cut])
        rest = "".join([*(decoder.decode(id) for id in ids[cut:]), decoder.flush()])
        if "\ufffd" not in decode_text(ids[:cut], tokenizer):
            assert decode_text(ids[:cut], tokenizer) + rest == expected

    check()


def test_the_first_piece_after_a_prompt_keeps_its_space() -> None:
    for kind in ("bpe", "word", "wordpiece"):
        tokenizer = tokenizer_of(kind)
        before = tokenizer.encode("They will eat")
        after = tokenizer.encode("They will eat a cake")[len(before) :]
        decoder = IncrementalDecoder(tokenizer, before)
        assert "".join(map(decoder.decode, after)) == " a cake"


@given(st.lists(st.integers(0, 399), max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_ids_at_all_become_text(ids: list[int]) -> None:
    for kind in ("bpe", "wordpiece"):
        tokenizer = tokenizer_of(kind)
        chosen = [id for id in ids if id < len(tokenizer) - 1]
        decoder = IncrementalDecoder(tokenizer)
        text = "".join([*map(decoder.decode, chosen), decoder.flush()])
        assert text.count("\n") == decode_text(chosen, tokenizer).count("\n")


# --- packages ---


def test_a_package_of_parts_that_do_not_fit_is_refused(tmp_path: Path) -> None:
    model = random_model("lstm")
    model.config.d_model = 25
    with pytest.raises(TxError, match=r"weight_ih_l0 is \(96, 56\), and \(100, 56\) was expected"):
        open_language_model(keep(tmp_path / "wide", model))
    model = random_model("lstm")
    model.config.n_layers = 1
    with pytest.raises(TxError, match=r"layers.1.* and nothing was expected"):
        open_language_model(keep(tmp_path / "deep", model))
    model = random_model("lstm", vocab_size=40)
    with pytest.raises(TxError, match="tokenizer has 56 pieces"):
        open_language_model(keep(tmp_path / "few", model))
    model = random_model("lstm")
    with torch.no_grad():
        model.output_bias[3] = float("nan")
    with pytest.raises(TxError, match=r"output_bias in .* has values that are not finite"):
        open_language_model(keep(tmp_path / "nan", model))


@pytest.mark.parametrize(
    "key, value", [("cell", "tree"), ("d_model", "x"), ("n_layers", 10**9), ("d_model", None)]
)
def test_a_config_that_describes_no_model_is_refused(key: str, value: object, tmp_path: Path) -> None:
    model = random_model("lstm")
    setattr(model.config, key, value)
    with pytest.raises(TxError, match="config"):
        open_language_model(keep(tmp_path / "model", model))


def test_generating_needs_no_torch(tmp_path: Path) -> None:
    keep(tmp_path / "model", random_model("transformer"))
    code = (
        "import sys; from pathlib import Path; from tx.decode.generate import *;"
        f"m = open_language_model(Path({str(tmp_path / 'model')!r}));"
        "print(len(''.join(next(m.generate('a', GenerationOptions(20))))), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["20", "False"]
