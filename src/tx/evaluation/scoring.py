"""Scoring hypotheses against references by any of the metrics, those of translations and those of transcripts."""

from collections.abc import Mapping, Sequence
from typing import Any

from tx.evaluation.error_rates import rate_scores, sentence_rates
from tx.evaluation.metrics import (
    RATES,
    SEED,
    Lines,
    Score,
    check_metrics,
    corpus_scores,
    paired_scores,
    sentence_scores,
)


def system_scores(
    systems: Mapping[str, Lines],
    refs: Sequence[Lines],
    metrics: Sequence[str] = ("bleu", "chrf"),
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    normalize: str = "none",
    test: str | None = None,
    n_samples: int = 0,
    n_bootstrap: int = 0,
    seed: int = SEED,
) -> dict[str, list[Score]]:
    """The scores of each system, in the order of `metrics`, which are any of METRICS and RATES.

    `tokenize` applies to BLEU, `lowercase` to all metrics but TER, `normalize` to WER and CER. With a `test` each
    system is compared with the first, as by `tx.evaluation.metrics.paired_scores`. Raises as `corpus_scores` does.
    """
    check_metrics(metrics, len(refs))
    common: dict[str, Any] = {"lowercase": lowercase, "n_bootstrap": n_bootstrap, "seed": seed}
    paired = common | {"test": test, "n_samples": n_samples}
    scores: dict[str, list[Score]] = {name: [] for name in systems}
    for metric in metrics:
        if metric in RATES:
            column = rate_scores(systems, refs[0], [metric], normalize=normalize, **paired)
        elif test is not None:
            column = paired_scores(systems, refs, [metric], tokenize=tokenize, **paired)
        else:
            column = {
                n: corpus_scores(systems[n], refs, [metric], tokenize=tokenize, **common) for n in systems
            }
        for name, row in column.items():
            scores[name] += row
    return scores


def line_scores(
    hyp: Lines,
    refs: Sequence[Lines],
    metrics: Sequence[str] = ("bleu",),
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    normalize: str = "none",
) -> list[tuple[Score, ...]]:
    """The scores of each line, in the order of `metrics`. The options are those of `system_scores`."""
    check_metrics(metrics, len(refs))
    columns = []
    for metric in metrics:
        if metric in RATES:
            columns.append(sentence_rates(hyp, refs[0], metric, normalize=normalize, lowercase=lowercase))
        else:
            columns.append(sentence_scores(hyp, refs, metric, tokenize=tokenize, lowercase=lowercase))
    return list(zip(*columns, strict=True))
