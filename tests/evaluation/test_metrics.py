"""tx's scores against those of the `sacrebleu` command, to the last digit, and its refusals of bad input."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tx.errors import TxError, UsageError
from tx.evaluation import metrics
from tx.evaluation.metrics import Score, ScoreOptions, check, corpus_scores, paired_scores, sentence_scores

OPTIONS = {
    "bleu": ["-m", "bleu"],
    "chrf": ["-m", "chrf"],
    "chrf++": ["-m", "chrf", "-cw", "2"],
    "ter": ["-m", "ter"],
}


def corpus(seed: int, n: int = 60) -> tuple[list[str], list[list[str]], list[str]]:
    """A hypothesis, two references and a worse hypothesis, with all that is awkward about real lines."""
    rng = random.Random(seed)
    words = [
        "The",
        "the",
        "cat",
        "sat",
        "on",
        "Mat,",
        "don't",
        "1,000.5",
        "U.S.",
        "Straße",
        "ähnlich",
        "猫が",
        "(a)",
        "&amp;",
    ]
    first = [" ".join(rng.choices(words, k=rng.randint(4, 14))) + "." for _ in range(n)]

    def vary(lines: Sequence[str], share: float) -> list[str]:
        return [
            " ".join(w if rng.random() > share else rng.choice(words) for w in line.split()) for line in lines
        ]

    hyp, second, worse = vary(first, 0.2), vary(first, 0.3), vary(first, 0.5)
    hyp[3], second[5], worse[7] = "", "", "  "
    first[8] = hyp[8] = ""
    hyp[10] += " \t\r"
    first[11] += "\u2028"
    hyp[12] = "cut\u2028here\x0c and\rthere"
    return hyp, [first, second], worse


def write(path: Path, lines: Sequence[str]) -> str:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="")
    return str(path)


def sacrebleu(tmp_path: Path, hyps: Sequence[list[str]], refs: Sequence[list[str]], *options: str) -> Any:
    """What the `sacrebleu` command prints for these lines, as JSON unless told otherwise."""
    files = [write(tmp_path / f"ref{i}", ref) for i, ref in enumerate(refs)]
    inputs = [write(tmp_path / f"hyp{i}", hyp) for i, hyp in enumerate(hyps)]
    command = [sys.executable, "-m", "sacrebleu", *files, "-i", *inputs, "-w", "10", *options]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SACREBLEU")}
    environment |= {"SACREBLEU_SEED": os.environ.get("SACREBLEU_SEED", "12345"), "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout) if not {"-sl", "-f"} & set(options) else done.stdout.splitlines()


@pytest.mark.parametrize("n_refs", [1, 2])
@pytest.mark.parametrize("metric", metrics.METRICS)
def test_corpus_score_and_signature_equal_the_sacrebleu_command(
    tmp_path: Path, metric: str, n_refs: int
) -> None:
    hyp, refs, _ = corpus(n_refs)
    theirs = sacrebleu(tmp_path, [hyp], refs[:n_refs], *OPTIONS[metric])
    (ours,) = corpus_scores(hyp, refs[:n_refs], [metric])
    assert (ours.name, round(ours.value, 10), ours.signature) == (
        theirs["name"],
        theirs["score"],
        theirs["signature"],
    )
    assert (ours.mean, ours.ci, ours.p_value) == (None, None, None)


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("tokenize", ["13a", "intl", "zh", "char", "none"])
def test_tokenizers_and_case_equal_the_sacrebleu_command(
    tmp_path: Path, tokenize: str, lowercase: bool
) -> None:
    hyp, refs, _ = corpus(3)
    flags = ["-m", "bleu", "chrf", "-tok", tokenize] + (["-lc", "--chrf-lowercase"] if lowercase else [])
    theirs = sacrebleu(tmp_path, [hyp], refs, *flags)
    ours = corpus_scores(hyp, refs, ["bleu", "chrf"], ScoreOptions(tokenize=tokenize, lowercase=lowercase))
    assert [(s.name, round(s.value, 10), s.signature) for s in ours] == [
        (t["name"], t["score"], t["signature"]) for t in theirs
    ]


def test_intervals_equal_the_sacrebleu_command(tmp_path: Path) -> None:
    hyp, refs, _ = corpus(4)
    flags = ["-m", "bleu", "chrf", "ter", "--confidence", "--confidence-n", "200"]
    theirs = sacrebleu(tmp_path, [hyp], refs, *flags)
    ours = corpus_scores(hyp, refs, ["bleu", "chrf", "ter"], ScoreOptions(n_bootstrap=200))
    for score, other in zip(ours, theirs, strict=True):
        assert [score.name, round(score.value, 10), score.signature] == [
            other[key] for key in ("name", "score", "signature")
        ]
        # the command averages TER in single precision
        close = {"abs": 1e-4} if score.name == "TER" else {"abs": 2e-10}
        assert score.mean == pytest.approx(other["confidence_mean"], **close)
        assert score.ci == pytest.approx(other["confidence_var"], **close)


def test_intervals_survive_blank_lines() -> None:
    (score,) = corpus_scores(["a b", ""], [["a b", "c d"]], ["ter"], ScoreOptions(n_bootstrap=100))
    assert score.value == 50 and score.mean is not None and 0 < score.mean < 100
    (score,) = corpus_scores(["", ""], [["a b", "c d"]], ["bleu"], ScoreOptions(n_bootstrap=100))
    assert (score.value, score.mean, score.ci) == (0, 0, 0)


CELL = re.compile(r"(\d+\.\d{10})(?: \((\S+) ± ([^)\s]+)\))?(?: \(p = (\d\.\d{4})\))?")


@pytest.mark.parametrize(
    ("test", "flags"), [("bootstrap", ["-pbs", "-pbsn"]), ("randomization", ["-par", "-parn"])]
)
def test_paired_tests_equal_the_sacrebleu_command(
    tmp_path: Path, test: str, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hyp, refs, worse = corpus(5)
    names = ["bleu", "chrf", "ter"]
    monkeypatch.setenv("SACREBLEU_SEED", "77")
    # as a table: what the bootstrap finds for chrF and TER does not fit into the command's JSON
    theirs = sacrebleu(tmp_path, [hyp, worse], refs, "-m", *names, *flags, "300", "-f", "latex")
    cells = [cell for line in theirs for cell in CELL.findall(line)]
    ours = paired_scores(
        {"hyp": hyp, "worse": worse}, refs, names, ScoreOptions(test=test, n_samples=300, seed=77)
    )
    assert os.environ["SACREBLEU_SEED"] == "77"  # lent to sacrebleu, and put back

    def cell(score: Score) -> tuple[str, ...]:
        numbers = [(score.value, 10), (score.mean, 10), (score.ci, 10), (score.p_value, 4)]
        return tuple("" if value is None else f"{value:.{width}f}" for value, width in numbers)

    assert [cell(score) for scores in ours.values() for score in scores] == cells
    assert [s.p_value for s in ours["hyp"]] == [None] * 3
    assert all(s.p_value is not None and s.p_value < 0.05 for s in ours["worse"])
    assert all((s.ci is None) == (test == "randomization") for s in ours["worse"])


def test_another_seed_gives_other_resamples() -> None:
    hyp, refs, _ = corpus(6)
    first, again, other = (
        corpus_scores(hyp, refs, ["bleu"], ScoreOptions(n_bootstrap=50, seed=seed))[0] for seed in (1, 1, 2)
    )
    assert first == again
    assert first.mean != other.mean and first.value == other.value


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_sentence_scores_equal_the_sacrebleu_command(tmp_path: Path, metric: str) -> None:
    hyp, refs, _ = corpus(7, n=20)
    theirs = sacrebleu(tmp_path, [hyp], refs, *OPTIONS[metric], "-sl", "-b")
    ours = sentence_scores(hyp, refs, metric)
    assert [f"{score.value:.10f}" for score in ours] == theirs
    if metric == "bleu":
        assert all("eff:yes" in score.signature for score in ours)


def test_a_perfect_translation_scores_100_and_ter_0() -> None:
    ref = ["The cat sat on the mat.", "It was a cold day in March."]
    assert [round(s.value, 9) for s in corpus_scores(ref, [ref], metrics.METRICS)] == [100, 100, 100, 0]


def test_bleu_by_hand() -> None:
    # 5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 quadruples; lengths equal
    score = metrics.bleu(["the cat sat on a mat"], [["the cat sat on the mat"]])
    assert score.value == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)
    assert score.details["precisions"] == pytest.approx([500 / 6, 60, 50, 100 / 3])
    assert (score.details["hyp_len"], score.details["ref_len"], score.details["brevity_penalty"]) == (6, 6, 1)


def test_ter_counts_edits() -> None:
    (score,) = corpus_scores(["a b x d"], [["a b c d e"]], ["ter"])
    assert score.value == pytest.approx(100 * 2 / 5)
    assert score.details == {"edits": 2, "ref_len": 5}


def test_lowercased_bleu_ignores_case_and_its_signature_shows_it() -> None:
    hyp, ref = ["THE cat sat on the mat."], ["the cat sat ON the mat ."]
    score = metrics.bleu(hyp, [ref], ScoreOptions(lowercase=True))
    assert score.value == pytest.approx(100)
    assert "case:lc" in score.signature and "tok:13a" in score.signature
    assert metrics.bleu(hyp, [ref]).value < 100


# --- what cannot be scored -----------------------------------------------------------------------------

SCORERS = [corpus_scores, sentence_scores, lambda hyp, refs: paired_scores({"a": hyp, "b": hyp}, refs)]


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize(
    ("hyp", "refs", "error", "words"),
    [
        (["a", "b"], [["a"]], TxError, ["2 lines", "1 line", "reference 1"]),
        (
            ["a"],
            [["a"], ["a", "b", "c"]],
            TxError,
            ["1 line ", "reference 2", "3 lines", "get out of step near line 2"],
        ),
        ([], [[]], TxError, ["empty"]),
        (["a"], [], TxError, ["missing reference"]),
        (["a"], [[" "]], TxError, ["reference 1", "blank"]),
        ("a", [["a"]], TypeError, ["str"]),
        (["a"], ["a"], TypeError, ["reference 1", "str"]),  # a flat list of references
        (["a"], "a", TypeError, ["references", "str"]),
        (["a", None], [["a", "b"]], TypeError, ["line 2", "NoneType"]),
        (["a", b"b"], [["a", "b"]], TypeError, ["line 2", "bytes"]),
    ],
)
def test_an_error_names_the_bad_input(
    scorer: Any, hyp: Any, refs: Any, error: type, words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        scorer(hyp, refs)
    for word in words:
        assert word in str(caught.value)


def test_check_names_the_files_and_counts() -> None:
    with pytest.raises(TxError) as caught:
        check({"my.hyp": ["a", "b", "c"]}, {"test.en": ["a", "b"]})
    assert "my.hyp has 3 lines" in caught.value.message and "test.en has 2 lines" in caught.value.message
    assert caught.value.hint


def test_blank_lines_come_back_as_warnings_with_their_numbers() -> None:
    hyp = ["a", "", "c", " \t", ""]
    (warning,) = check({"h": hyp}, {"r": ["a", "b", "c", "d", "e"]})
    assert "h: 3 of 5 lines blank" in warning and "2, 4, 5" in warning
    both = check({"h": hyp}, {"r": ["a", "b", "c", "d", ""]})
    assert "r: 1 of 5 lines blank (line 5)" in both[0]
    assert "h: 2 of 5 lines blank (line 2, 4)" in both[1]  # a blank answer to a blank line is right
    assert "..." in check({"h": [""] * 30}, {"r": ["x"] * 30})[0]
    assert check({"h": ["a"]}, {"r": ["b"]}) == []


def test_text_that_looks_tokenized_is_mentioned_and_nothing_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hyp = ["a b ."] * 100
    (warning,) = check({"h": hyp}, {"r": hyp})
    assert "100" in warning and "tokenized" in warning
    assert check({"h": hyp[1:]}, {"r": hyp[1:]}) == []
    metrics.bleu(hyp, [hyp])
    sentence_scores(hyp, [hyp])
    assert caplog.records == []


def test_unknown_names_get_a_did_you_mean() -> None:
    for call, hint in [
        (lambda: metrics.bleu(["a"], [["a"]], ScoreOptions(tokenize="intel")), "intl"),
        (lambda: corpus_scores(["a"], [["a"]], ["blue"]), "bleu"),
        (lambda: sentence_scores(["a"], [["a"]], "chrf+"), "chrf"),
        (
            lambda: paired_scores(
                {"a": ["a"], "b": ["a"]}, [["a"]], options=ScoreOptions(test="bootstrapping")
            ),
            "bootstrap",
        ),
    ]:
        with pytest.raises(UsageError) as caught:
            call()
        assert hint in str(caught.value.hint)


@pytest.mark.parametrize("tokenize", ["spm", "flores101", "flores200"])
def test_a_tokenizer_that_would_be_downloaded_is_an_error(
    tokenize: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sacrebleu.utils.SACREBLEU_DIR", str(tmp_path))
    with pytest.raises(TxError, match="model file") as caught:
        metrics.bleu(["a"], [["a"]], ScoreOptions(tokenize=tokenize))
    assert tokenize in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("tokenize", "module"), [("ja-mecab", "ja"), ("ko-mecab", "ko")])
def test_a_tokenizer_without_its_packages_says_what_to_install(
    tokenize: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sacrebleu.tokenizers import tokenizer_ja_mecab, tokenizer_ko_mecab

    for tokenizer in (tokenizer_ja_mecab, tokenizer_ko_mecab):
        monkeypatch.setattr(tokenizer, "MeCab", None)
    with pytest.raises(TxError) as caught:
        metrics.bleu(["a"], [["a"]], ScoreOptions(tokenize=tokenize))
    assert caught.value.hint == f"pip install 'sacrebleu[{module}]'"


def test_a_seed_of_0_is_an_error() -> None:
    with pytest.raises(UsageError, match="seed"):
        corpus_scores(["a"], [["a"]], options=ScoreOptions(n_bootstrap=10, seed=0))


def test_a_paired_test_needs_two_systems() -> None:
    with pytest.raises(TxError, match="two systems"):
        paired_scores({"a": ["a"]}, [["a"]])


# --- properties ----------------------------------------------------------------------------------------

line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\0"), max_size=30)


@given(st.lists(st.tuples(line, line.filter(lambda text: text.strip() != "")), min_size=1, max_size=8))
def test_any_lines_get_finite_scores_in_range(pairs: list[tuple[str, str]]) -> None:
    hyp, ref = map(list, zip(*pairs, strict=True))
    scores: list[Score] = corpus_scores(hyp, [ref], metrics.METRICS)
    for score in scores:
        assert score.value >= 0 and (score.name == "TER" or score.value <= 100 + 1e-9)
    assert len(sentence_scores(hyp, [ref], "chrf")) == len(hyp)
