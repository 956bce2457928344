"""Word and character error rates (WER, CER) of transcripts, raw and normalised, with intervals and significance.

WER is the number of substituted, deleted and inserted words divided by the number of words in the reference; CER is
the same for characters. Edits are found by rapidfuzz; the rates, and how texts are split into words, are jiwer's.
Normalising follows Radford et al. (2022), appendix C: it removes case, punctuation and text in brackets.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from rapidfuzz.distance import Levenshtein

from tx.errors import TxError, UsageError, did_you_mean
from tx.evaluation.metrics import NORMALIZERS, RATES, SEED, TESTS, Score, check
from tx.evaluation.significance import bootstrap, confidence_interval, p_value
from tx.speech.languages import NAMES

Normalizer = Callable[[str], str]
Edit = tuple[Literal["hit", "substitution", "deletion", "insertion"], int, int]


def align(ref: Sequence[Hashable], hyp: Sequence[Hashable]) -> list[Edit]:
    """The shortest alignment of two sequences, in order, as (kind, index in `ref`, index in `hyp`).

    A deletion has the index of the next symbol of `hyp`, and an insertion that of the next symbol of `ref`.
    """
    edits: list[Edit] = []
    for op in Levenshtein.opcodes(ref, hyp):
        i, j = op.src_start, op.dest_start
        if op.tag == "delete":
            edits += [("deletion", k, j) for k in range(i, op.src_end)]
        elif op.tag == "insert":
            edits += [("insertion", i, k) for k in range(j, op.dest_end)]
        else:
            kind: Literal["hit", "substitution"] = "hit" if op.tag == "equal" else "substitution"
            edits += [(kind, i + k, j + k) for k in range(op.src_end - i)]
    return edits


@dataclass(frozen=True)
class Rates:
    """The edits of each utterance. `words` and `characters` have shape (utterances, 4): hits, substitutions,
    deletions, insertions."""

    words: np.ndarray
    characters: np.ndarray

    @property
    def wer(self) -> float:
        """Errors per word of the reference: 0.1 is 10 %."""
        return rate(self.words)

    @property
    def cer(self) -> float:
        """Errors per character of the reference."""
        return rate(self.characters)


def error_rates(refs: Sequence[str], hyps: Sequence[str], normalizer: Normalizer | None = None) -> Rates:
    """The rates of the transcripts `hyps` against `refs`. Raises TxError as `tx.evaluation.metrics.check` does."""
    check({"the transcripts": hyps}, {"the references": refs})
    if normalizer is not None:
        refs, hyps = [normalizer(text) for text in refs], [normalizer(text) for text in hyps]
    pairs = list(zip(refs, hyps, strict=True))
    words = [_counts(split_words(ref), split_words(hyp)) for ref, hyp in pairs]
    characters = [_counts(ref.strip(), hyp.strip()) for ref, hyp in pairs]
    return Rates(np.array(words), np.array(characters))


def split_words(text: str) -> list[str]:
    """The words of a text as jiwer splits it: at spaces, and at two or more white-space characters in a row."""
    return [word for word in re.sub(r"\s\s+", " ", text).strip().split(" ") if word]


def _counts(ref: Sequence[str], hyp: Sequence[str]) -> tuple[int, int, int, int]:
    """Hits, substitutions, deletions and insertions."""
    n = Counter(edit.tag for edit in Levenshtein.editops(ref, hyp))
    return len(ref) - n["replace"] - n["delete"], n["replace"], n["delete"], n["insert"]


def rate(counts: np.ndarray) -> float:
    """Errors per unit of the reference, of counts of shape (utterances, 4); with an empty reference, their number."""
    hits, substitutions, deletions, insertions = (int(n) for n in counts.sum(axis=0))
    return (substitutions + deletions + insertions) / (hits + substitutions + deletions or 1)


# --- normalising ---


def normalizer(name: str, spelling: Mapping[str, str] | None = None) -> Normalizer | None:
    """The normaliser called "none", "basic" or "english"; a language code ("en", "de") gives the one for it.

    "basic" is Whisper's normaliser for all languages except English; "english" also unifies numbers, titles and
    contractions and, with the table `spelling` of a model, British and American spelling; it needs transformers.
    Raises TxError if transformers is missing, and UsageError for an unknown name.
    """
    if name == "none":
        return None
    if name in ("en", "english"):
        return _english(spelling or {})
    if name == "basic" or name in NAMES:
        return basic
    raise UsageError(
        f"there is no normaliser '{name}'",
        did_you_mean(name, NORMALIZERS) or f"known: {', '.join(NORMALIZERS)}",
    )


def basic(text: str) -> str:
    """Whisper's basic normalisation: lower case, no brackets, a space for each mark, symbol or punctuation sign."""
    text = re.sub(r"\([^)]+\)", "", re.sub(r"[<\[][^>\]]*[>\]]", "", text.lower()))
    plain = (" " if unicodedata.category(c)[0] in "MSP" else c for c in unicodedata.normalize("NFKC", text))
    return re.sub(r"\s+", " ", "".join(plain).lower()).strip()


def _english(spelling: Mapping[str, str]) -> Normalizer:
    try:
        from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
    except ImportError as error:
        raise TxError(
            "the normaliser for English needs transformers",
            "pip install 'tx[whisper]', or use --normalize basic",
        ) from error
    english = EnglishTextNormalizer(dict(spelling))
    return lambda text: str(english(text)).strip()


# --- scores ---


def rate_scores(
    systems: Mapping[str, Sequence[str]],
    ref: Sequence[str],
    metrics: Sequence[str] = RATES,
    *,
    normalize: str = "none",
    lowercase: bool = False,
    test: str | None = None,
    n_samples: int = 0,
    n_bootstrap: int = 0,
    seed: int = SEED,
) -> dict[str, list[Score]]:
    """WER and CER of several systems as `Score`s in percent, in the order of `metrics`.

    `n_bootstrap` > 1 adds 95% confidence intervals. `test`, "bootstrap" or "randomization", compares each system
    with the first by `n_samples` samples of the utterances; 0 is the default of `paired_scores`.
    Raises as `error_rates` and `normalizer` do.
    """
    prepare = _preparation(normalize, lowercase)
    rates = {name: error_rates(ref, hyp, prepare) for name, hyp in systems.items()}
    baseline = next(iter(rates.values()))
    signature = f"nrefs:1|case:{'lc' if lowercase else 'mixed'}|norm:{normalize}|n:{len(ref)}"
    scores: dict[str, list[Score]] = {}
    for name, found in rates.items():
        scores[name] = []
        for metric in metrics:
            counts, base = counts_of(found, metric), counts_of(baseline, metric)
            score = replace(rate_score(counts, metric, n_bootstrap, seed), signature=signature)
            if test is not None and found is not baseline:
                p = significance(base, counts, test, n_samples or TESTS[test][1], seed)
                score = replace(score, p_value=p)
            scores[name].append(score)
    return scores


def sentence_rates(
    hyp: Sequence[str],
    ref: Sequence[str],
    metric: str = "wer",
    *,
    normalize: str = "none",
    lowercase: bool = False,
) -> list[Score]:
    """The rate of each line, in percent. Raises as `rate_scores` does."""
    counts = counts_of(error_rates(ref, hyp, _preparation(normalize, lowercase)), metric)
    return [rate_score(counts[i : i + 1], metric) for i in range(len(counts))]


def _preparation(normalize: str, lowercase: bool) -> Normalizer:
    normalized = normalizer(normalize) or str
    return lambda text: normalized(text.lower() if lowercase else text)


def counts_of(rates: Rates, metric: str) -> np.ndarray:
    """The counts that a metric, "wer" or "cer", is computed from."""
    return rates.words if metric == "wer" else rates.characters


def rate_score(counts: np.ndarray, metric: str, n_bootstrap: int = 0, seed: int = SEED) -> Score:
    """One rate in percent, of counts of shape (utterances, 4), with their sums and a confidence interval."""
    names = ("hits", "substitutions", "deletions", "insertions")
    details: dict[str, Any] = dict(zip(names, (int(n) for n in counts.sum(axis=0)), strict=True))
    details["ref_len"] = int(counts[:, :3].sum())
    score = Score(metric.upper(), 100 * rate(counts), "", details=details)
    if n_bootstrap < 2:
        return score
    samples = 100 * _resampled(counts, n_bootstrap, seed)
    return replace(score, mean=float(samples.mean()), ci=confidence_interval(samples))


def _errors(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors and reference length of each utterance."""
    return counts[:, 1:].sum(axis=1), counts[:, :3].sum(axis=1)


def _resampled(counts: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The rates of `n` bootstrap samples of the utterances."""
    errors, lengths = _errors(bootstrap(counts, n, seed))
    return errors / np.maximum(lengths, 1)  # type: ignore[no-any-return]


def significance(
    baseline: np.ndarray, counts: np.ndarray, test: str = "bootstrap", n_samples: int = 1000, seed: int = SEED
) -> float:
    """The two-sided p-value of the difference of two systems on the same utterances (counts of shape (N, 4)).

    "bootstrap" is that of Koehn (2004), as in sacreBLEU; "randomization" (Riezler and Maxwell, 2005) exchanges the
    outputs of the two systems at random. Raises UsageError for an unknown test.
    """
    observed = rate(counts) - rate(baseline)
    if test == "bootstrap":
        differences = _resampled(counts, n_samples, seed) - _resampled(baseline, n_samples, seed)
        return p_value(observed, differences)
    if test == "randomization":
        errors, lengths = _errors(counts)
        gaps, rng = errors - _errors(baseline)[0], np.random.default_rng(seed)
        signs = (rng.choice((-1, 1), size=len(gaps)) for _ in range(n_samples))
        differences = np.array([(sign * gaps).sum() for sign in signs]) / max(lengths.sum(), 1)
        extreme = np.abs(differences) >= abs(observed) - 1e-12
        return float(extreme.sum() + 1) / (n_samples + 1)
    raise UsageError(f"there is no test '{test}'", did_you_mean(test, TESTS) or f"known: {', '.join(TESTS)}")
