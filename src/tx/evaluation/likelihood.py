"""The log-probability that a translator assigns to given translations, and a language model to lines of text."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tx.decode.translate import open_translator
from tx.errors import TxError
from tx.evaluation.perplexity import load_language_model, score_lines
from tx.text.parallel import n_lines, read_parallel

BATCH = 1000  # sentence pairs that are scored together


@dataclass(frozen=True)
class Likelihood:
    """The log-probability of a line in nats, and its length in tokens, `</s>` included.

    `characters` is the length in characters with the newline; None for a translation.
    """

    logprob: float
    tokens: int
    characters: int | None = None

    def as_dict(self) -> dict[str, float]:
        """The values, without that of `characters` for a translation."""
        numbers = {"logprob": round(self.logprob, 6), "tokens": self.tokens}
        return numbers if self.characters is None else numbers | {"characters": self.characters}


def score_text(path: Path, batches: Iterable[list[str]]) -> Iterator[list[Likelihood]]:
    """Score batches of lines with the language model in the package at `path`."""
    model, tokenizer = load_language_model(path)
    for lines in batches:
        scores = score_lines(model, tokenizer, lines)
        yield [Likelihood(*score, len(line) + 1) for score, line in zip(scores, lines, strict=True)]


def score_translations(path: Path, src_file: str, tgt_file: str) -> Iterator[list[Likelihood]]:
    """Score the translation of each source line with the translator in the package at `path`, in batches."""
    src, tgt = read_parallel([src_file, tgt_file])
    if not src:
        raise TxError(f"{src_file} and {tgt_file} are empty", "give a source and its translation")
    translator, _ = open_translator(path)
    for start in range(0, len(src), BATCH):
        scores = translator.score(src[start : start + BATCH], tgt[start : start + BATCH])
        yield [Likelihood(*score) for score in scores]


@dataclass
class Total:
    """The sums over lines that have been scored."""

    lines: int = 0
    logprob: float = 0.0
    tokens: int = 0
    characters: int = 0

    def add(self, scores: Sequence[Likelihood]) -> None:
        self.lines += len(scores)
        self.logprob += sum(score.logprob for score in scores)
        self.tokens += sum(score.tokens for score in scores)
        self.characters += sum(score.characters or 0 for score in scores)

    def __str__(self) -> str:
        """The number of lines, their log-probability, bits per character of text, and the perplexity per token."""
        perplexity = f"perplexity {math.exp(min(-self.logprob / self.tokens, 700.0)):.3f} per token"
        if not self.characters:
            return f"{self.lines:,} pairs, {self.tokens:,} tokens: {self.logprob:.2f} nats, {perplexity}"
        bits = f"{-self.logprob / self.characters / math.log(2):.4f} bits per character"
        size = f"{n_lines(self.lines)}, {self.characters:,} characters"
        return f"{size}: {self.logprob:.2f} nats, {bits}, {perplexity}"
