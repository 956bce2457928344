"""`tx compare`: buckets by length against sacreBLEU on the same lines, and the command on two real packages."""

import itertools
import json
from pathlib import Path

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from training import fork_tx, model
from tx.errors import UsageError
from tx.evaluation.compare import by_length, edges_of, most_different

SRC = ["a", "a b", "a b c d", "a b c d e", "a b c d e f g h", ""]
REF = [
    "the man is here",
    "the man is not here",
    "a b c d e",
    "the cat sat on the mat",
    "x y z w v u",
    "nothing at all here",
]
HYP = [
    "the man is here",
    "the man is there now",
    "a b c d f",
    "the cat sat on a mat",
    "x y z w v t",
    "nothing at all there",
]
words = st.lists(st.integers(0, 40), min_size=1, max_size=300).map(lambda ns: [" ".join("w" * n) for n in ns])


@given(words, st.integers(1, 8))
def test_edges_rise_and_every_line_has_one_bucket(src: list[str], n_buckets: int) -> None:
    edges = edges_of(src, n_buckets)
    assert edges == sorted(set(edges)) and len(edges) <= n_buckets
    found = by_length(src, {"s": src}, [src], edges)
    assert sum(bucket.n_lines for bucket in found) == len(src)
    assert all(a.high is not None and a.high + 1 == b.low for a, b in itertools.pairwise(found))


def test_a_bucket_scores_as_sacrebleu_does_on_its_lines() -> None:
    low, middle, high = by_length(SRC, {"s": HYP}, [REF], [3, 5])
    for bucket, rows in ((low, [0, 1, 5]), (middle, [2]), (high, [3, 4])):
        truth = sacrebleu.corpus_bleu([HYP[i] for i in rows], [[REF[i] for i in rows]], force=True).score
        assert bucket.bleu["s"] == pytest.approx(truth, abs=1e-12)
        assert bucket.n_lines == len(rows)
    assert [low.label, middle.label, high.label] == ["1-2", "3-4", "5+"]


def test_a_bucket_without_lines_has_no_score() -> None:
    (*_, last) = by_length(SRC, {"s": HYP}, [REF], [100])
    assert last.n_lines == 0 and last.bleu == {"s": None}


def test_edges_that_do_not_rise_are_refused() -> None:
    with pytest.raises(UsageError, match="do not rise"):
        by_length(SRC, {"s": HYP}, [REF], [5, 5])


def test_the_lines_that_differ_most() -> None:
    other = [*HYP]
    other[3], other[1] = "dogs", "the man is not here"
    first, second = most_different(HYP, other, [REF], 5)
    assert first.line == 4 and second.line == 2  # the other four are equal
    for found in (first, second):
        row = found.line - 1
        truth = [sacrebleu.sentence_chrf(hyp[row], [REF[row]]).score for hyp in (HYP, other)]
        assert list(found.chrf) == pytest.approx(truth)


@pytest.fixture
def test_set(tmp_path: Path) -> list[str]:
    src, ref = tmp_path / "test.src", tmp_path / "test.ref"
    lines = ["They will eat a cake.", "The child brought five coats yesterday.", "He sleeps."]
    src.write_text("".join(f"{line}\n" for line in lines))
    ref.write_text("".join(f"{line}\n" for line in lines))
    return ["--test", str(src), "--test", str(ref)]


def test_the_command_compares_two_packages(tmp_path: Path, test_set: list[str]) -> None:
    other = tmp_path / "other"
    other.symlink_to(model())
    common = ["compare", str(model()), str(other), *test_set, "-b", "1", "--threads", "1"]
    done = fork_tx([*common, "--json"])
    assert done.status == 0, done.err
    document = json.loads(done.out)
    a, b = document["systems"]
    assert a["translations"] == b["translations"] and a["scores"][0]["value"] == b["scores"][0]["value"]
    assert a["parameters"] > 1000 and a["sentences_per_s"] > 0 and a["steps"] > 0 and a["train_seconds"] > 0
    assert [score["metric"] for score in a["scores"]] == ["BLEU", "chrF2"]
    assert sum(bucket["n_lines"] for bucket in document["lengths"]) == 3
    picture = tmp_path / "lengths.png"
    shown = fork_tx([*common, "--sentences", "2", "-o", str(picture)])
    assert shown.status == 0 and "other\t" in shown.out and picture.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a source and a reference are needed"),
        (["--test", "{ref}"], "has 3 lines"),
        (["--test", "{ref3}", "--lengths", "a,b"], "not a list of numbers"),
        (["--test", "{ref3}", "-o", "picture.gif"], "unsupported figure format"),
    ],
)
def test_wrong_usage_is_an_error(tmp_path: Path, test_set: list[str], words: list[str], message: str) -> None:
    short = tmp_path / "short"
    short.write_text("one\n")
    given = [word.format(ref=short, ref3=test_set[3]) for word in words]
    done = fork_tx(["compare", str(model()), *test_set[:2], *given])
    assert done.status in (1, 2) and message in done.err and not done.out
