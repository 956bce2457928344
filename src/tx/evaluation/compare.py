"""Comparing translators on one test set: scores with significance, size, speed, BLEU by source length, and the
sentences on which they differ.

A decoder that sees its source as a single vector translates long sentences worst (Cho et al. 2014, "On the Properties
of Neural Machine Translation: Encoder-Decoder Approaches"); scores by source length show this.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tx.config.duration import format_duration
from tx.decode.translate import SearchOptions, open_translator
from tx.errors import TxError, UsageError
from tx.evaluation.metrics import N_BOOTSTRAP, Lines, Score, ScoreOptions, bleu, check, sentence_scores
from tx.evaluation.scoring import system_scores
from tx.package import find_package
from tx.text.lines import read_lines

N_BUCKETS = 5
MIN_LINES = 20  # of the bucket of the longest sources: BLEU of fewer lines varies too much


@dataclass
class System:
    """A translation package with its translations of the test set, and its training if the run still exists."""

    name: str
    parameters: int
    hyps: list[str]
    sentences_per_s: float
    beam_size: int
    steps: int | None = None
    train_seconds: float | None = None
    tokens_per_s: float | None = None  # target tokens in training, the median of the log
    scores: list[Score] = field(default_factory=list)  # BLEU and chrF


@dataclass(frozen=True)
class Bucket:
    """The lines whose source has `low` to `high` words (None: no limit), with the BLEU of each system on them."""

    low: int
    high: int | None
    n_lines: int
    bleu: dict[str, float | None]  # None where no reference has text

    @property
    def label(self) -> str:
        if self.high is None:
            return f"{self.low}+"
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


@dataclass(frozen=True)
class Difference:
    """A line with the sentence chrF of two systems, in percent."""

    line: int  # from 1
    chrf: tuple[float, float]


@dataclass
class Comparison:
    """Systems in the order in which they were named, and buckets from short to long sources."""

    systems: list[System]
    buckets: list[Bucket]
    warnings: list[str]

    def details(self) -> dict[str, Any]:
        """The JSON document."""
        systems = []
        for system in self.systems:
            values = {key: value for key, value in vars(system).items() if key not in ("hyps", "scores")}
            columns = ("value", "ci", "p_value", "signature")
            values["scores"] = [
                {"metric": score.name} | {key: getattr(score, key) for key in columns}
                for score in system.scores
            ]
            systems.append(values | {"translations": system.hyps})  # long: last
        return {"systems": systems, "lengths": [asdict(bucket) for bucket in self.buckets]}


def compare_translators(
    names: Sequence[str],
    src: Lines,
    refs: Sequence[Lines],
    *,
    edges: Sequence[int] | None = None,
    beam_size: int | None = None,
    device: str = "auto",
    threads: int = 0,
    say: Callable[[str], None] = lambda message: None,
) -> Comparison:
    """Translate `src` with each of the named packages and score the translations.

    The p-values are those of paired bootstrap resampling against the first package. `edges` are the source lengths at
    which a new bucket begins, by default `edges_of(src)`; `beam_size` overrides that of the packages; `say` reports
    each translated system. Raises UsageError for a package that is named twice, and as `by_length` does.
    """
    if len(set(names)) < len(names):
        raise UsageError("a model is named twice", "name each model once")
    edges = edges_of(src) if edges is None else edges
    check_edges(edges)
    systems = [_translate(name, src, beam_size, device, threads, say) for name in names]
    if len({Path(name).name for name in names}) == len(names):
        for system in systems:
            system.name = Path(system.name).name
    hyps = {system.name: system.hyps for system in systems}
    warnings = check(hyps, {f"reference {n}": ref for n, ref in enumerate(refs, 1)})
    test = "bootstrap" if len(hyps) > 1 else None
    scores = system_scores(hyps, refs, options=ScoreOptions(test=test, n_bootstrap=N_BOOTSTRAP))
    for system in systems:
        system.scores = scores[system.name]
    return Comparison(systems, by_length(src, hyps, refs, edges), warnings)


def _translate(
    name: str, src: Lines, beam_size: int | None, device: str, threads: int, say: Callable[[str], None]
) -> System:
    """Translate the source with one package and measure the speed, without loading and warming up."""
    path = find_package(name, "translation")
    translator, decode = open_translator(path, device, threads)
    decode.beam_size = beam_size or decode.beam_size
    translator.translate(src[:16], SearchOptions(decode))
    began = time.monotonic()
    hyps = [result.text for result in translator.translate(src, SearchOptions(decode))]
    seconds = time.monotonic() - began
    say(f"{name}: translated {len(src):,} lines in {format_duration(seconds)}")
    n_parameters = sum(parameter.numel() for parameter in translator.model.parameters())
    system = System(name, n_parameters, hyps, len(src) / seconds, decode.beam_size)
    rates = []
    with suppress(TxError, ValueError, KeyError, TypeError):  # no run, or its log is being written
        for line in read_lines(path / "run" / "metrics.jsonl"):
            record = json.loads(line)
            system.steps, system.train_seconds = int(record["step"]), float(record["seconds"])
            if "tokens_per_s" in record:
                rates.append(float(record["tokens_per_s"]))
    system.tokens_per_s = median(rates) if rates else None
    return system


def edges_of(src: Lines, n_buckets: int = N_BUCKETS) -> list[int]:
    """Source lengths in words at which a new bucket begins, so that about `n_buckets` have equally many lines.

    Lines of equal length are in the same bucket; the longest sentences, on which systems differ most, have their own.
    """
    lengths = sorted(len(line.split()) for line in src)
    if not lengths:
        return []
    places = [round(i * len(lengths) / n_buckets) for i in range(1, n_buckets)]
    tail = len(lengths) - max(MIN_LINES, len(lengths) // (4 * n_buckets))
    places += [tail] if tail > max(places, default=0) else []
    return sorted({lengths[place] for place in places if place < len(lengths)} - {lengths[0]})


def check_edges(edges: Sequence[int]) -> None:
    """Raise UsageError for edges that do not rise."""
    if any(b <= a for a, b in zip([0, *edges], edges, strict=False)):
        raise UsageError(
            f"the lengths {','.join(map(str, edges))} do not rise", "for example --lengths 8,12,16"
        )


def by_length(
    src: Lines, systems: Mapping[str, Lines], refs: Sequence[Lines], edges: Sequence[int]
) -> list[Bucket]:
    """Corpus BLEU of every system by the length of the source in words; a bucket begins at each edge.

    Raises UsageError for edges that do not rise.
    """
    check_edges(edges)
    lengths = [len(line.split()) for line in src]
    buckets = []
    for low, nxt in zip([0, *edges], [*edges, None], strict=True):
        rows = [i for i, n in enumerate(lengths) if low <= n and (nxt is None or n < nxt)]
        texts = [[ref[i] for i in rows] for ref in refs]
        has_text = any(line.strip() for text in texts for line in text)
        hyps = {name: [hyp[i] for i in rows] for name, hyp in systems.items()}
        scores = {name: bleu(lines, texts).value if has_text else None for name, lines in hyps.items()}
        buckets.append(Bucket(max(low, 1), None if nxt is None else nxt - 1, len(rows), scores))
    return buckets


def most_different(a: Lines, b: Lines, refs: Sequence[Lines], n: int) -> list[Difference]:
    """The `n` lines with the largest difference in sentence chrF between `a` and `b`, the largest first."""
    first, second = ([s.value for s in sentence_scores(hyp, refs, "chrf")] for hyp in (a, b))
    pairs = list(zip(first, second, strict=True))
    order = sorted(range(len(pairs)), key=lambda i: -abs(pairs[i][1] - pairs[i][0]))
    return [Difference(i + 1, pairs[i]) for i in order[:n] if pairs[i][0] != pairs[i][1]]
