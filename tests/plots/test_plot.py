"""Pictures of vectors: they show the values of the vectors, and labels do not overlap."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tx.inspect.vectors import (
    WordMap,
)
from tx.plots.color import mark, rgb
from tx.plots.wordmap import place_labels, text_map
from tx.vectors import write_vectors
from wordvectors import Run, family, runner

# --- colours ---


def test_colours_go_from_blue_through_white_to_red() -> None:
    assert rgb(0) == (255, 255, 255)
    assert rgb(-2) == rgb(-1e9) == (33, 102, 172) and rgb(2) == rgb(1e9) == (178, 24, 43)
    for low, high in zip(np.linspace(-2, 1.96, 100), np.linspace(-1.96, 2, 100), strict=True):
        (r0, _, b0), (r1, _, b1) = rgb(low), rgb(high)
        assert r1 - b1 >= r0 - b0, "redder and less blue with every step"
    assert "".join(map(mark, (-9, -2, -1.6, -1, -0.6, -0.4, 0, 0.4, 0.6, 1, 1.6, 2, 9))) == "===--   ++###"


# --- maps ---


@settings(max_examples=40)
@given(st.integers(3, 60), st.integers(0, 1000))
def test_labels_cover_neither_labels_nor_points(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 300, (n, 2)) * (1, 0.5)
    sizes = [(float(width), 12.0) for width in rng.uniform(10, 60, n)]
    places = place_labels(points, sizes, (300, 150), room=2)
    boxes = [
        (*place, place[0] + w, place[1] + h)
        for place, (w, h) in zip(places, sizes, strict=True)
        if place is not None
    ]
    assert boxes
    for number, (left, bottom, right, top) in enumerate(boxes):
        assert left >= 0 and bottom >= 0 and right <= 300 and top <= 150
        for x, y in points:
            assert not (left < x < right and bottom < y < top)
        for other_left, other_bottom, other_right, other_top in boxes[:number]:
            assert right <= other_left or other_right <= left or top <= other_bottom or other_top <= bottom


def test_a_label_is_next_to_its_point_if_there_is_room() -> None:
    (place,) = place_labels(np.array([[50.0, 50.0]]), [(20.0, 10.0)], (100, 100), room=2)
    assert place == pytest.approx((53, 45))
    assert place_labels(np.array([[5.0, 5.0]]), [(20.0, 10.0)], (10, 10), room=2) == [None]


@given(st.integers(0, 99), st.integers(3, 80))
def test_words_on_a_text_map_are_complete_or_omitted(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    words = [f"{'abcdefghij'[: 1 + i % 9]}{i}" for i in range(n)]
    lines, left = text_map(WordMap(words, rng.normal(size=(n, 2)), ""), 60, 12)
    shown = " ".join(lines).split()
    assert len(lines) == 12 and max(map(len, lines)) <= 60
    assert len(shown) == n - left and set(shown) <= set(words) and len(set(shown)) == len(shown)


def test_corners_of_a_map_of_text_are_its_corners() -> None:
    points = np.array([[-1, -1], [1, 1], [-1, 1], [1, -1.0]])
    lines, left = text_map(WordMap(["sw", "ne", "nw", "se"], points, ""), 20, 5)
    assert left == 0 and (lines[0].split(), lines[4].split()) == (["nw", "ne"], ["sw", "se"])


# --- the commands ---


@pytest.fixture
def tx(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run in a folder with one vectors package, whose 5 numbers are -2, -1, 0, 1 and 2 for the word `all`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    for variable in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    vectors = family()
    matrix = np.concatenate([vectors.matrix, np.array([[-2, -1, 0, 1, 2]], np.float32)])
    write_vectors(tmp_path / "family", [*vectors.words, "all"], matrix, range(1, 15))
    return runner(capsys, monkeypatch)


def test_strips_without_colour_are_marks(tx: Run) -> None:
    out, err = tx("plot", "vectors", "all", "king - man", "--raw")
    assert out.split("\n")[:3] == ["     all  =- +#", "", "    king  ++   "]
    assert out.split("\n")[4] == "king\u2212man  +    " and "unscaled" in err
    assert tx("plot", "vectors", "all", "king", "-", "man", "--raw")[0] == out


@pytest.mark.parametrize(
    ("variables", "pattern", "count"),
    [
        (
            {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "COLUMNS": "80", "TERM": "x"},
            r"48;2;(\d+;\d+;\d+)m {2}",
            5,
        ),
        (
            {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "COLUMNS": "15", "TERM": "x"},
            r"48;2;(\d+;\d+;\d+)m ",
            5,
        ),
        ({"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80"}, r"48;5;\d+m {2}", 5),
        ({"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "80"}, r"\x1b\[(\d+)m {2}", 5),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "80"}, r"=- \+#", 1),
    ],
)
def test_strips_have_the_colours_that_the_terminal_supports(
    tx: Run, variables: dict[str, str], pattern: str, count: int
) -> None:
    # In a separate process: Rich caches the codes of the first terminal that a style was shown on.
    command = [sys.executable, "-m", "tx", "plot", "vectors", "all", "--raw"]
    out = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | variables
    ).stdout
    found = re.findall(pattern, out)
    assert len(found) == count
    if variables["TERM"] == "xterm" and count == 5:
        assert found == ["44", "104", "107", "101", "41"]
    if "2;" in pattern:
        assert found == [";".join(map(str, rgb(value))) for value in (-2, -1, 0, 1, 2)]


def test_long_strips_take_half_columns_and_more_lines(
    tx: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = np.random.default_rng(1).normal(size=(2, 101)).astype(np.float32)
    write_vectors(tmp_path / "long", ["a", "b"], matrix)
    for name, value in {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "COLUMNS": "33"}.items():
        monkeypatch.setenv(name, value)
    out = tx("plot", "vectors", "a", "-m", "long", "--raw")[0]
    colors = [";".join(map(str, rgb(float(value)))) for value in matrix[0]]
    assert re.findall(r"[34]8;2;(\d+;\d+;\d+)", out) == colors
    assert [line.count("\u258c") for line in out.split("\n")[:-1]] == [30, 21]


def test_pictures_have_the_colours_and_are_reproducible(tx: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    for name in ("a.png", "b.png", "a.svg", "b.svg"):
        assert f"wrote {name}" in tx("plot", "vectors", "all", "king-man", "--raw", "-o", name)[1]
    for kind in ("png", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    pixels = np.round(imread(tmp_path / "a.png")[..., :3] * 255).astype(int)
    first = {color: np.argwhere((pixels == rgb(color)).all(axis=2)) for color in (-2, -1, 1, 2)}
    assert all(len(found) > 500 for found in first.values()), "each is a cell, and more than a stripe"
    top = {color: found[found[:, 0] < found[:, 0].min() + 20, 1].mean() for color, found in first.items()}
    assert top[-2] < top[-1] < top[1] < top[2], "in the order of the dimensions"


def test_a_map_is_text_json_or_a_picture(tx: Run, tmp_path: Path) -> None:
    out, err = tx("plot", "map", "king", "queen", "man", "woman")
    assert sorted(out.split()) == ["king", "man", "queen", "woman"] and "PCA of 4 unit vectors" in err
    found = json.loads(tx("plot", "map", "--top", "5", "--json")[0])
    assert [point["word"] for point in found["points"]] == ["king", "queen", "man", "woman", "ice-cream"]
    pytest.importorskip("matplotlib")
    tx("plot", "map", "-o", "map.svg")
    tx("plot", "map", "-o", "map.png")
    assert (tmp_path / "map.svg").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["vectors", "quen"], 1, "did you mean 'queen'?"),
        (["vectors", "king", "-o", "x.pdf"], 2, "use a name that ends in .png or .svg"),
        (["map", "king", "man"], 2, "three words or more, got 2"),
        (["map", "--method", "pcs"], 2, "'pcs' is not one of 'pca', 'tsne'"),
        (["map", "king", "quen"], 1, "did you mean 'queen'?"),
        (["skipgram", "one"], 2, "two words or more"),
    ],
)
def test_errors_have_a_hint(tx: Run, words: list[str], status: int, said: str) -> None:
    assert said in tx("plot", *words, status=status)[1]


def test_without_matplotlib_the_extra_is_named(tx: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "pip install 'tx[plot]'" in tx("plot", "vectors", "king", "-o", "x.png", status=1)[1]
    assert tx("plot", "vectors", "king")[0], "the terminal needs none"


def test_skipgram_is_a_table_of_pairs(tx: Run) -> None:
    out = tx("plot", "skipgram", "thou shalt not make", "--window", "1", "--negative", "1")[0]
    header, *rows = (line.split("\t") for line in out.split("\n")[:-1])
    assert header == ["input", "output", "label"]
    assert [row[:2] for row in rows[::2]] == [
        ["thou", "shalt"],
        ["shalt", "thou"],
        ["shalt", "not"],
        ["not", "shalt"],
        ["not", "make"],
        ["make", "not"],
    ]
    assert [row[2] for row in rows] == ["1", "0"] * 6
    assert tx("plot", "skipgram", "thou shalt not make", "--window", "1", "--negative", "1")[0] == out
    found = json.loads(tx("plot", "skipgram", "a b", "--negative", "0", "--json")[0])
    assert found == [{"input": "a", "output": "b", "label": 1}, {"input": "b", "output": "a", "label": 1}]
    drawn = tx("plot", "skipgram", "a", "b", "--negative", "9", "-m", "family")[0]
    assert {line.split("\t")[1] for line in io.StringIO(drawn).readlines() if line.endswith("0\n")} <= {
        *family().words,
        "all",
    }


def test_characters_that_no_font_has_are_reported(tx: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_vectors(tmp_path / "runes", ["a\U00013000", "b"], np.eye(2, dtype=np.float32))  # a hieroglyph
    assert (
        "no font here has \U00013000;"
        in tx("plot", "vectors", "a\U00013000", "-m", "runes", "-o", "x.png")[1]
    )
