"""Scoring hypotheses against references by any of the metrics, those of translations and those of transcripts."""

from collections.abc import Mapping, Sequence

from tx.evaluation import metrics as translation_metrics
from tx.evaluation.error_rates import rate_scores, sentence_rates
from tx.evaluation.metrics import DEFAULTS, RATES, Lines, Score, ScoreOptions, check_metrics


def system_scores(
    systems: Mapping[str, Lines],
    refs: Sequence[Lines],
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions = DEFAULTS,
) -> dict[str, list[Score]]:
    """The scores of each system, in the order of `metrics`, which are any of METRICS and RATES.

    With a test each system is compared with the first, as by `tx.evaluation.metrics.paired_scores`. Raises as
    `corpus_scores` does.
    """
    check_metrics(metrics, len(refs))
    rate_options = {name: value for name, value in vars(options).items() if name != "tokenize"}
    scores: dict[str, list[Score]] = {name: [] for name in systems}
    for metric in metrics:
        if metric in RATES:
            column = rate_scores(systems, refs[0], [metric], **rate_options)
        elif options.test is not None:
            column = translation_metrics.paired_scores(systems, refs, [metric], options)
        else:
            column = {
                n: translation_metrics.corpus_scores(systems[n], refs, [metric], options) for n in systems
            }
        for name, row in column.items():
            scores[name] += row
    return scores


def line_scores(
    hyp: Lines, refs: Sequence[Lines], metrics: Sequence[str] = ("bleu",), options: ScoreOptions = DEFAULTS
) -> list[tuple[Score, ...]]:
    """The scores of each line, in the order of `metrics`."""
    check_metrics(metrics, len(refs))
    normalize, lowercase = options.normalize, options.lowercase
    columns = [
        sentence_rates(hyp, refs[0], metric, normalize=normalize, lowercase=lowercase)
        if metric in RATES
        else translation_metrics.sentence_scores(hyp, refs, metric, options)
        for metric in metrics
    ]
    return list(zip(*columns, strict=True))
