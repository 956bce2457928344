"""Attention of translators: weights against torch's, rollout, words, and the page in a real browser."""

import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tx.nn.attention as attention_module
from chromium import Page, needs_chromium, started
from small import demo_pairs, demo_tokenizer
from training import fork_tx, model
from tx.cli.attention import _letters, print_grid
from tx.data.batch import make_batch
from tx.decode.config import DecodeConfig
from tx.decode.translate import SearchOptions, Translator
from tx.errors import TxError, UsageError
from tx.inspect.attention import START, AttentionMatrix, compute_attention, rollout, select_attention
from tx.models.rnn import Config as RnnConfig
from tx.models.rnn import EncoderDecoder
from tx.models.transformer import Config, Transformer
from tx.nn.attention import Attention, record_attention
from tx.plots.attention import attention_page, draw_attention
from tx.plots.color import block, shade

GREEDY = SearchOptions(DecodeConfig(beam_size=1))
LINE = demo_pairs()[0].english


def translator(n_layers: int = 3, n_heads: int = 2) -> Translator:
    tokenizer = demo_tokenizer()
    torch.manual_seed(1)
    shape = {"d_model": 16, "d_ff": 32, "n_heads": n_heads, "max_len": 300}
    layers = {"n_encoder_layers": n_layers, "n_decoder_layers": n_layers}
    built = Transformer(Config(len(tokenizer), len(tokenizer), **shape, **layers))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.mul_(2)
    return Translator(built, tokenizer, tokenizer, torch.device("cpu"))


def rnn(**changes: Any) -> Translator:
    tokenizer = demo_tokenizer()
    torch.manual_seed(1)
    config = RnnConfig(len(tokenizer), len(tokenizer), d_embedding=8, d_model=8, max_len=300, **changes)
    return Translator(EncoderDecoder(config), tokenizer, tokenizer, torch.device("cpu"))


# --- weights ---


@pytest.mark.parametrize("cross", [False, True])
@torch.inference_mode()
def test_the_weights_are_those_of_torchs_attention(cross: bool) -> None:
    torch.manual_seed(2)
    ours = Attention(12, 3, dropout=0.5, cross=cross).eval()
    theirs = nn.MultiheadAttention(12, 3, batch_first=True).eval()
    products = [ours.query, ours.key_value] if cross else [ours.query_key_value]
    theirs.in_proj_weight.copy_(torch.cat([product.weight for product in products]))
    theirs.in_proj_bias.copy_(torch.cat([product.bias for product in products]))
    x, memory = torch.randn(2, 4, 12), torch.randn(2, 5, 12)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with record_attention({"a": ours}) as seen:
        if cross:
            ours.attend_to(x, ours.keys_values(memory), ~padding[:, None, None])
            expected = theirs(x, memory, memory, key_padding_mask=padding, average_attn_weights=False)[1]
        else:
            ours(x, causal=True)
            future = nn.Transformer.generate_square_subsequent_mask(4)
            expected = theirs(x, x, x, attn_mask=future, average_attn_weights=False)[1]
    torch.testing.assert_close(seen["a"][0], expected)


@torch.inference_mode()
def test_the_fused_kernel_runs_unless_weights_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = torch.nn.functional.scaled_dot_product_attention
    calls: list[int] = []

    def count(*arguments: Any, **words: Any) -> Tensor:
        calls.append(1)
        return fused(*arguments, **words)

    monkeypatch.setattr(attention_module, "matmul_by_onednn", lambda: False)
    monkeypatch.setattr(attention_module.F, "scaled_dot_product_attention", count)
    attention, x = Attention(8, 2).eval(), torch.randn(1, 3, 8)
    plain = attention(x, causal=True)
    with pytest.raises(KeyError), record_attention({"a": attention}) as seen:
        torch.testing.assert_close(attention(x, causal=True), plain)
        raise KeyError  # an error ends the watch too
    attention(x)
    assert len(calls) == 2 and len(seen["a"]) == 1


@pytest.mark.parametrize("settings", [{}, {"attention": "bahdanau"}, {"input_feeding": True}])
@torch.inference_mode()
def test_a_reversed_source_is_shown_in_its_own_order(settings: dict[str, Any]) -> None:
    """With an encoder that hands on its input and scores that are its first number, the weights are known."""
    built = rnn(reverse_source=True, **settings).model
    built.encoder.forward = lambda x, lengths: (x, torch.zeros(1, len(x), 8))
    built.scores.forward = lambda query, keys: keys[..., 0][:, None].expand(-1, query.size(1), -1)
    built.scores.key = nn.Identity()
    pad = built.src_pad_id
    batch = make_batch([[5, 9, 30, 7], [40, 3]], [[4, 5], [6]], pad, pad)
    with record_attention(built.attentions()) as seen:
        built(batch)
    found = torch.cat(seen["cross 1"], dim=2)
    first = (built.src_embedding(batch.src) * 8**0.5)[..., 0].masked_fill(batch.src == pad, float("-inf"))
    torch.testing.assert_close(found, first.softmax(-1)[:, None, None].expand(-1, 1, 3, -1))


# --- readings ---


def test_attention_maps_are_those_of_each_decoding_step() -> None:
    given = translator()
    maps = compute_attention(given, LINE, None, GREEDY, top=4)
    (result,) = given.translate([LINE], GREEDY)
    assert maps.translation == result.text and maps.source == LINE
    ids = [*result.hypotheses[0].ids, 0]
    assert maps.tgt.pieces == [given.tgt.piece(id) for id in ids]
    assert maps.decoder_input.pieces == [START, *maps.tgt.pieces[:-1]]
    assert maps.src.pieces == [*given.src.encode_pieces(LINE), "</s>"]
    state = given.model.start(make_batch([given.src.encode(LINE)], None, given.src.pad_id, given.tgt.pad_id))
    token, total = given.tgt.bos_id, 0.0
    for step, id in enumerate(ids):
        with torch.inference_mode(), record_attention(given.model.attentions()) as seen:
            logits, state = given.model.step(torch.tensor([token]), state)
        probabilities = logits[0].softmax(-1)
        best = probabilities.topk(4)
        shown = maps.predictions[step]
        assert [c.piece for c in shown[:4]] == [given.tgt.piece(int(i)) for i in best.indices]
        assert [c.probability for c in shown[:4]] == pytest.approx(best.values.tolist(), rel=1e-4)
        assert [c.piece for c in shown if c.chosen] == [given.tgt.piece(id)]
        for layer in range(3):
            expected = seen[f"cross {layer + 1}"][0][0, :, 0]
            assert np.allclose(maps.weights["cross"][layer][:, step], expected, atol=1e-5)
        total += float(probabilities[id].log())
        token = id
    assert maps.logprob == pytest.approx(total, rel=1e-4)


def test_a_translation_can_be_forced() -> None:
    given = translator()
    forced = "Eat the  cake größe"
    maps = compute_attention(given, LINE, forced, GREEDY)
    assert maps.translation == forced and maps.tgt.words == [*forced.split(), "</s>"]
    assert maps.tgt.pieces[:-1] == given.tgt.encode_pieces(forced)
    assert compute_attention(given, LINE, "", GREEDY).tgt.pieces == ["</s>"]
    assert all(any(c.chosen for c in step) for step in maps.predictions)


@pytest.mark.parametrize(
    ("source", "target"), [("", None), (" \t", None), ("a " * 200, None), (LINE, "a " * 400)]
)
def test_blank_and_overlong_lines_are_refused(source: str, target: str | None) -> None:
    with pytest.raises(TxError) as caught:
        compute_attention(translator(), source, target, GREEDY)
    assert caught.value.hint


def test_layers_and_heads_that_are_not_selected_are_averaged() -> None:
    maps = compute_attention(translator(), LINE, None, GREEDY)
    layers = np.stack(maps.weights["cross"])  # [layers, H, T, S]
    assert np.allclose(select_attention(maps, "cross").values, layers.mean((0, 1)))
    assert np.allclose(select_attention(maps, "cross", 2).values, layers[1].mean(0))
    assert np.allclose(select_attention(maps, "cross", 3, 2).values, layers[2, 1])
    assert np.allclose(select_attention(maps, "cross", None, 1).values, layers[:, 0].mean(0))
    table = select_attention(maps, "decoder", 1, 2)
    assert table.rows == maps.tgt.pieces and table.columns == maps.decoder_input.pieces
    assert table.title == "attention within the translation, layer 1, head 2"
    assert select_attention(maps, "encoder").title == "attention within the source, mean over 6 heads"
    words = select_attention(maps, "encoder", words=True)
    assert words.rows == words.columns == [*LINE.split(), "</s>"]
    assert np.allclose(words.values.sum(axis=1), 1, atol=1e-5)
    for wrong in ({"layer": 4}, {"layer": 0}, {"head": 3}):
        with pytest.raises(UsageError, match="there is no"):
            select_attention(maps, "cross", **wrong)


def test_an_rnn_has_one_attention_and_no_rollout() -> None:
    maps = compute_attention(rnn(), LINE, None, GREEDY)
    assert list(maps.weights) == ["cross"] and len(maps.weights["cross"]) == 1
    assert select_attention(maps, "cross").title == "attention from the translation to the source"
    with pytest.raises(UsageError, match="no attention within the source"):
        select_attention(maps, "encoder")
    with pytest.raises(UsageError, match="a single one"):
        select_attention(maps, "cross", rolled_out=True)
    assert "__" not in re.sub(r"<script.*", "", attention_page(maps, "rnn"), flags=re.DOTALL)


def test_rollout_is_the_jacobian_of_a_linear_model() -> None:
    """Each sublayer gives half of its input and half of what it looked at: autograd says what the end is made of."""
    chance = np.random.default_rng(3)

    def weights(n: int, m: int, causal: bool = False) -> np.ndarray:
        drawn = chance.random((2, n, m)).astype(np.float32)
        drawn = np.tril(drawn) if causal else drawn
        return drawn / drawn.sum(-1, keepdims=True)

    given = {
        "encoder": [weights(4, 4) for _ in range(2)],
        "decoder": [weights(3, 3, causal=True) for _ in range(3)],
        "cross": [weights(3, 4) for _ in range(3)],
    }
    means = {kind: [torch.from_numpy(layer.mean(0)) for layer in layers] for kind, layers in given.items()}

    def encode(src: Tensor) -> Tensor:
        for a in means["encoder"]:
            src = 0.5 * src + 0.5 * (a @ src)
        return src

    def decode(src: Tensor, tgt: Tensor) -> Tensor:
        memory = encode(src)
        for own, across in zip(means["decoder"], means["cross"], strict=True):
            tgt = 0.5 * tgt + 0.5 * (own @ tgt)
            tgt = 0.5 * tgt + 0.5 * (across @ memory)
        return tgt

    jacobian = torch.autograd.functional.jacobian
    found = rollout(given)
    assert np.allclose(found["encoder"], jacobian(encode, torch.zeros(4)), atol=1e-6)
    across, within = jacobian(decode, (torch.zeros(4), torch.zeros(3)))
    assert torch.allclose(across.sum(1) + within.sum(1), torch.ones(3))
    assert np.allclose(found["cross"], across / across.sum(1, keepdim=True), atol=1e-6)
    assert np.allclose(found["decoder"], within / within.sum(1, keepdim=True), atol=1e-6)


# --- pictures ---


def test_shades_grow_darker() -> None:
    grays = [sum(shade(share / 20)) for share in range(21)]
    assert grays == sorted(grays, reverse=True) and shade(0) == (255, 255, 255) and shade(2) == shade(1)
    marks = [block(share / 20) for share in range(21)]
    assert marks == sorted(marks, key=" ░▒▓█".index) and marks[0] == " " and marks[-1] == "█"


def test_a_figure_names_every_row_and_column() -> None:
    table = select_attention(compute_attention(translator(), LINE, None, GREEDY), "cross")
    (axes,) = draw_attention(table, "caption").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == table.rows
    assert [label.get_text() for label in axes.get_xticklabels()] == table.columns
    (image,) = axes.get_images()
    assert np.array(image.get_array()).shape == (*table.values.shape, 3)


def test_letters_include_their_combining_characters() -> None:
    assert _letters("aé日e\u0301") == ["a", "é", "日", "e\u0301"] and _letters("") == []


HARMFUL = "</script><script>document.title='gone'</script> <!-- __DATA__ __TITLE__ \u2028 & \"' \\u003c"


def data_of(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_text_on_the_page_is_escaped() -> None:
    maps = compute_attention(translator(), HARMFUL, HARMFUL, GREEDY)
    text = attention_page(maps, "<b>")
    assert text.count("<script") == 2 and text.count("</script>") == 2
    assert f"<title>{html.escape(HARMFUL)} " in text
    data = data_of(text)
    assert data["axes"]["src"]["words"] == [*HARMFUL.split(), "</s>"] and data["about"].startswith("<b>,")
    assert not re.search(r"https?://|src=|@import|url\(", text.split("<body>")[0])
    assert "default-src 'none'" in text


def test_the_page_holds_every_layer_and_head() -> None:
    maps = compute_attention(translator(), LINE, None, GREEDY)
    data = data_of(attention_page(maps, "model"))
    for kind, layers in maps.weights.items():
        assert np.allclose(data["weights"][kind], layers, atol=6e-4)
        assert np.allclose(data["rollout"][kind], rollout(maps.weights)[kind], atol=6e-4)
    assert [[c[0] for c in step] for step in data["candidates"]] == [
        [c.piece for c in step] for step in maps.predictions
    ]


# --- the page in a browser ---


def chips(row: str) -> str:
    return f"[...document.querySelectorAll('#{row} .chip')].map(e => Number(e.dataset.weight))"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with started(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@needs_chromium
def test_a_browser_shows_the_attention_of_a_token(browser: Page, tmp_path: Path) -> None:
    maps, shown = compute_attention(translator(), LINE + " </script>", None, GREEDY), browser
    (tmp_path / "a.html").write_text(attention_page(maps, "model"), encoding="utf-8")
    shown.open((tmp_path / "a.html").as_uri())
    n_src, n_tgt = len(maps.src.pieces), len(maps.tgt.pieces)
    assert shown.run("document.querySelectorAll('.chip').length") == n_src + n_tgt
    assert shown.run(chips("src")) == [0] * n_src, "nothing is lit at first"
    mean = select_attention(maps, "cross").values
    for place in (1, 2):
        shown.hover(f"#tgt .chip:nth-child({place})")
        assert np.allclose(shown.run(chips("src")), mean[place - 1], atol=2e-3)
        said = shown.run("[...document.querySelectorAll('.candidate b')].map(e => e.textContent)")
        assert said == [c.piece for c in maps.predictions[place - 1]]
        likely = shown.run("[...document.querySelectorAll('.candidate span')].map(e => e.textContent)")
        assert (
            likely == [f"{100 * c.probability:.1f}%" for c in maps.predictions[place - 1]] or len(likely) > 1
        )
        lines = shown.run("[...document.querySelectorAll('#lines path')].map(e => Number(e.dataset.row))")
        assert lines and set(lines) == {place - 1}
    shown.hover("#src .chip:nth-child(3)")
    assert np.allclose(shown.run(chips("tgt")), mean[:, 2], atol=2e-3)

    shown.click("#layers [data-value='1']")
    shown.click("#heads [data-value='0']")
    shown.hover("#tgt .chip:nth-child(2)")
    assert np.allclose(shown.run(chips("src")), maps.weights["cross"][1][0][1], atol=2e-3)
    shown.click("#kinds [data-value='encoder']")
    shown.hover("#lines text[text-anchor=end]:nth-of-type(2)")
    assert np.allclose(shown.run(chips("src")), maps.weights["encoder"][1].mean(0)[1], atol=2e-3)
    colors = shown.run(
        "new Set([...document.querySelectorAll('#lines path')].map(e => e.getAttribute('stroke'))).size"
    )
    assert colors == 2, "a colour for each head"
    shown.click("#layers [data-value='rollout']")
    shown.hover("#src .chip:nth-child(2)")
    assert np.allclose(shown.run(chips("src")), rollout(maps.weights)["encoder"][1], atol=2e-3)
    shown.click("#units [data-value='true']")
    words = shown.run("[...document.querySelectorAll('#src .chip')].map(e => e.textContent)")
    assert words == maps.src.words
    shown.click("#kinds [data-value='cross']")
    shown.click("#layers [data-value='mean']")
    shown.hover("#tgt .chip:nth-child(1)")
    assert np.allclose(
        shown.run(chips("src")), select_attention(maps, "cross", words=True).values[0], atol=3e-3
    )
    shown.click("#tgt .chip:nth-child(1)")
    shown.hover("#src .chip:nth-child(1)")
    assert shown.run("document.querySelector('#tgt .chip').classList.contains('here')"), "a click keeps it"

    assert shown.screenshot().startswith(b"\x89PNG")


@needs_chromium
def test_a_browser_runs_no_script_of_the_text(browser: Page, tmp_path: Path) -> None:
    file, shown = tmp_path / "b.html", browser
    file.write_text(
        attention_page(compute_attention(rnn(), HARMFUL, HARMFUL, GREEDY), "<b>"), encoding="utf-8"
    )
    shown.open(f"{file.as_uri()}#at=tgt:0&words=1")
    assert shown.run("document.title").startswith("</script><script>document.title='gone'</script>")
    assert shown.run("document.querySelectorAll('script').length") == 2
    assert shown.run("document.querySelector('#tgt .chip').className") == "chip here"
    assert shown.run("document.querySelectorAll('#kinds button').length") == 1
    assert shown.run("document.querySelector('#heads').getBoundingClientRect().width") == 0, (
        "there is but one"
    )


# --- the command ---


def attention(*words: str) -> Any:
    return fork_tx(["attention", "-m", str(model()), *words])


def test_tx_attention_prints_a_grid(tmp_path: Path) -> None:
    done = attention("They will eat a cake.", "--tgt", "Sie essen.", "--words")
    assert done.status == 0, done.err
    rows = done.out.rstrip("\n").split("\n")
    assert [row.split()[0] for row in rows[-3:]] == ["Sie", "essen.", "</s>"]
    assert "to the source, mean over" in done.err
    document = json.loads(
        attention("They will eat a cake.", "--kind", "decoder", "--layer", "1", "--json").out
    )
    assert document["columns"] == ["<s>", *document["rows"][:-1]] and document["kind"] == "decoder"
    assert ", layer 1, mean over" in document["title"]
    assert np.allclose(np.sum(document["weights"], axis=1), 1, atol=1e-3)
    piped = fork_tx(["attention", "-m", str(model()), "--json"], stdin=b"They will eat a cake.")
    assert json.loads(piped.out)["source"] == "They will eat a cake."
    for name in ("a.png", "a.svg", "a.html"):
        done = attention("They eat.", "-o", str(tmp_path / name), "--rollout")
        assert done.status == 0 and (tmp_path / name).stat().st_size > 1000
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "--rollout", "--layer", "1"], "omit --layer and --head"),
        (["a", "--layer", "9"], "there is no layer 9"),
        (["a", "--kind", "self"], "--kind: 'self' is not one of 'cross', 'encoder', 'decoder'"),
        (["a", "-o", "x.gif"], "use a name that ends in .png, .svg or .html"),
        (["a", "-o", "nowhere/x.html"], "no folder nowhere"),
        (["a", "-o", "x.png", "--json"], "--json and -o exclude each other"),
        ([" "], "the source has no words"),
    ],
)
def test_invalid_options_are_reported(words: list[str], said: str) -> None:
    done = attention(*words)
    assert done.status in (1, 2) and said in done.err and "Traceback" not in done.err


def test_a_wide_grid_comes_in_bands_that_fit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tx.cli.console.shutil.get_terminal_size", lambda: os.terminal_size((40, 25)))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    names = [f"c{n}" for n in range(30)]
    print_grid(AttentionMatrix(["one", "two", "three"], names, np.eye(3, 30, dtype=np.float32), ""))
    rows = capsys.readouterr().out.split("\n")
    assert max(map(len, rows)) <= 40
    assert [row.split() for row in rows if row.strip()[:2] in ("on", "tw")] == [
        ["one", "██"], ["two", "██"], ["one"], ["two"]
    ]  # fmt: skip
    heads = [row.ljust(40)[6::2] for row in rows[:3]]  # the names of the first band, written downwards
    assert ["".join(letters).strip() for letters in zip(*heads, strict=True)] == names[:17]
