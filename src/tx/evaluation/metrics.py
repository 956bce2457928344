"""BLEU, chrF, chrF++ and TER with signatures, confidence intervals and significance tests, by sacreBLEU.

Post (2018), "A Call for Clarity in Reporting BLEU Scores". The values equal those of the `sacrebleu` command. Its
Python interface truncates the longer of two lists, accepts a string as a list of characters and crashes on an empty
list; here each of these raises an error, and `check` returns warnings about input that is probably wrong. Nothing is
downloaded or printed.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tx.errors import TxError, UsageError, did_you_mean
from tx.text.parallel import line_count_error, n_lines

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

METRICS = ("bleu", "chrf", "chrf++", "ter")
RATES = ("wer", "cer")  # error rates of transcripts, computed by tx.evaluation.error_rates
NORMALIZERS = ("none", "basic", "english")  # text normalisers for the error rates
SEED = 12345  # the default of sacreBLEU
N_BOOTSTRAP = 1000  # resamples of a confidence interval, as in sacreBLEU
TESTS = {"bootstrap": ("bs", 1000), "randomization": ("ar", 10000)}  # sacreBLEU's name, default trials

Lines = Sequence[str]


@dataclass(frozen=True)
class ScoreOptions:
    """How to score, and whether to test for significance.

    `tokenize` applies to BLEU, `lowercase` to all metrics but TER, `normalize` to WER and CER. `test` is None,
    "bootstrap" or "randomization" with `n_samples` samples (0: sacreBLEU's default, 1,000 resamples or 10,000
    trials). `n_bootstrap` > 1 adds 95% confidence intervals by bootstrap resampling.
    """

    tokenize: str = "13a"
    lowercase: bool = False
    normalize: str = "none"
    test: str | None = None
    n_samples: int = 0
    n_bootstrap: int = 0
    seed: int = SEED


DEFAULTS = ScoreOptions()


@dataclass(frozen=True)
class Score:
    """One metric of one system, in percent; higher is better, except for TER, WER and CER.

    `mean` and `ci` are the mean of the bootstrap samples and the half width of the 95% confidence interval; `p_value`
    is the two-sided p-value of the paired test against the baseline. Each is None if it was not requested.
    """

    name: str
    value: float
    signature: str
    mean: float | None = None
    ci: float | None = None
    p_value: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


def check(systems: Mapping[str, Lines], references: Mapping[str, Lines]) -> list[str]:
    """Check that the lines can be scored, and return a warning for each thing that is probably wrong.

    The keys are the names used in messages, file names for instance. Raises TypeError for anything but lists of
    strings, and TxError for unequal numbers of lines, empty lists and references without a word.
    """
    if not references:
        raise TxError("missing reference file", "give at least one list of reference lines")
    for name, lines in (*systems.items(), *references.items()):
        if isinstance(lines, str) or not isinstance(lines, Sequence):
            raise TypeError(f"{name}: expected a list of lines, got {type(lines).__name__}")
        for number, line in enumerate(lines, 1):
            if not isinstance(line, str):
                raise TypeError(f"{name}, line {number}: expected a string, got {type(line).__name__}")
        if not lines:
            raise TxError(f"{name} is empty", "check the command that writes it")
    for hyp_name, hyp in systems.items():
        for ref_name, ref in references.items():
            if len(hyp) != len(ref):
                raise line_count_error((hyp_name, ref_name), hyp, ref)
    warnings = []
    for name, ref in references.items():
        blank = [not line.strip() for line in ref]
        if all(blank):
            raise TxError(f"{name} contains only blank lines", "a reference needs text")
        warnings += _blank_lines(name, blank)
    for name, hyp in systems.items():
        rows = zip(hyp, *references.values(), strict=True)
        # A blank hypothesis is correct where all references are blank.
        warnings += _blank_lines(name, [not h.strip() and any(map(str.strip, refs)) for h, *refs in rows])
        n = sum(line.endswith(" .") for line in hyp)
        if n >= 100:  # sacreBLEU's threshold
            warnings.append(
                f"{name}: {n:,} lines end in ' .', so it looks tokenized; only scores of detokenized text compare"
            )
    return warnings


def _blank_lines(name: str, is_blank: list[bool]) -> list[str]:
    """A warning about the lines that are blank, if there are any."""
    numbers = [str(number) for number, blank in enumerate(is_blank, 1) if blank]
    shown = ", ".join(numbers[:10]) + (", ..." if len(numbers) > 10 else "")
    return [f"{name}: {len(numbers):,} of {n_lines(len(is_blank))} blank (line {shown})"] if numbers else []


def check_metrics(metrics: Iterable[str], n_refs: int) -> None:
    """Raise UsageError for unknown metrics, and for error rates against several references."""
    for name in metrics:
        if name not in (*METRICS, *RATES):
            raise _unknown("metric", name, (*METRICS, *RATES))
        if name in RATES and n_refs > 1:
            raise UsageError(f"{name.upper()} needs one reference, not {n_refs}", "give one reference")


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    known = list(known)
    return UsageError(f"unknown {what} {name!r}", did_you_mean(name, known) or f"known: {', '.join(known)}")


def _scorer(
    name: str, refs: Sequence[Lines] | None, options: ScoreOptions, *, sentence: bool = False
) -> "Metric":
    """sacreBLEU's metric with its references cached. TER always ignores case, as TERCOM does."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    tokenize, lowercase = options.tokenize, options.lowercase
    if name == "bleu":
        _check_tokenizer(tokenize, BLEU.TOKENIZERS)
        try:
            return BLEU(lowercase, force=True, tokenize=tokenize, effective_order=sentence, references=refs)
        except (ImportError, RuntimeError) as error:
            install = f"pip install 'sacrebleu[{tokenize.partition('-')[0]}]'"
            raise TxError(
                f"the tokenizer {tokenize} needs packages that are not installed", install
            ) from error
    if name in ("chrf", "chrf++"):
        return CHRF(word_order=2 if name == "chrf++" else 0, lowercase=lowercase, references=refs)
    if name == "ter":
        return TER(references=refs)
    raise _unknown("metric", name, METRICS)


def _check_tokenizer(name: str, known: Iterable[str]) -> None:
    """Raise an error for an unknown tokenizer, and for one whose model sacreBLEU would download."""
    if name not in known:
        raise _unknown("tokenizer", name, known)
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
    from sacrebleu.utils import SACREBLEU_DIR

    if name in SPM_MODELS:
        model = Path(SACREBLEU_DIR, "models", Path(SPM_MODELS[name]["url"]).name)
        if not model.exists():
            raise TxError(
                f"the tokenizer {name} needs a model file that is not on this machine ({model})",
                f"download it once: python -c \"from sacrebleu import BLEU; BLEU(tokenize='{name}')\"",
            )


def _score(result: Any, scorer: "Metric") -> Score:
    """The score of a result of sacreBLEU, with what BLEU and TER are computed from."""
    details: dict[str, Any] = {}
    if result.name == "BLEU":
        details = {"precisions": list(result.precisions), "brevity_penalty": result.bp}
        details |= {"hyp_len": result.sys_len, "ref_len": result.ref_len}
    elif result.name == "TER":
        details = {"edits": result.num_edits, "ref_len": result.ref_length}
    signature = str(scorer.get_signature())  # complete only after scoring
    return Score(result.name, float(result.score), signature, details=details)


def _prepared(systems: Mapping[str, Lines], refs: Sequence[Lines]) -> tuple[list[list[str]], list[list[str]]]:
    """The checked lines of systems and references, without trailing white space, as the command `sacrebleu` reads."""
    if isinstance(refs, str) or not isinstance(refs, Sequence):
        raise TypeError(f"the references: expected a list of lists of lines, got {type(refs).__name__}")
    check(systems, {f"reference {number}": ref for number, ref in enumerate(refs, 1)})
    hyps, refs = ([[line.rstrip() for line in lines] for lines in side] for side in (systems.values(), refs))
    return hyps, refs


def corpus_scores(
    hyp: Lines,
    refs: Sequence[Lines],
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions = DEFAULTS,
) -> list[Score]:
    """Score hypotheses against `refs`, one list of lines per reference.

    Confidence intervals are computed by bootstrap resampling (Koehn 2004, "Statistical Significance Tests for
    Machine Translation Evaluation"). Raises as `check` does, and UsageError for an unknown metric or tokenizer.
    """
    (hyp,), refs = _prepared({"the hypotheses": hyp}, refs)
    scores = []
    for name in metrics:
        scorer = _scorer(name, refs, options)
        score = _score(scorer.corpus_score(hyp, None), scorer)
        if options.n_bootstrap > 1:
            # A paired test of the baseline alone: `corpus_score` can resample as well, but its TER fails on a sample
            # of nothing but blank lines.
            resampling = replace(options, test="bootstrap", n_samples=options.n_bootstrap)
            (resampled,) = _paired_test([hyp], scorer, resampling)
            score = replace(resampled, details=score.details)
        scores.append(score)
    return scores


def sentence_scores(
    hyp: Lines, refs: Sequence[Lines], metric: str = "bleu", options: ScoreOptions = DEFAULTS
) -> list[Score]:
    """The score of each line. BLEU uses the effective order: the n-gram orders that the line has.

    Raises as `corpus_scores` does.
    """
    (hyp,), refs = _prepared({"the hypotheses": hyp}, refs)
    scorer = _scorer(metric, None, options, sentence=True)
    return [
        _score(scorer.sentence_score(h, line_refs), scorer) for h, *line_refs in zip(hyp, *refs, strict=True)
    ]


def paired_scores(
    systems: Mapping[str, Lines],
    refs: Sequence[Lines],
    metrics: Sequence[str] = ("bleu", "chrf"),
    options: ScoreOptions = DEFAULTS,
) -> dict[str, list[Score]]:
    """Score several systems and test each for a significant difference to the first, the baseline.

    The test "bootstrap", the default, is paired bootstrap resampling (Koehn 2004), which computes confidence
    intervals as well; "randomization" is paired approximate randomization (Riezler and Maxwell 2005), which does if
    `n_bootstrap` > 1. The `p_value` of the baseline is None. The scores have no details. Raises as `corpus_scores`
    does.
    """
    options = replace(options, test=options.test or "bootstrap")
    if options.test not in TESTS:
        raise _unknown("test", str(options.test), TESTS)
    if len(systems) < 2:
        raise TxError("a paired test needs at least two systems", "score a single system without a test")
    hyps, refs = _prepared(systems, refs)
    columns = [_paired_test(hyps, _scorer(name, refs, options), options) for name in metrics]
    return {name: list(row) for name, row in zip(systems, zip(*columns, strict=True), strict=True)}


def _paired_test(hyps: Sequence[Lines], scorer: "Metric", options: ScoreOptions) -> list[Score]:
    """Run sacreBLEU's paired test of systems against the first, with the references cached in the scorer."""
    from sacrebleu.significance import PairedTest

    if options.seed < 1:  # sacreBLEU treats 0 as no seed
        raise UsageError(
            f"the seed is {options.seed}, but must be 1 or more", "omit it for sacreBLEU's default"
        )
    kind, default = TESTS[str(options.test)]
    before = os.environ.get("SACREBLEU_SEED")
    os.environ["SACREBLEU_SEED"] = str(options.seed)  # the only way to set it
    try:
        signatures, columns = PairedTest(
            [(str(number), hyp) for number, hyp in enumerate(hyps)],
            {"metric": scorer},
            references=None,
            test_type=kind,
            n_samples=options.n_samples or default,
            n_ar_confidence=options.n_bootstrap if kind == "ar" and options.n_bootstrap else -1,
        )()
    finally:
        del os.environ["SACREBLEU_SEED"]
        os.environ |= {} if before is None else {"SACREBLEU_SEED": before}
    ((name, signature),) = signatures.items()
    scores = []
    results: list[Any] = columns[name]
    for result in results:
        mean, ci, p = (None if x is None else float(x) for x in (result.mean, result.ci, result.p_value))
        scores.append(Score(name, float(result.score), str(signature), mean, ci, p))
    return scores


def bleu(hyp: Lines, refs: Sequence[Lines], options: ScoreOptions = DEFAULTS) -> Score:
    """Corpus BLEU (Papineni et al. 2002)."""
    return corpus_scores(hyp, refs, ["bleu"], options)[0]
