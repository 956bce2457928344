"""Lines in, lines out: one result a line, in order, whatever the lines are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from small import demo_pairs, demo_tokenizer, random_translator
from tx.data.batch import make_batch
from tx.decode import translate
from tx.decode.config import DecodeConfig
from tx.decode.sampling import Sampling
from tx.decode.translate import SearchOptions, Translator, open_translator
from tx.models import model_config, weights_of
from tx.package import WEIGHTS, write_package

LINES = [pair.english for pair in demo_pairs()[:12]]
BLANK = ["", " ", "\t  ", "\u00a0", "\u2028"]


def options(beam_size: int = 1, n_best: int = 1, sampling: Sampling | None = None) -> SearchOptions:
    return SearchOptions(DecodeConfig(beam_size=beam_size), n_best, sampling, with_scores=True)


SEARCHES = [options(1), options(4, 3), options(sampling=Sampling(seed=3))]
every_search = pytest.mark.parametrize("search", SEARCHES, ids=["greedy", "beam", "sampling"])


def logprob(translator: Translator, src: list[int], tgt: list[int]) -> float:
    """Of `tgt` and its `</s>`, one step after the other."""
    state = translator.model.start(make_batch([src], None, translator.src.pad_id, translator.tgt.pad_id))
    total, token = 0.0, translator.tgt.bos_id
    for following in [*tgt, translator.tgt.eos_id]:
        logits, state = translator.model.step(torch.tensor([token]), state)
        total += float(logits[0].double().log_softmax(-1)[following])
        token = following
    return total


def simple(result: translate.Translation) -> tuple[list[list[int]], list[str]]:
    return [h.ids for h in result.hypotheses], result.texts


# --- one line for each, in order ---


@every_search
@pytest.mark.parametrize("rows", [1, 5, 320])
def test_every_line_is_translated_as_if_alone_and_in_order(
    search: SearchOptions, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = random_translator()
    monkeypatch.setattr(translate, "BATCH_ROWS", rows)
    together = translator.translate(LINES, search)
    alone = [translator.translate([line], search, first_line=n)[0] for n, line in enumerate(LINES)]
    assert [simple(result) for result in together] == [simple(result) for result in alone]
    assert len({result.text for result in together}) > len(LINES) // 2  # else the order could not be seen
    cut = [*translator.translate(LINES[:5], search), *translator.translate(LINES[5:], search, first_line=5)]
    assert [simple(result) for result in cut] == [simple(result) for result in together]


@every_search
def test_blank_lines_stay_blank(search: SearchOptions) -> None:
    translator = random_translator()
    lines = [BLANK[0], LINES[0], *BLANK, LINES[1]]
    results = translator.translate(lines, search)
    assert [bool(result.text) for result in results] == [bool(line.strip()) for line in lines]
    assert [simple(results[1]), simple(results[-1])] == [
        simple(translator.translate([LINES[n]], search, first_line=at)[0]) for n, at in ((0, 1), (1, 7))
    ]
    assert translator.translate(BLANK, search) == [translate.Translation()] * len(BLANK)
    assert translator.translate([], search) == []


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=4))
@settings(max_examples=30, deadline=None)
def test_any_text_gives_one_result_a_line(lines: list[str]) -> None:
    results = random_translator(max_len=24).translate(lines, options(2))
    assert len(results) == len(lines)
    for line, result in zip(lines, results, strict=True):
        assert bool(result.hypotheses) == bool(line.strip())
        assert "\n" not in result.text


def test_the_batches_hold_every_line_once_and_keep_to_their_size() -> None:
    translator = random_translator()
    lengths = [(7 * i) % 200 for i in range(700)]
    for search in SEARCHES:
        batches = translator._batches(lengths, search)
        assert sorted(i for batch in batches for i in batch) == list(range(700))
        width = 1 if search.sampling else search.decode.beam_size
        for batch in batches:
            assert len(batch) * width <= translate.BATCH_ROWS
            assert len(batch) * width * (max(lengths[i] for i in batch) + 1) <= translate.BATCH_TOKENS


# --- overlong lines ---


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char", "word", "wordpiece"])
@given(length=st.integers(0, 300), max_len=st.sampled_from([2, 3, 4, 9, 24, 64]), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_parts_put_together_are_the_line(kind: str, length: int, max_len: int, seed: int) -> None:
    translator = random_translator(kind, max_len)
    text = " ".join(pair.english for pair in demo_pairs()[seed : seed + 30])
    ids = translator.src.encode(text)[:length]
    parts = translator._parts(ids)
    assert [id for part in parts for id in part] == ids
    room = max(1, max_len // 2 - 1)
    assert all(0 < len(part) <= room for part in parts) or parts == [[]]
    assert len(ids) > room or len(parts) == 1


def test_lines_are_cut_between_words() -> None:
    translator = random_translator(max_len=32)
    text = " ".join(LINES)
    parts = translator._parts(translator.src.encode(text))
    assert len(parts) > 4
    assert " ".join(translator.src.decode(part) for part in parts) == text
    assert max(map(len, parts)) - min(map(len, parts)) < 10


@every_search
def test_an_overlong_line_gives_one_result_from_its_parts(search: SearchOptions) -> None:
    translator = random_translator(max_len=40)
    long = " ".join(LINES)
    parts = [translator.src.decode(part) for part in translator._parts(translator.src.encode(long))]
    # In a sample each part of a line draws from the line's own numbers.
    alone = [translator.translate([part], search, first_line=1)[0] for part in parts]
    before, result, after = translator.translate([LINES[0], long, LINES[1]], search)
    assert result.n_parts == len(parts) > 2 and before.n_parts == after.n_parts == 1
    for i, (text, h) in enumerate(zip(result.texts, result.hypotheses, strict=True)):
        assert text == " ".join(part.texts[i] for part in alone)
        assert h.ids == [id for part in alone for id in part.hypotheses[i].ids]
        assert h.logprob == pytest.approx(sum(part.hypotheses[i].logprob for part in alone), abs=1e-3)


@pytest.mark.parametrize("max_len", [2, 3, 5])
def test_even_a_model_for_two_tokens_translates(max_len: int) -> None:
    (result,) = random_translator(max_len=max_len).translate([LINES[0]], options(2))
    assert result.n_parts > 1
    assert all(len(h.ids) <= (max_len - 1) * result.n_parts for h in result.hypotheses)


def never_ending(max_len: int = 200) -> Translator:
    """A translator whose model ends only where it is made to."""
    translator = random_translator(max_len=max_len)
    step = translator.model.step

    def reluctant(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, state = step(tokens, state)
        logits[:, translator.tgt.eos_id] -= 1000
        return logits, state

    translator.model.step = reluctant
    return translator


@pytest.mark.parametrize("beam_size", [1, 2])
def test_source_and_target_may_fill_the_model(beam_size: int) -> None:
    translator = never_ending(max_len=64)
    ids = translator.src.encode(" ".join(LINES))[:31]
    assert translator._parts(ids) == [ids]
    search = SearchOptions(DecodeConfig(beam_size=beam_size, max_len_ratio=9))
    (result,) = translator.translate([translator.src.decode(ids)], search)
    assert result.n_parts == 1 and len(result.hypotheses[0].ids) == 63  # and </s>


def test_limits_follow_the_length_of_each_source() -> None:
    translator = never_ending()
    search = SearchOptions(DecodeConfig(beam_size=2, max_len_ratio=1.5, max_len_extra=3))
    for line, result in zip(LINES, translator.translate(LINES, search), strict=True):
        assert len(result.hypotheses[0].ids) == int(1.5 * len(translator.src.encode(line))) + 3


# --- prefixes ---


@every_search
def test_a_prefix_starts_the_translation(search: SearchOptions) -> None:
    translator = random_translator()
    prefixes = [pair.german.rsplit(" ", 2)[0] for pair in demo_pairs()[:8]] + [""] * 4
    plain = translator.translate(LINES, search)
    forced = translator.translate(LINES, search, prefixes)
    for prefix, before, result in zip(prefixes, plain, forced, strict=True):
        assert result.texts
        assert all(text.startswith(prefix) for text in result.texts)
        assert bool(prefix) or simple(result) == simple(before)
    assert not any(
        before.text.startswith(prefix) for prefix, before in zip(prefixes[:8], plain, strict=False)
    )


def test_a_prefix_does_not_shorten_what_may_follow() -> None:
    translator = never_ending()
    prefix = demo_pairs()[0].german
    search = SearchOptions(DecodeConfig(beam_size=1, max_len_ratio=0, max_len_extra=2))
    (result,) = translator.translate([LINES[0]], search, [prefix])
    assert len(result.hypotheses[0].ids) == len(translator.tgt.encode(prefix)) + 2


def test_a_prefix_starts_the_first_part_only() -> None:
    translator = random_translator(max_len=40)
    prefix = "Nie zuvor"
    (result,) = translator.translate([" ".join(LINES)], options(2), [prefix])
    assert result.n_parts > 2
    assert result.text.startswith(prefix) and result.text.count(prefix) == 1


def test_a_prefix_longer_than_the_model_is_cut() -> None:
    translator = random_translator(max_len=12)
    prefix = " ".join(LINES)
    (result,) = translator.translate(["A cat."], options(2), [prefix])
    ids = result.hypotheses[0].ids
    assert ids[:10] == translator.tgt.encode(prefix)[:10] and len(ids) <= 11


# --- scores ---


@pytest.mark.parametrize("search", SEARCHES, ids=["greedy", "beam", "sampling"])
def test_log_probabilities_are_the_models_own(search: SearchOptions) -> None:
    translator = random_translator()
    for line, result in zip(LINES, translator.translate(LINES, search), strict=True):
        src = translator.src.encode(line)
        with torch.inference_mode():
            for h in result.hypotheses:
                assert h.logprob == pytest.approx(logprob(translator, src, h.ids), abs=1e-3)
                assert h.score == pytest.approx(h.logprob / (len(h.ids) + 1))
        assert [h.score for h in result.hypotheses] == sorted(h.score for h in result.hypotheses)[::-1]


@pytest.mark.parametrize("tokens", [1, 40, 2048])
def test_score_is_the_log_probability_of_each_pair(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translate, "SCORE_TOKENS", tokens)
    translator = random_translator()
    src = [*LINES, "", LINES[0]]
    tgt = [*(pair.german for pair in demo_pairs()[: len(LINES)]), LINES[0], ""]
    scored = translator.score(src, tgt)
    assert len(scored) == len(src)
    for a, b, (value, n) in zip(src, tgt, scored, strict=True):
        ids = translator.tgt.encode(b)
        assert n == len(ids) + 1
        with torch.inference_mode():
            assert value == pytest.approx(logprob(translator, translator.src.encode(a), ids), abs=1e-3)


def test_score_cuts_what_the_model_cannot_hold() -> None:
    translator = random_translator(max_len=12)
    long = " ".join(LINES)
    ((value, n),) = translator.score([long], [long])
    ids = translator.src.encode(long)[:11]
    with torch.inference_mode():
        assert value == pytest.approx(logprob(translator, ids, ids), abs=1e-3)
    assert n == 12


# --- packages ---


@pytest.mark.parametrize("shared", [True, False])
def test_a_package_translates_as_its_model_did(shared: bool, tmp_path: Path) -> None:
    translator = random_translator()
    tokenizers: dict[str, Any] = {"tokenizer": translator.src}
    if not shared:
        other = demo_tokenizer("char")
        model = type(translator.model)
        config = type(translator.model.config)
        torch.manual_seed(5)
        changes = {"src_vocab_size": len(other), "shared_vocab": False}
        built = model(config(**(model_config(translator.model) | changes)))
        translator = Translator(built, other, translator.tgt, torch.device("cpu"))
        tokenizers = {"src": translator.src, "tgt": translator.tgt}
    write_package(
        tmp_path / "model",
        lambda folder: save_file(weights_of(translator.model), folder / WEIGHTS),
        task="translation",
        arch="transformer",
        config=model_config(translator.model),
        tokenizers=tokenizers,
        decode={"beam_size": 2, "length_penalty": 0.5},
    )
    opened, decode = open_translator(tmp_path / "model", "cpu", 1)
    assert decode == DecodeConfig(beam_size=2, length_penalty=0.5)
    search = SearchOptions(decode)
    before, after = (one.translate(LINES, search) for one in (translator, opened))
    assert before == after


def test_what_the_length_limit_cut_is_marked() -> None:
    """A translation was cut if it goes on where there is more room; and a line if one of its parts was."""
    translator, lines = random_translator(max_len=400), [pair.english for pair in demo_pairs()[:40]]

    def drawn(limit: int) -> list[Any]:
        decode = DecodeConfig(max_len_ratio=0, max_len_extra=limit)
        search = SearchOptions(decode, sampling=Sampling(temperature=9.0, seed=1))
        return [result.hypotheses[0] for result in translator.translate(lines, search)]

    short, long = drawn(150), drawn(200)
    cut = [a.ids != b.ids for a, b in zip(short, long, strict=True)]
    assert any(cut) and not all(cut)
    assert [hypothesis.cut for hypothesis in short] == cut
    beam = SearchOptions(DecodeConfig(beam_size=2, max_len_ratio=0, max_len_extra=1))
    assert [h.cut for result in translator.translate(lines[:2], beam) for h in result.hypotheses] == [
        True
    ] * 2
    parts = translator.translate(["word " * 300], beam)[0]
    assert parts.n_parts > 1 and parts.hypotheses[0].cut
