"""The model card (Mitchell et al. 2019, https://arxiv.org/abs/1810.03993): README.md, from model.json.

The card ends in a comment with the digest of the text above it. While the two agree, tx rewrites the card
when the package changes; once a person has edited it, it is theirs. Kept in the card, that mark cannot
disagree with it after a crash, as one in model.json could.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tx.package.manifest import Manifest

_MARK = re.compile(r"<!-- tx rewrites this card until it is edited: ([0-9a-f]{16}) -->\n?")
_LOWER_IS_BETTER = {"ter", "wer", "cer", "loss", "perplexity"}
_USE = {
    "translation": [
        "tx translate -m {name} < input.txt > output.txt",
        "tx evaluate -m {name} test.src test.tgt",
    ],
    "tokenizer": ["tx tokenize -m {name} < input.txt > pieces.txt", "tx detokenize -m {name} < pieces.txt"],
    "language-model": ['tx generate -m {name} "Once" --length 300'],
    "transcription": ["tx transcribe talk.mp4 -m {name}"],
    "vectors": ["tx analogy -m {name} king-man+woman", "tx neighbors -m {name} king"],
}


def card(manifest: Manifest, name: str) -> str:
    """The model card, in Markdown, of the package called `name`."""
    arch = f" ({manifest['arch']})" if manifest["arch"] else ""
    usage = [line.format(name=_plain(name)) for line in _USE.get(manifest["task"], [])]
    usage.append(f"tx models show {_plain(name)}")
    made = f"A {_text(manifest['task'] + arch)} package, made with tx {_text(manifest['tx_version'])}."
    parts = [
        f"# {_text(name)}\n\n{made}",
        "## Use\n\n" + "\n".join(f"    {line}" for line in usage),
    ]
    if manifest["scores"]:
        parts.append("## Scores\n\n" + _scores(manifest["scores"]))
    if manifest["data"]:
        parts.append("## Training data\n\n" + "\n\n".join(_item(*item) for item in manifest["data"].items()))
    if manifest["tokenizers"]:
        rows = [(name, entry["kind"], entry["file"]) for name, entry in manifest["tokenizers"].items()]
        parts.append("## Tokenizers\n\n" + _table(("tokenizer", "kind", "file"), rows))
    if manifest["config"]:
        parts.append("## Configuration\n\n" + _table(("key", "value"), manifest["config"].items()))
    text = "\n\n".join(parts) + "\n\n"
    return f"{text}<!-- tx rewrites this card until it is edited: {_digest(text)} -->\n"


def is_untouched(text: str) -> bool:
    """Whether a card is still as tx wrote it."""
    start = text.rfind("<!-- tx ")
    mark = _MARK.fullmatch(text, start) if start >= 0 else None
    return mark is not None and mark[1] == _digest(text[:start])


def best_score(scores: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The best score in the metric that was stored first, or None."""
    if not scores:
        return None
    metric = scores[0]["metric"]
    sign = -1 if metric.lower() in _LOWER_IS_BETTER else 1
    return max(
        (score for score in scores if score["metric"] == metric), key=lambda score: sign * score["value"]
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _scores(scores: Iterable[dict[str, Any]]) -> str:
    columns = ("metric", "value", "data", "signature")
    rows = ({**score, "value": f"{score['value']:.4g}"} for score in scores)
    return _table(columns, ([row.get(column, "") for column in columns] for row in rows))


def _item(key: str, value: Any) -> str:
    """One entry of the data report: a table of files, a list of counts, or a plain value."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        columns = list(dict.fromkeys(column for row in value for column in row))
        return f"{_text(key)}:\n\n" + _table(
            columns, ([row.get(column, "") for column in columns] for row in value)
        )
    if isinstance(value, dict):
        return f"{_text(key)}:\n\n" + "\n".join(
            f"- {_text(name)}: {_text(count)}" for name, count in value.items()
        )
    return f"{_text(key)}: {_text(value)}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines)


def _text(value: Any) -> str:
    """`value` as text that cannot break out of its table cell or line."""
    return re.sub(r"([|<\\`*_\[])", r"\\\1", _plain(value))


def _plain(value: Any) -> str:
    return " ".join(str(value).split())
