"""Hidden units: their activations, how well they follow properties, and their plots."""

import html
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from languages import ALPHABET, keep, random_model, tokenizer_of
from terminal import on_terminal
from tx.cli.app import main
from tx.decode.generate import LanguageModel, TorchLM, open_language_model
from tx.errors import TxError, UsageError
from tx.inspect.neurons import (
    BINARY_PROPERTIES,
    COUNT_PROPERTIES,
    Activations,
    Unit,
    compute_activations,
    parse_unit,
    rank_units,
)
from tx.plots.neurons import NEWLINE, color_scale, draw_text, lines_of, write_html
from tx.text.incremental import encode_text

TEXT = 'ROMEO:\nAy me, "sad (hours) seem" 10 long;\n\nsh\'d "go\n\nno: "x"\n'


def marks(name: str, text: str = TEXT) -> str:
    return "".join("x" if value else "-" for value in BINARY_PROPERTIES[name](text))


# --- values ---


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "nplm", "transformer"])
def test_values_are_those_after_each_character(name: str, tmp_path: Path) -> None:
    model = open_language_model(keep(tmp_path / "model", random_model(name)))
    text = "ROMEO:\nab c"
    found = compute_activations(model, text)
    assert found.text == text and found.values.shape == (len(text), sum(found.layer_sizes))
    reader = model.empty.copy()
    reader.feed([0])
    for row, id in zip(found.values, encode_text(text, ALPHABET), strict=True):
        reader.feed([id])
        assert np.allclose(row, np.concatenate(reader.activations), atol=1e-6)
    assert found.layer_sizes == tuple(len(units) for units in reader.activations)


def test_the_units_of_an_lstm_are_the_tanh_of_its_cells(tmp_path: Path) -> None:
    import torch

    torch_model: Any = random_model("lstm")
    found = compute_activations(open_language_model(keep(tmp_path / "model", torch_model)), "ab")
    with torch.inference_mode():
        _, state = torch_model.feed(torch.tensor([[0, *ALPHABET.encode("ab")]]), torch_model.start(1))
    assert np.allclose(found.values[-1], np.tanh(state.tensors[1][:, 0].numpy().ravel()), atol=1e-6)


def test_the_characters_of_a_piece_share_its_values(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("bpe")
    model = open_language_model(keep(tmp_path / "model", random_model("gru", len(tokenizer)), tokenizer))
    found = compute_activations(model, "They will eat größe\n")
    assert found.text == "They will eat größe\n"
    n_tokens = len(encode_text(found.text, tokenizer))
    assert len(np.unique(found.values, axis=0)) <= n_tokens < len(found.text)


def test_units_have_names(tmp_path: Path) -> None:
    activations = Activations("ab", np.arange(10, dtype=np.float32).reshape(2, 5), (2, 3))
    assert [str(unit) for unit in activations.units] == ["1:1", "1:2", "2:1", "2:2", "2:3"]
    assert [activations.of(unit).tolist() for unit in activations.units] == activations.values.T.tolist()
    steps = Activations("x" * 101, np.array([[k, 3.0, k == 50] for k in range(101)], np.float32), (3,))
    assert color_scale(steps.of(Unit(1, 1))) == pytest.approx((np.arange(101) - 50) / 24)
    assert not color_scale(steps.of(Unit(1, 2))).any()
    assert sorted(set(color_scale(steps.of(Unit(1, 3))).tolist())) == [-2, 2]
    assert steps.head(7).values.shape == (7, 3)
    assert parse_unit("2:13") == Unit(2, 13)
    for unit in (Unit(0, 1), Unit(3, 1), Unit(2, 4), Unit(1, 0)):
        with pytest.raises(UsageError, match=f"no unit {unit}"):
            activations.of(unit)
    for text in ("2", "2:x", ":", "-1:2"):
        with pytest.raises(UsageError, match="is not a unit"):
            parse_unit(text)


def test_a_model_without_readable_units_is_refused() -> None:
    with pytest.raises(TxError, match="hidden units of this model cannot be read"):
        compute_activations(LanguageModel(TorchLM(random_model("gru")), ALPHABET), "ab")


# --- properties ---


def test_properties_hold_where_they_should() -> None:
    assert TEXT.replace("\n", "/") == """ROMEO:/Ay me, "sad (hours) seem" 10 long;//sh'd "go//no: "x"/"""
    assert marks("inside quotes") == "---------------xxxxxxxxxxxxxxxx------------------xx-------x--"
    assert marks("inside brackets") == "--------------------xxxxx------------------------------------"
    assert (
        marks("in the first word of a line")
        == "xxxxxx-xx----------------------------------xxxx------xxx-----"
    )
    assert marks("in a word of capitals") == "xxxxx" + "-" * 56
    assert marks("last letter of a word", "Ay o'er sad, a1 é!") == "-x----x---x-----x-"
    assert marks("after a newline", "a\n\nb") == "-xx-"
    assert COUNT_PROPERTIES["position in line"]("ab\nc\n\nde").tolist() == [1, 2, 0, 1, 0, 0, 1, 2]
    assert COUNT_PROPERTIES["position in word"]("ab o'er").tolist() == [1, 2, 0, 1, 2, 3, 4]
    for name in ("capital letter", "digit", "space", "punctuation", "vowel"):
        expected = {
            "capital letter": str.isupper,
            "digit": str.isdigit,
            "space": " ".__eq__,
            "punctuation": re.compile(r"[^\w\s]").match,
            "vowel": re.compile("[aeiouyAEIOUY]").match,
        }[name]
        assert [m == "x" for m in marks(name)] == [bool(expected(c)) for c in TEXT]


def auc(wanted: Any, values: Any) -> float:
    """How often a value where something holds is above one where it does not; equal ones count half."""
    inside, outside = values[wanted == 1][:, None], values[wanted == 0]
    return float(((inside > outside) + 0.5 * (inside == outside)).mean())


@given(st.integers(0, 10**6), st.integers(1, 3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_units_are_ranked_by_definition_and_as_by_scipy(seed: int, top: int, ties: bool) -> None:
    chance = np.random.default_rng(seed)
    text = "".join(chance.choice(list("ab C1\n,\"'"), size=200))
    values = chance.normal(size=(200, 5)).astype(np.float32)
    values[:, 2] += 2 * BINARY_PROPERTIES["capital letter"](text)
    values[:, 3] = -COUNT_PROPERTIES["position in line"](text)
    values[:, 4] = 0.5
    if ties:
        values = values.round()
    matches, rare = rank_units(Activations(text, values, (2, 3)), top)
    assert {match.property for match in matches} | set(rare) == {*BINARY_PROPERTIES, *COUNT_PROPERTIES}
    names = list(map(str, Activations("", values, (2, 3)).units))
    for name in (*BINARY_PROPERTIES, *COUNT_PROPERTIES):
        found = [match for match in matches if match.property == name]
        if name in rare:
            assert (
                not found
                and min(BINARY_PROPERTIES[name](text).sum(), 200 - BINARY_PROPERTIES[name](text).sum()) < 10
            )
            continue
        if name in BINARY_PROPERTIES:
            wanted = BINARY_PROPERTIES[name](text)
            strength = {u: auc(wanted, values[:, i]) - 0.5 for i, u in enumerate(names)}
            zero = 0.5
        else:
            numbers = COUNT_PROPERTIES[name](text)
            strength = {
                u: spearmanr(numbers, values[:, i])[0] if np.ptp(values[:, i]) else 0.0
                for i, u in enumerate(names)
            }
            zero = 0.0
        best = sorted(map(abs, strength.values()), reverse=True)[:top]
        assert [match.value - zero for match in found] == pytest.approx(best, abs=1e-9)
        for match in found:
            assert match.sign * (match.value - zero) == pytest.approx(strength[str(match.unit)], abs=1e-9)


# --- pictures ---


@given(st.text("ab \n\t\x07é日", max_size=60), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_lines_show_every_character(text: str, width: int) -> None:
    lines = lines_of(text, np.arange(len(text), dtype=float), width)
    assert all(1 <= len(line) <= width + 1 for line in lines)
    assert [value for line in lines for _, value in line] == list(range(len(text)))
    shown = "".join(character for line in lines for character, _ in line)
    assert shown == text.replace("\n", NEWLINE).replace("\t", "\u2423").replace("\x07", "\ufffd")
    assert shown.isprintable()


def test_a_page_holds_the_text_and_escapes_it(tmp_path: Path) -> None:
    text = "<b>&\nab"
    write_html(text, np.linspace(-2, 2, len(text)), "unit <1:1>", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    spans = re.findall(r"<span [^>]*>([^<]*)</span>", page)
    assert "".join(map(html.unescape, spans)) == text.replace("\n", NEWLINE)
    assert "<b>" not in page and "unit &lt;1:1&gt;" in page
    assert "background:#2166ac;color:#ffffff" in page and "background:#b2182b" in page


def test_a_figure_has_every_character() -> None:
    figure = draw_text("ab\nc", np.array([-2.0, 0, 2, 1]), "unit 1:1")
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.texts] == ["a", "b", NEWLINE, "c"]
    (picture,) = axes.images
    assert np.array_equal(picture.get_array()[0, 0], (33, 102, 172))


# --- the command ---


@pytest.fixture
def tx(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    keep(tmp_path / "bard", random_model("lstm"))
    (tmp_path / "text").write_text("ROMEO: and\nme, ABC\n" * 30)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tx", "plot", "neurons", "-m", "bard", *words])
        status = 0
        try:
            main()
        except SystemExit as exit:
            status = int(exit.code or 0)
        return status, *capsys.readouterr()

    return run


def test_the_command(tx: Any, tmp_path: Path) -> None:
    status, out, err = tx("text")
    header, *rows = (line.split("\t") for line in out.splitlines())
    assert len(header) == 4
    assert status == 0 and "too rare in 570 characters to be ranked: inside quotes" in err
    assert "position in line" in [row[0] for row in rows] and all(len(row) == 4 for row in rows)
    records = json.loads(tx("text", "--json", "--top", "2")[1])
    assert [r["unit"] for r in records][::2] == [row[1] for row in rows]
    status, out, err = tx("text", "--unit", "2:3", "--length", "19")
    lines = out.split("\n")
    assert (lines[0], lines[2]) == ("ROMEO: and" + NEWLINE, "me, ABC" + NEWLINE)
    assert set(out) <= set("ROMEO: andme,ABC+-=#\n" + NEWLINE) and "unit 2:3" in err
    document = json.loads(tx("text", "--unit", "2:3", "--length", "19", "--json")[1])
    assert len(document["values"]) == len(document["text"]) == 19
    assert tx("text", "--track", "position in line", "-o", "line.png")[0] == 0
    assert (tmp_path / "line.png").read_bytes()[:4] == b"\x89PNG"
    assert tx("text", "--track", "position in line", "-o", "line.html")[0] == 0
    short, long = (tx("text", "--track", "position in line", "--length", n) for n in ("19", "600"))
    assert short[2] == long[2] and short[1].split("\n")[0] == "ROMEO: and" + NEWLINE
    assert len(short[1]) < len(long[1])


@pytest.mark.parametrize(
    "words, status, told",
    [
        (["text", "--unit", "9:1"], 2, "the units are 1:1 to 1:24, 2:1 to 2:24"),
        (["text", "--track", "position in lin"], 2, "did you mean 'position in line'?"),
        (["text", "--track", "digit"], 2, "to rank units by 'digit'"),
        (["text", "-o", "x.png"], 2, "no unit is chosen"),
        (["text", "--unit", "1:1", "-o", "x.pdf"], 2, "use a name that ends in .png, .svg or .html"),
        (["text", "--unit", "1:1", "--track", "digit"], 2, "both choose"),
        (["nothing"], 1, "there is no file nothing"),
    ],
)
def test_invalid_options_are_reported(words: list[str], status: int, told: str, tx: Any) -> None:
    found = tx(*words)
    assert found[0] == status and told in found[2]


def test_on_a_terminal_the_text_is_coloured(tx: Any, tmp_path: Path) -> None:
    words = ["plot", "neurons", "-m", "bard", "text", "--unit", "1:1", "--length", "19"]
    shown = on_terminal(*words, cwd=tmp_path, COLORTERM="truecolor")
    assert "48;2;" in shown
    assert re.sub("\x1b\\[[0-9;]*m", "", shown).startswith(f"ROMEO: and{NEWLINE}\nme, ABC{NEWLINE}\n")
    assert "\x1b[3" not in on_terminal(*words, cwd=tmp_path, NO_COLOR="1")
