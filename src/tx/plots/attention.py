"""Attention as a heat map, and as an HTML page to explore: queries are rows, keys are columns."""

import html
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from tx.inspect.attention import AttentionMaps, AttentionMatrix, rollout
from tx.plots.color import shade
from tx.plots.figure import FAINT, MUTED, add_axes, draw_cells, new_figure, style_frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL, _LETTER, _EDGE = 0.26, 0.078, 0.2  # inches


def draw_attention(matrix: AttentionMatrix, caption: str) -> "Figure":
    """A heat map of attention weights, the caption below it."""
    n_rows, n_columns = matrix.values.shape
    left, above = (_LETTER * max(map(len, names)) + _EDGE + 0.1 for names in (matrix.rows, matrix.columns))
    below = 0.42
    width = max(left + n_columns * _CELL + _EDGE, 0.075 * len(caption) + 2 * _EDGE, 3.2)
    height = above + n_rows * _CELL + below
    figure = new_figure(width, height)
    axes = add_axes(figure, left, below, n_columns * _CELL, n_rows * _CELL)
    draw_cells(axes, matrix.values, (0, n_columns, n_rows, 0), shade)
    style_frame(axes)
    axes.set_xticks(np.arange(n_columns) + 0.5, matrix.columns, rotation=90)
    axes.set_yticks(np.arange(n_rows) + 0.5, matrix.rows)
    axes.tick_params(labelsize=9, length=0, pad=3, top=True, labeltop=True, labelbottom=False)
    axes.hlines(range(1, n_rows), 0, n_columns, colors=FAINT, linewidth=0.25)
    axes.vlines(range(1, n_columns), 0, n_rows, colors=FAINT, linewidth=0.25)
    figure.text(_EDGE / width, 0.16 / height, caption, fontsize=8, color=MUTED, va="center")
    return figure


def attention_page(maps: AttentionMaps, model: str) -> str:
    """A self-contained HTML page with all weights and predictions; the texts are escaped."""

    def rounded(values: np.ndarray) -> Any:
        return np.round(values.astype(np.float64), 3).tolist()

    sides = {"src": maps.src, "tgt": maps.tgt, "read": maps.decoder_input}
    data = {
        "about": f"{model}, log-probability {maps.logprob:.2f}",
        "axes": {
            name: {"pieces": side.pieces, "words": side.words, "of": side.word_ids}
            for name, side in sides.items()
        },
        "weights": {kind: [rounded(layer) for layer in layers] for kind, layers in maps.weights.items()},
        "rollout": {kind: rounded(values) for kind, values in rollout(maps.weights).items()},
        "candidates": [
            [[p.piece, round(p.probability, 4), p.chosen] for p in step] for step in maps.predictions
        ],
    }
    # JSON in a script element: only a literal "<" could end the element.
    safe = re.sub("[<>&\u2028\u2029]", lambda c: f"\\u{ord(c[0]):04x}", json.dumps(data, ensure_ascii=False))
    values = {"TITLE": html.escape(f"{maps.source} \u2192 {maps.translation}"), "DATA": safe}
    template = files("tx.plots").joinpath("attention.html").read_text(encoding="utf-8")
    return re.sub("__(TITLE|DATA)__", lambda place: values[place[1]], template)
