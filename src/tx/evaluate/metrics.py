"""BLEU, chrF, chrF++ and TER of translated lines, with their signatures, intervals and significance.

The numbers are those of sacreBLEU (Post, 2018, "A Call for Clarity in Reporting BLEU Scores"), to the last
digit; what stands here is everything around them. sacreBLEU's Python interface scores the shorter of two
unequal lists, takes a string for a list of characters and crashes on an empty one: here each of these is an
error that says so, and what merely looks wrong comes back from `check` as sentences. Nothing is ever
downloaded or printed.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tx.errors import TxError, UsageError, did_you_mean
from tx.text.parallel import n_lines, unequal

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

METRICS = ("bleu", "chrf", "chrf++", "ter")
RATES = ("wer", "cer")  # of transcripts: tx.evaluate.error_rates computes them
NORMALIZERS = ("none", "basic", "english")  # for them
SEED = 12345  # sacreBLEU's own
TESTS = {"bootstrap": ("bs", 1000), "randomization": ("ar", 10000)}  # our name -> theirs, default trials

Lines = Sequence[str]


@dataclass(frozen=True)
class Score:
    """One metric of one system. `value` is on a scale of 100; higher is better, except for TER, WER and CER.

    `mean` and `ci` are the bootstrap's mean and the half width of its 95% interval; `p_value` is that of the
    paired test against the baseline, two-sided. Each is None where it was not asked for.
    """

    name: str
    value: float
    signature: str
    mean: float | None = None
    ci: float | None = None
    p_value: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


def check(systems: Mapping[str, Lines], references: Mapping[str, Lines]) -> list[str]:
    """Refuse lines that cannot be scored, and return a sentence for each thing that looks wrong.

    The keys are the names to speak of (file names, say). Raises TypeError for anything but lists of strings,
    and TxError for unequal counts, empty lists and references without a word.
    """
    if not references:
        raise TxError("there is no reference to score against", "give at least one list of reference lines")
    for name, lines in (*systems.items(), *references.items()):
        _check_lines(name, lines)
    for hyp_name, hyp in systems.items():
        for ref_name, ref in references.items():
            if len(hyp) != len(ref):
                raise unequal((hyp_name, ref_name), hyp, ref)
    for name, ref in references.items():
        if not any(map(str.strip, ref)):
            raise TxError(f"{name} holds only blank lines", "a reference needs text to compare with")
    warnings = [_blank(name, [not line.strip() for line in ref]) for name, ref in references.items()]
    for name, hyp in systems.items():
        rows = zip(hyp, *references.values(), strict=True)
        # A blank line answered by a blank line is no fault of the system's.
        missing = [not line.strip() and any(map(str.strip, refs)) for line, *refs in rows]
        warnings += [_blank(name, missing), _tokenized(name, hyp)]
    return [warning for warning in warnings if warning]


def check_metrics(metrics: Iterable[str], n_refs: int) -> None:
    """Refuse unknown names, and error rates against several references. Raises UsageError."""
    for name in metrics:
        if name not in (*METRICS, *RATES):
            raise _unknown("metric", name, (*METRICS, *RATES))
        if name in RATES and n_refs > 1:
            raise UsageError(f"{name.upper()} is measured against one reference, not {n_refs}", "give one")


def _check_lines(name: str, lines: Lines) -> None:
    if isinstance(lines, str) or not isinstance(lines, Sequence):
        raise TypeError(f"{name}: a list of lines is needed, not one {type(lines).__name__}")
    for number, line in enumerate(lines, 1):
        if not isinstance(line, str):
            raise TypeError(f"{name}, line {number}: a string is needed, not {type(line).__name__}")
    if not lines:
        raise TxError(f"{name} is empty", "there is nothing to score; did the command that wrote it fail?")


def _blank(name: str, is_blank: list[bool]) -> str:
    numbers = [str(number) for number, blank in enumerate(is_blank, 1) if blank]
    if not numbers:
        return ""
    shown = ", ".join(numbers[:10]) + (", ..." if len(numbers) > 10 else "")
    return f"{name}: {len(numbers):,} of {n_lines(len(is_blank))} blank (line {shown})"


def _tokenized(name: str, hyp: Lines) -> str:
    n = sum(line.endswith(" .") for line in hyp)
    if n < 100:  # sacreBLEU's threshold
        return ""
    return f"{name}: {n:,} lines end in ' .', so they look tokenized; only scores of detokenized text compare"


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    known = list(known)
    return UsageError(f"unknown {what} {name!r}", did_you_mean(name, known) or f"known: {', '.join(known)}")


def _metric(
    name: str, refs: Sequence[Lines] | None, tokenize: str, lowercase: bool, *, sentence: bool = False
) -> "Metric":
    """Build sacreBLEU's metric, the references cached in it; TER ignores case anyway, as TERCOM does."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    if name == "bleu":
        _check_tokenizer(tokenize, BLEU.TOKENIZERS)
        try:
            return BLEU(lowercase, force=True, tokenize=tokenize, effective_order=sentence, references=refs)
        except (ImportError, RuntimeError) as error:
            extra = tokenize.partition("-")[0]
            raise TxError(
                f"the tokenizer {tokenize} needs packages that are not installed",
                f"pip install 'sacrebleu[{extra}]'",
            ) from error
    if name in ("chrf", "chrf++"):
        return CHRF(word_order=2 if name == "chrf++" else 0, lowercase=lowercase, references=refs)
    if name == "ter":
        return TER(references=refs)
    raise _unknown("metric", name, METRICS)


def _check_tokenizer(name: str, known: Iterable[str]) -> None:
    """Refuse an unknown tokenizer, and one whose model sacreBLEU would fetch from the network unasked."""
    if name not in known:
        raise _unknown("tokenizer", name, known)
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
    from sacrebleu.utils import SACREBLEU_DIR

    if name in SPM_MODELS:
        model = Path(SACREBLEU_DIR, "models", Path(SPM_MODELS[name]["url"]).name)
        if not model.exists():
            raise TxError(
                f"the tokenizer {name} needs a model file that is not on this machine ({model})",
                f"fetch it once: python -c \"from sacrebleu import BLEU; BLEU(tokenize='{name}')\"",
            )


def _stripped(lines: Lines) -> list[str]:
    return [line.rstrip() for line in lines]  # what sacreBLEU's own command does on reading


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Hand `seed` to sacreBLEU the only way it takes one; its paired tests would read 0 as "no seed"."""
    if seed < 1:
        raise UsageError(f"the seed is {seed}, but must be 1 or more", "leave it away for sacreBLEU's own")
    before = os.environ.get("SACREBLEU_SEED")
    os.environ["SACREBLEU_SEED"] = str(seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SACREBLEU_SEED"]
        else:
            os.environ["SACREBLEU_SEED"] = before


def _score(result: Any, metric: "Metric") -> Score:
    signature = str(metric.get_signature())  # known only once something was scored
    return Score(result.name, float(result.score), signature, details=_details(result))


def _details(result: Any) -> dict[str, Any]:
    """What BLEU and TER are made of; chrF keeps only its value."""
    if result.name == "BLEU":
        return {
            "precisions": list(result.precisions),
            "brevity_penalty": result.bp,
            "hyp_len": result.sys_len,
            "ref_len": result.ref_len,
        }
    if result.name == "TER":
        return {"edits": result.num_edits, "ref_len": result.ref_length}
    return {}


def corpus_scores(
    hyp: Lines,
    refs: Sequence[Lines],
    metrics: Sequence[str] = ("bleu", "chrf"),
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    n_bootstrap: int = 0,
    seed: int = SEED,
) -> list[Score]:
    """Score `hyp` against `refs`, one list of lines per reference; `n_bootstrap` > 1 adds 95% intervals.

    The interval is the bootstrap of Koehn (2004), "Statistical Significance Tests for Machine Translation
    Evaluation". `tokenize` concerns BLEU alone, `lowercase` BLEU and chrF. Raises as `check` does, and
    UsageError for an unknown metric or tokenizer.
    """
    check({"the hypothesis": hyp}, _numbered(refs))
    hyp, refs = _stripped(hyp), [_stripped(ref) for ref in refs]
    scores = []
    for name in metrics:
        metric = _metric(name, refs, tokenize, lowercase)
        score = _score(metric.corpus_score(hyp, None), metric)
        if n_bootstrap > 1:
            # The baseline of a test with no one to test: `corpus_score` can bootstrap too, but fails on TER
            # when a resample holds nothing but blank lines.
            ((resampled,),) = _resample({"": hyp}, {name: metric}, "bs", n_bootstrap, 0, seed).values()
            score = replace(resampled, details=score.details)
        scores.append(score)
    return scores


def sentence_scores(
    hyp: Lines, refs: Sequence[Lines], metric: str = "bleu", *, tokenize: str = "13a", lowercase: bool = False
) -> list[Score]:
    """Score each line by itself; BLEU leaves out the n-gram orders that a short line has none of.

    Raises as `corpus_scores` does.
    """
    check({"the hypothesis": hyp}, _numbered(refs))
    scorer = _metric(metric, None, tokenize, lowercase, sentence=True)
    rows = zip(_stripped(hyp), *map(_stripped, refs), strict=True)
    return [_score(scorer.sentence_score(line, line_refs), scorer) for line, *line_refs in rows]


def paired_scores(
    systems: Mapping[str, Lines],
    refs: Sequence[Lines],
    metrics: Sequence[str] = ("bleu", "chrf"),
    *,
    test: str = "bootstrap",
    tokenize: str = "13a",
    lowercase: bool = False,
    n_samples: int = 0,
    n_bootstrap: int = 0,
    seed: int = SEED,
) -> dict[str, list[Score]]:
    """Score several systems and test each against the first, the baseline, whose `p_value` stays None.

    `test` is "bootstrap" (Koehn, 2004), which gives intervals too, or "randomization" (Riezler and Maxwell,
    2005), which does with `n_bootstrap` resamples. `n_samples` 0 stands for the usual 1,000 resamples or
    10,000 trials. Raises as `corpus_scores` does. The scores have no details.
    """
    if test not in TESTS:
        raise _unknown("test", test, TESTS)
    if len(systems) < 2:
        raise TxError("a paired test needs two systems or more", "score a single one without it")
    check(systems, _numbered(refs))
    refs = [_stripped(ref) for ref in refs]
    scorers = {name: _metric(name, refs, tokenize, lowercase) for name in metrics}
    kind, usual = TESTS[test]
    return _resample(systems, scorers, kind, n_samples or usual, n_bootstrap, seed)


def _resample(
    systems: Mapping[str, Lines],
    scorers: "dict[str, Metric]",
    kind: str,
    n_samples: int,
    n_bootstrap: int,
    seed: int,
) -> dict[str, list[Score]]:
    """Run sacreBLEU's paired test, "bs" or "ar", with references that the scorers hold."""
    from sacrebleu.significance import PairedTest

    with _seeded(seed):
        signatures, columns = PairedTest(
            [(name, _stripped(hyp)) for name, hyp in systems.items()],
            scorers,
            references=None,
            test_type=kind,
            n_samples=n_samples,
            n_ar_confidence=n_bootstrap if kind == "ar" and n_bootstrap else -1,
        )()
    return {
        name: [_paired(metric, columns[metric][row], str(signatures[metric])) for metric in signatures]
        for row, name in enumerate(systems)
    }


def _paired(name: str, result: Any, signature: str) -> Score:
    mean, ci, p_value = (None if x is None else float(x) for x in (result.mean, result.ci, result.p_value))
    return Score(name, float(result.score), signature, mean, ci, p_value)


def _numbered(refs: Sequence[Lines]) -> dict[str, Lines]:
    if isinstance(refs, str) or not isinstance(refs, Sequence):
        raise TypeError(f"the references: a list of lists of lines is needed, not one {type(refs).__name__}")
    return {f"reference {number}": ref for number, ref in enumerate(refs, 1)}


def bleu(hyp: Lines, refs: Sequence[Lines], *, tokenize: str = "13a", lowercase: bool = False) -> Score:
    """Corpus BLEU (Papineni et al., 2002) as sacreBLEU defines it."""
    return corpus_scores(hyp, refs, ["bleu"], tokenize=tokenize, lowercase=lowercase)[0]


def tokenized_bleu(hyp: Lines, refs: Sequence[Lines]) -> Score:
    """BLEU of lowercased text, to set beside papers that lowercase and tokenize first (many on Multi30k do).

    They give multi-bleu on text cut up by the Moses tokenizer; this takes plain text, which the "13a" rules
    of mteval cut up, so the two agree as far as the tokenizers do. Where both sides already are tokenized,
    `bleu(..., tokenize="none", lowercase=True)` is multi-bleu but for the smoothing of zero counts. The
    signature says which it was.
    """
    return bleu(hyp, refs, lowercase=True)
