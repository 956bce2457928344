"""The model card (Mitchell et al. 2019, https://arxiv.org/abs/1810.03993): README.md, from model.json.

The card ends in a comment with the digest of the text above it. While the two agree, tx rewrites the card
when the package changes; a card that somebody has edited is left alone. Stored in the card, that mark cannot
disagree with it after a crash, as one in model.json could.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tx.package.manifest import Manifest

_MARK = re.compile(r"<!-- tx rewrites this card until it is edited: ([0-9a-f]{16}) -->\n?")
_LOSSES = {"loss", "perplexity", "ppl"}  # comparable between models of one vocabulary only
_LAST = _LOSSES | {"aer", "alignment precision", "alignment recall"}
_LOWER_IS_BETTER = _LOSSES | {"aer", "ter", "wer", "cer", "bits per character", "bpc"}
_USE = {
    "translation": [
        "tx translate -m {name} < input.txt > output.txt",
        "tx evaluate -m {name} {test}",
    ],
    "tokenizer": ["tx tokenize -m {name} < input.txt > pieces.txt", "tx detokenize -m {name} < pieces.txt"],
    "tagging": ["tx tag -m {name} < input.txt", "tx evaluate -m {name} test.conll"],
    "language-model": ['tx generate -m {name} "Once" --length 300'],
    "speech": ["tx transcribe -m {name} talk.mp4", "tx evaluate -m {name} DATA"],
    "vectors": ["tx analogy --model {name} king-man+woman", "tx neighbors --model {name} king"],
}


def model_card(manifest: Manifest, name: str) -> str:
    """The model card, in Markdown, of the package called `name`."""
    arch = f" ({manifest['arch']})" if manifest["arch"] else ""
    test = _test_files(manifest["data"])
    usage = [line.format(name=_plain(name), test=test) for line in _USE.get(manifest["task"], [])]
    usage.append(f"tx models show {_plain(name)}")
    made = f"A {_text(manifest['task'] + arch)} package, made with tx {_text(manifest['tx_version'])}."
    parts = [
        f"# {_text(name)}\n\n{made}",
        "## Use\n\n" + "\n".join(f"    {line}" for line in usage),
    ]
    if manifest["scores"]:
        parts.append("## Scores\n\n" + _scores(manifest["scores"]))
    if data := {key: value for key, value in manifest["data"].items() if value not in ([], {}, "", None)}:
        parts.append("## Training data\n\n" + _data(data))
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
    """The score by which packages compare, or None: a test set's before validation's, BLEU before the loss.

    Of equal ones the metric that was stored first counts, and of those with its signature the best.
    """
    if not scores:
        return None
    chosen = min(scores, key=_rank)
    alike = [score for score in scores if _rank(score) == _rank(chosen) and _kind(score) == _kind(chosen)]
    sign = -1 if _metric(chosen) in _LOWER_IS_BETTER else 1
    return max(alike, key=lambda score: sign * score["value"])


def _metric(score: dict[str, Any]) -> str:
    return str(score["metric"]).lower().removeprefix("valid_")


def _rank(score: dict[str, Any]) -> tuple[bool, bool]:
    validation = score["metric"].startswith("valid_") or f"{score.get('data')},".startswith("validation,")
    return validation, _metric(score) in _LAST


def _kind(score: dict[str, Any]) -> tuple[str, Any]:
    return _metric(score), score.get("signature")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _scores(scores: Iterable[dict[str, Any]]) -> str:
    columns = ("metric", "value", "data", "signature")
    rows = ({**score, "value": f"{score['value']:.4g}"} for score in scores)
    return _table(columns, ([row.get(column, "") for column in columns] for row in rows))


def _test_files(data: dict[str, Any]) -> str:
    """A source and a reference as an example may call them: by the languages in the names of the training files."""
    files = data.get("files")
    names = (
        [str(file.get("name")) for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    )
    languages = [re.search(r"\.[a-z]{2,3}(?=(\.gz)?$)", name) for name in names]
    src, tgt = languages if len(languages) == 2 else (None, None)
    return f"test{src[0]} test{tgt[0]}" if src and tgt and src[0] != tgt[0] else "SRC REF"


def _data(data: dict[str, Any]) -> str:
    """The data report: a list of its plain values, then tables of files, of what was dropped, and the like."""
    plain, parts = [], []
    for key, value in data.items():
        name = _text(key.replace("_", " "))
        if isinstance(value, list) and all(isinstance(row, dict) for row in value):
            columns = list(dict.fromkeys(column for row in value for column in row))
            rows = ([row.get(column, "") for column in columns] for row in value)
            parts.append(f"{name}:\n\n" + _table([column.replace("_", " ") for column in columns], rows))
        elif isinstance(value, dict):
            counts = (f"- {_text(inner)}: {_text(count)}" for inner, count in value.items())
            parts.append(f"{name}:\n\n" + "\n".join(counts))
        else:
            plain.append(f"- {name}: {_text(value)}")
    return "\n\n".join(["\n".join(plain), *parts] if plain else parts)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines)


def _text(value: Any) -> str:
    """`value` as text that cannot break out of its table cell or line; within a word, `_` needs no escape."""
    return re.sub(r"([|<\\`*\[]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", _plain(value))


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if type(value) is int:
        return f"{value:,}"
    return " ".join(str(value).split())
