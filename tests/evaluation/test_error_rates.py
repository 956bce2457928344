"""Error rates against jiwer, normalisers against transformers, significance on systems of known quality."""

import json
import random
import subprocess
import sys
from pathlib import Path

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tx.errors import TxError, UsageError
from tx.evaluation.error_rates import (
    align,
    basic,
    error_rates,
    normalizer,
    rate_score,
    rate_scores,
    sentence_rates,
    significance,
    split_words,
)

sentences = st.lists(
    st.sampled_from(["ab", "c", "d,", "é", "中", "\t", "\xa0", "", "  ", "the", "cat"]), max_size=12
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(sentences.map(lambda text: text + "x"), sentences), min_size=1, max_size=6))
def test_rates_and_counts_are_those_of_jiwer(pairs: list[tuple[str, str]]) -> None:
    refs, hyps = [ref for ref, _ in pairs], [hyp for _, hyp in pairs]
    rates = error_rates(refs, hyps)
    words, characters = jiwer.process_words(refs, hyps), jiwer.process_characters(refs, hyps)
    assert (rates.wer, rates.cer) == (words.wer, characters.cer)
    assert list(rates.words.sum(axis=0)) == [
        words.hits,
        words.substitutions,
        words.deletions,
        words.insertions,
    ]
    assert list(rates.characters.sum(axis=0)) == [
        characters.hits,
        characters.substitutions,
        characters.deletions,
        characters.insertions,
    ]


def test_long_transcripts_give_the_counts_of_jiwer() -> None:
    rng = random.Random(1)
    ref = [rng.choice("abcdefgh") for _ in range(3000)]
    hyp = [word if rng.random() < 0.8 else rng.choice("abcdefgh") for word in ref if rng.random() < 0.9]
    found, expected = (
        error_rates([" ".join(ref)], [" ".join(hyp)]),
        jiwer.process_words(" ".join(ref), " ".join(hyp)),
    )
    assert list(found.words.sum(axis=0))[1:] == [
        expected.substitutions,
        expected.deletions,
        expected.insertions,
    ]


def distance(ref: str, hyp: str) -> int:
    """The Levenshtein distance, by the table of Wagner and Fischer, row by row."""
    codes, columns = np.array([ord(c) for c in hyp]), np.arange(len(hyp) + 1)
    row = columns
    for i, symbol in enumerate(ref):
        best = np.concatenate([[i + 1], np.minimum(row[1:] + 1, row[:-1] + (codes != ord(symbol)))])
        row = np.minimum.accumulate(best - columns) + columns  # insertions
    return int(row[-1])


def check_alignment(ref: str, hyp: str) -> None:
    found = align(ref, hyp)
    assert [i for kind, i, _ in found if kind != "insertion"] == list(range(len(ref)))
    assert [j for kind, _, j in found if kind != "deletion"] == list(range(len(hyp)))
    assert all(
        (ref[i] == hyp[j]) == (kind == "hit") for kind, i, j in found if kind in ("hit", "substitution")
    )
    assert sum(kind != "hit" for kind, _, _ in found) == distance(ref, hyp)
    places = [(i, j) for _, i, j in found]
    assert places == sorted(places)  # an edit has the index of the next symbol on the side that it skips


@given(st.text("abc", max_size=40), st.text("abc", max_size=40))
def test_an_alignment_is_valid_and_the_shortest(ref: str, hyp: str) -> None:
    check_alignment(ref, hyp)


def test_a_long_alignment_is_valid_and_the_shortest() -> None:
    """Long enough that rapidfuzz divides the problem (Hirschberg), because its table would be too large."""
    rng = random.Random(2)
    ref = "".join(rng.choice("abcd") for _ in range(6000))
    check_alignment(ref, "".join(rng.choice("abcd") if rng.random() < 0.3 else c for c in ref[::-1]))


def test_blank_references_and_transcripts() -> None:
    rates = error_rates(["", "a b"], ["x", ""])
    assert (rates.wer, *rates.words.sum(axis=0)) == (1.5, 0, 0, 2, 1)
    assert error_rates(["a"], [""]).wer == 1.0
    for refs, hyps in ((["a"], ["a", "b"]), ([], []), ([" "], ["a"])):
        with pytest.raises(TxError):
            error_rates(refs, hyps)


@settings(max_examples=500, deadline=None)
@given(
    st.text(st.sampled_from("aÄßı İ<>[]()éö\u0301.,-'\"½ﬁ \t\n♪中ʼ\xa0Ǆ"), max_size=25) | st.text(max_size=25)
)
def test_the_basic_normaliser_is_that_of_whisper(text: str) -> None:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    assert basic(text) == BasicTextNormalizer()(text).strip()


def test_normalisers_by_name_and_language() -> None:
    assert normalizer("none") is None
    assert normalizer("de") is basic and normalizer("basic") is basic
    english, spelling = normalizer("en"), {"colour": "color"}
    assert (
        english is not None
        and english("Mr. Smith's won't, uh, cost $20!") == "mister smith is will not cost $20"
    )
    american = normalizer("english", spelling)
    assert american is not None and american("Colour") == "color"
    with pytest.raises(UsageError, match="no normaliser 'bassic'") as error:
        normalizer("bassic")
    assert error.value.hint == "did you mean 'basic'?"


def test_without_transformers_the_english_normaliser_gives_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers.models.whisper.english_normalizer", None)
    with pytest.raises(TxError, match="needs transformers"):
        normalizer("english")


REFS = [f"word{i} is number {i} of many" for i in range(200)]


def spoilt(share: float, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join("x" if rng.random() < share else word for word in ref.split()) for ref in REFS]


def test_intervals_agree_with_the_delta_method() -> None:
    counts = error_rates(REFS, spoilt(0.2, 1)).words
    score = rate_score(counts, "wer", 2000)
    errors, lengths = counts[:, 1:].sum(axis=1), counts[:, :3].sum(axis=1)
    spread = (errors - errors.sum() / lengths.sum() * lengths).std() / lengths.mean() / np.sqrt(len(REFS))
    assert score.ci == pytest.approx(100 * 1.96 * spread, rel=0.1)
    assert score.mean == pytest.approx(score.value, abs=0.2)
    assert rate_score(counts, "wer", 100) == rate_score(counts, "wer", 100)


@pytest.mark.parametrize("test", ["bootstrap", "randomization"])
def test_significance_distinguishes_systems(test: str) -> None:
    base, same, worse = (
        error_rates(REFS, spoilt(share, seed)).words for share, seed in ((0.1, 1), (0.1, 2), (0.2, 3))
    )
    assert significance(base, worse, test, 999) < 0.01
    assert significance(base, same, test, 999) > 0.05
    assert significance(base, base, test, 999) == 1.0
    systems = {"base": spoilt(0.1, 1), "worse": spoilt(0.2, 3)}
    scores = rate_scores(systems, REFS, test=test, n_samples=999, normalize="basic")
    assert scores["base"][0].p_value is None and (scores["worse"][1].p_value or 1) < 0.01
    assert [score.name for score in scores["base"]] == ["WER", "CER"]
    with pytest.raises(UsageError):
        significance(base, same, "t-test")


def test_sentences_and_words() -> None:
    assert [score.value for score in sentence_rates(["a b", "C"], ["a c", "c"], lowercase=True)] == [
        50.0,
        0.0,
    ]
    assert split_words("  a  b\tc ") == ["a", "b\tc"]


# --- tx score ---


def tx(*args: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tx", *map(str, args)], input=stdin, capture_output=True, text=True
    )


def test_score_as_a_command(tmp_path: Path) -> None:
    ref, refs, hyps = tmp_path / "ref", ["Das ist ein Test.", "Hallo Welt"], ["das ist Test", "Hallo, Welt!"]
    ref.write_text("\n".join(refs) + "\n")
    (tmp_path / "hyp").write_text("\n".join(hyps) + "\n")
    done = tx("score", ref, "--metric", "wer,cer", "-w", "10", stdin="\n".join(hyps) + "\n")
    header, *rows = (line.split("\t") for line in done.stdout.splitlines())
    assert header[:2] == ["metric", "score"]
    assert [row[:2] for row in rows] == [
        ["WER", f"{100 * jiwer.wer(refs, hyps):.10f}"],
        ["CER", f"{100 * jiwer.cer(refs, hyps):.10f}"],
    ]
    done = tx(
        "score",
        ref,
        "-i",
        tmp_path / "hyp",
        "-i",
        ref,
        "--metric",
        "bleu,wer",
        "--normalize",
        "basic",
        "--json",
    )
    first, second = json.loads(done.stdout)["systems"]
    assert [score["name"] for score in first["scores"]] == ["BLEU", "WER"]
    assert first["scores"][1]["value"] == pytest.approx(100 / 6)
    assert first["scores"][1]["details"] == {
        "substitutions": 0,
        "deletions": 1,
        "insertions": 0,
        "hits": 5,
        "ref_len": 6,
    }
    assert second["scores"][1]["value"] == 0 and second["scores"][1]["p_value"] is not None
    done = tx("score", ref, "--metric", "wer", "--sentence", stdin="\n".join(hyps) + "\n")
    assert done.stdout == "75.00\n100.00\n"
    done = tx("score", ref, ref, "--metric", "wer", stdin="a\nb\n")
    assert (done.returncode, done.stdout) == (2, "") and "one reference, not 2" in done.stderr
