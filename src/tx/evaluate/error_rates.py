"""Word and character error rates of transcripts, raw and normalised, with intervals and significance.

WER is the number of words put in wrongly, left out or exchanged, divided by the number of words that were said; CER
the same in characters. The numbers are jiwer's, its splitting of words included. Normalising follows Radford et al.
(2022), appendix C: case, punctuation and what stands in brackets do not count.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tx.errors import TxError, UsageError, did_you_mean
from tx.evaluate.edits import Edit, align
from tx.evaluate.metrics import NORMALIZERS, RATES, SEED, TESTS, Score, check
from tx.evaluate.resample import half_width, p_value, resampled_sums

Normalizer = Callable[[str], str]


@dataclass(frozen=True)
class Rates:
    """The edits that each utterance needs. `words` and `characters` have shape (utterances, 4): hits,
    substitutions, deletions, insertions."""

    words: np.ndarray
    characters: np.ndarray

    @property
    def wer(self) -> float:
        """Errors per word that was said: 0.1 is 10 %."""
        return rate(self.words)

    @property
    def cer(self) -> float:
        """Errors per character that was said."""
        return rate(self.characters)

    @cached_property
    def _sums(self) -> list[int]:
        return [int(n) for n in self.words.sum(axis=0)]

    @property
    def hits(self) -> int:
        return self._sums[0]

    @property
    def substitutions(self) -> int:
        return self._sums[1]

    @property
    def deletions(self) -> int:
        return self._sums[2]

    @property
    def insertions(self) -> int:
        return self._sums[3]


def error_rates(refs: Sequence[str], hyps: Sequence[str], normalizer: Normalizer | None = None) -> Rates:
    """The rates of transcripts `hyps` of what `refs` say. Raises TxError as `tx.evaluate.metrics.check` does."""
    check({"the transcripts": hyps}, {"the references": refs})
    if normalizer is not None:
        refs, hyps = [normalizer(text) for text in refs], [normalizer(text) for text in hyps]
    pairs = list(zip(refs, hyps, strict=True))
    words = [_counts(align(split_words(ref), split_words(hyp))) for ref, hyp in pairs]
    characters = [_counts(align(ref.strip(), hyp.strip())) for ref, hyp in pairs]
    return Rates(np.array(words), np.array(characters))


def split_words(text: str) -> list[str]:
    """Words as jiwer cuts them: at spaces, and where two or more characters of white space meet."""
    return [word for word in re.sub(r"\s\s+", " ", text).strip().split(" ") if word]


def _counts(edits: Sequence[Edit]) -> tuple[int, ...]:
    kinds = [kind for kind, _, _ in edits]
    return tuple(kinds.count(kind) for kind in ("hit", "substitution", "deletion", "insertion"))


def rate(counts: np.ndarray) -> float:
    """Errors per unit that was said, of counts of shape (utterances, 4); their number if none was, as in jiwer."""
    hits, substitutions, deletions, insertions = (int(n) for n in counts.sum(axis=0))
    return (substitutions + deletions + insertions) / (hits + substitutions + deletions or 1)


# --- normalising ---


def normalizer(name: str, spelling: Mapping[str, str] | None = None) -> Normalizer | None:
    """The normaliser called "none", "basic" or "english"; a language ("en", "de") stands for the one that fits it.

    "basic" is Whisper's for every language but English; "english" also writes numbers, titles and contractions in
    one way and, with the table `spelling` of a model, British words as American ones; it needs transformers. Raises
    TxError where that is missing, and UsageError for a name that is neither.
    """
    if name == "none":
        return None
    if name in ("en", "english"):
        return _english(spelling or {})
    if name == "basic" or re.fullmatch("[a-z]{2,3}", name):
        return basic
    raise UsageError(
        f"there is no normaliser '{name}'",
        did_you_mean(name, NORMALIZERS) or f"known: {', '.join(NORMALIZERS)}",
    )


def basic(text: str) -> str:
    """Lower case, nothing in brackets, and a space for each mark, symbol and punctuation sign."""
    text = re.sub(r"\([^)]+\)", "", re.sub(r"[<\[][^>\]]*[>\]]", "", text.lower()))
    kept = (" " if unicodedata.category(c)[0] in "MSP" else c for c in unicodedata.normalize("NFKC", text))
    return re.sub(r"\s+", " ", "".join(kept).lower()).strip()


def _english(spelling: Mapping[str, str]) -> Normalizer:
    try:
        from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
    except ImportError as error:
        raise TxError(
            "normalising English needs transformers", "pip install 'tx[whisper]', or normalise as 'basic'"
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

    `n_bootstrap` > 1 adds 95% intervals; `test`, "bootstrap" or "randomization", compares each system with the first
    by `n_samples` samples of the utterances (0: as many as `tx.evaluate.metrics.paired_scores` takes). Raises as
    `error_rates` and `normalizer` do.
    """
    prepared = _prepared(normalize, lowercase)
    found = {name: error_rates(ref, hyp, prepared) for name, hyp in systems.items()}
    baseline = next(iter(found.values()))
    signature = f"nrefs:1|case:{'lc' if lowercase else 'mixed'}|norm:{normalize}|n:{len(ref)}"
    scores: dict[str, list[Score]] = {}
    for name, rates in found.items():
        scores[name] = []
        for metric in metrics:
            counts, base = _of(rates, metric), _of(baseline, metric)
            score = replace(rate_score(counts, metric, n_bootstrap, seed), signature=signature)
            if test is not None and rates is not baseline:
                p_value = significance(base, counts, test, n_samples or TESTS[test][1], seed)
                score = replace(score, p_value=p_value)
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
    """The rate of each line by itself, in percent. Raises as `rate_scores` does."""
    counts = _of(error_rates(ref, hyp, _prepared(normalize, lowercase)), metric)
    return [rate_score(counts[i : i + 1], metric) for i in range(len(counts))]


def _prepared(normalize: str, lowercase: bool) -> Normalizer:
    normalized = normalizer(normalize) or str
    return lambda text: normalized(text.lower() if lowercase else text)


def _of(rates: Rates, metric: str) -> np.ndarray:
    return rates.words if metric == "wer" else rates.characters


def rate_score(counts: np.ndarray, metric: str, n_bootstrap: int = 0, seed: int = SEED) -> Score:
    """One rate in percent, of counts of shape (utterances, 4), with what it is made of and its interval."""
    hits, substitutions, deletions, insertions = (int(n) for n in counts.sum(axis=0))
    details: dict[str, Any] = {
        "substitutions": substitutions,
        "deletions": deletions,
        "insertions": insertions,
        "hits": hits,
        "ref_len": hits + substitutions + deletions,
    }
    score = Score(metric.upper(), 100 * rate(counts), "", details=details)
    if n_bootstrap < 2:
        return score
    samples = 100 * _resampled(counts, n_bootstrap, seed)
    return replace(score, mean=float(samples.mean()), ci=half_width(samples))


def _errors(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors and reference length of each utterance."""
    return counts[:, 1:].sum(axis=1), counts[:, :3].sum(axis=1)


def _resampled(counts: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The rate of `n` samples of the utterances, drawn with replacement; the same ones for the same seed."""
    errors, lengths = _errors(resampled_sums(counts, n, seed))
    return errors / np.maximum(lengths, 1)  # type: ignore[no-any-return]


def significance(
    baseline: np.ndarray, counts: np.ndarray, test: str = "bootstrap", n_samples: int = 1000, seed: int = SEED
) -> float:
    """The two-sided p-value of the difference of two systems on the same utterances (counts of shape (N, 4)).

    "bootstrap" is that of Koehn (2004), as sacreBLEU does it; "randomization" (Riezler and Maxwell, 2005) exchanges
    the systems' outputs at random.
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
