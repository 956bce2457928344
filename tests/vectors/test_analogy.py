"""Sums of words in expressions and pipes, and the evaluation of vectors, against gensim."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from tx.errors import TxError, UsageError
from tx.evaluation.analogy import evaluate_analogies, read_questions
from tx.evaluation.similarity import evaluate_similarity, ranks, read_pairs
from tx.package import Package
from tx.vectors import WordVectors, write_vectors
from tx.vectors.expression import Term, parse
from wordvectors import Run, family, in_gensim, random_vectors, runner

DATA = os.environ.get("TX_TEST_DATA")

# --- the grammar ---


def terms(text: str, vectors: WordVectors | None = None) -> list[tuple[float, str]]:
    vectors = vectors or family()
    return [(term.weight, term.word) for term in parse(text, vectors)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("king-man+woman", [(1, "king"), (-1, "man"), (1, "woman")]),
        ("king - man + woman", [(1, "king"), (-1, "man"), (1, "woman")]),
        ("  king -man+  woman ", [(1, "king"), (-1, "man"), (1, "woman")]),
        ("king- man", [(1, "king"), (-1, "man")]),
        ("-man+woman+king", [(-1, "man"), (1, "woman"), (1, "king")]),
        ("- man", [(-1, "man")]),
        ("ice-cream-ice+mail", [(1, "ice-cream"), (-1, "ice"), (1, "mail")]),
        ("ice - cream - ice + mail", [(1, "ice"), (-1, "cream"), (-1, "ice"), (1, "mail")]),
        ("mother-in-law-mother", [(1, "mother-in-law"), (-1, "mother")]),
        ("'ice-cream'-ice", [(1, "ice-cream"), (-1, "ice")]),
        ('"new york" + mail', [(1, "new york"), (1, "mail")]),
        ("'ice'-cream", [(1, "ice"), (-1, "cream")]),
        ("'s-king", [(1, "'s"), (-1, "king")]),
        ("''s' - king", [(1, "''s'"), (-1, "king")]),
        ("c++ + mail", [(1, "c++"), (1, "mail")]),
        ("c++-mail", [(1, "c++"), (-1, "mail")]),
        ("2*king-0.5*man", [(2, "king"), (-0.5, "man")]),
        ("-2 * king + .5*man", [(-2, "king"), (0.5, "man")]),
        ("2*'ice-cream'", [(2, "ice-cream")]),
        ("kign-man", [(1, "kign"), (-1, "man")]),
        ("king", [(1, "king")]),
    ],
)
def test_expressions_are_parsed(text: str, expected: list[tuple[float, str]]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize("text", ["", "  ", "king -", "king + + man", "king man", "+", "king-", "2*", "- -"])
def test_an_incomplete_expression_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        terms(text)


WORDS = st.sampled_from(list(family().words))


@given(st.lists(st.tuples(st.sampled_from("+-"), st.integers(0, 99), WORDS), min_size=1, max_size=6))
def test_a_quoted_sum_is_parsed_as_it_was_written(parts: list[tuple[str, int, str]]) -> None:
    text = " ".join(f'{sign} {weight}*"{word}"' for sign, weight, word in parts)
    assert terms(text) == [(weight if sign == "+" else -weight, word) for sign, weight, word in parts]


@given(st.text("ki'\" *2+-", max_size=12))
def test_any_text_is_an_expression_or_a_usage_error(text: str) -> None:
    with suppress(UsageError):
        assert all(word for _, word in terms(text))


def test_unknown_words_and_empty_sums_are_errors() -> None:
    with pytest.raises(TxError, match="family has no vector for 'quen'") as caught:
        family().query([Term("quen")])
    assert caught.value.hint == "did you mean 'queen'?"
    with pytest.raises(TxError, match="cancel"):
        family().query([Term("king"), Term("king", -1)])


# --- the commands ---


@pytest.fixture
def tx(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run in a folder with one vectors package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    vectors = family()
    write_vectors(tmp_path / "family", list(vectors.words), vectors.matrix)
    return runner(capsys, monkeypatch)


def test_an_analogy_is_a_table(tx: Run) -> None:
    out, err = tx("analogy", "king-man+woman", "--top", "2")
    assert err == ""
    (first, score), (second, _) = (line.split("\t") for line in out.split("\n")[:-1])
    assert first == "queen" and float(score) > 0.9 and second != "king"


@pytest.mark.parametrize(
    "words",
    [
        ["king", "-", "man", "+", "woman"],
        ["king - man", "+woman"],
        ["--", "-man+woman+king"],
        ["--positive", "king", "--negative", "man", "--positive", "woman"],
        ["king-man+woman", "--method", "mul"],
        ["2*king-2*man+2*woman"],
    ],
)
def test_an_analogy_can_be_written_in_many_ways(tx: Run, words: list[str]) -> None:
    assert tx("analogy", "--top", "1", *words)[0].startswith("queen\t")


def test_json_has_the_parsed_terms(tx: Run) -> None:
    found = json.loads(tx("analogy", "2*ice-cream - ice", "--json", "--top", "1")[0])
    assert found["terms"] == [{"word": "ice-cream", "weight": 2.0}, {"word": "ice", "weight": -1.0}]
    assert found["method"] == "add" and [answer["word"] for answer in found["answers"]] == ["cream"]
    assert (
        json.loads(tx("neighbors", "queen", "--json", "--top", "1")[0])["answers"][0]["word"]
        == "mother-in-law"
    )


@pytest.mark.parametrize("command", ["analogy", "neighbors"])
@pytest.mark.parametrize("words", [["-man+woman+king"], ["-mfamily"], ["-n", "3", "-hat+king"]])
def test_a_leading_minus_gets_its_hint(tx: Run, command: str, words: list[str]) -> None:
    err = tx(command, *words, status=2)[1]
    assert f"put -- before the expression and after all options: tx {command} -- {words[-1]}" in err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["kign"], 1, "did you mean 'king'?"),
        (["king-king"], 1, "cancel each other"),
        (["king man"], 2, "there is no + or - before 'man'"),
        (["king", "--method", "max"], 2, "'max' is not one of 'add', 'mul'"),
        (["king", "--positive", "man"], 2, "cannot be combined"),
        (["king", "-m", "famly"], 1, "did you mean 'family'?"),
    ],
)
def test_errors_have_a_hint(tx: Run, words: list[str], status: int, said: str) -> None:
    assert said in tx("analogy", *words, status=status)[1]


def test_short_options_stand_alone_and_neighbors_takes_one_word(tx: Run) -> None:
    for command in ("analogy", "neighbors"):
        out, err = tx(command, "king", "-q", "-m", "family", "-n", "1")
        assert out == tx(command, "king", "--top", "1")[0] and out.count("\n") == 1 and not err
    err = tx("neighbors", "king", "man", status=2)[1]
    assert "expected one word, got 2: king man" in err and "tx analogy" in err


def test_a_pipe_gets_a_line_for_each_line_immediately(tx: Run, tmp_path: Path) -> None:
    environment = os.environ | {"TX_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "tx", "analogy", "--top", "1"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd=tmp_path)
    assert process.stdin and process.stdout and process.stderr
    for question, answer in [
        ("king-man+woman", "queen"),
        ("", ""),
        ("no-such", ""),
        ("ice-cream-ice", "cream"),
    ]:
        process.stdin.write(f"{question}\n".encode())
        process.stdin.flush()
        assert process.stdout.readline().decode().rstrip("\n").partition("\t")[0] == answer
    process.stdin.close()
    assert process.wait() == 1, "a line without an answer must not pass for success"
    err = process.stderr.read().decode()
    assert "line 3: family has no vector for 'no'" in err and "1 of 4 lines have no answer" in err
    process.stdout.close()
    process.stderr.close()


def test_the_answers_of_a_pipe_can_be_json(tx: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words").write_text("king\nxyz\n")
    with (tmp_path / "words").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        out, _ = tx("neighbors", "--json", "--top", "1", status=1)
    first, second = (json.loads(line) for line in out.split("\n")[:-1])
    assert first["terms"][0]["word"] == "king" and second == {"error": "family has no vector for 'xyz'"}


# --- evaluation ---


def questions_of(vectors: WordVectors, n: int) -> str:
    """Sections of random questions, some with capitals, some with unknown words."""
    rng = np.random.default_rng(5)
    lines = []
    for section in (": capitals", ": gram1-plural", ": gram2-past"):
        lines.append(section)
        for _ in range(n):
            words = [vectors.words[int(row)] for row in rng.integers(0, len(vectors.words), 4)]
            lines.append(" ".join(words).upper() if rng.random() < 0.3 else " ".join(words))
        lines.append("w1 w2 w3 unknown")
    return "\n".join(lines) + "\n"


def helpful_vectors() -> WordVectors:
    """Few words in few dimensions, with some that differ in capitals only: many answers come out right."""
    words = [f"w{i}" for i in range(24)] + [f"W{i}" for i in range(3, 9)]
    matrix = np.random.default_rng(7).normal(0.2, 1, (30, 2)).astype(np.float32)
    return WordVectors.from_matrix(words, matrix, name="helpful")


@pytest.mark.parametrize("restrict", [None, 12, 27])
def test_the_accuracy_on_analogies_is_that_of_gensim(tmp_path: Path, restrict: int | None) -> None:
    vectors = helpful_vectors()
    file = tmp_path / "questions"
    file.write_text(questions_of(vectors, 300))
    report = evaluate_analogies(vectors, read_questions(file.read_text().split("\n"), "f"), restrict)
    score, expected = in_gensim(vectors).evaluate_word_analogies(str(file), restrict_vocab=restrict)
    counted = [(len(part["correct"]), len(part["correct"]) + len(part["incorrect"])) for part in expected]
    assert [(part.correct, part.known) for part in (*report.sections, report.total)] == counted
    assert report.total.correct > 3 and report.total.percent == pytest.approx(100 * score)
    assert report.semantic == report.sections[0].__class__("semantic", *counted[0], 301)
    assert report.syntactic.correct == counted[1][0] + counted[2][0] and report.syntactic.total == 602


def test_the_correlation_on_word_pairs_is_that_of_gensim(tmp_path: Path) -> None:
    vectors = helpful_vectors()
    rng = np.random.default_rng(8)
    rows = [(*rng.choice(vectors.words, 2), f"{rng.integers(0, 10)}") for _ in range(80)]
    file = tmp_path / "pairs"
    lines = ["# comment", *("\t".join(row) for row in rows), "w1\tunknown\t3"]
    file.write_text("\n".join(lines) + "\n")
    found = evaluate_similarity(vectors, read_pairs(lines, "f"), None)
    pearson, spearman, oov = in_gensim(vectors).evaluate_word_pairs(str(file), restrict_vocab=None)
    assert found.spearman == pytest.approx(spearman[0], abs=1e-6)
    assert found.pearson == pytest.approx(pearson[0], abs=1e-6)
    assert 100 * (1 - found.known / found.total) == pytest.approx(oov)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-1, 1)), min_size=3, max_size=40))
def test_ranks_are_those_of_scipy(pairs: list[tuple[int, float]]) -> None:
    x, y = np.array(pairs).T
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert np.corrcoef(ranks(x), ranks(y))[0, 1] == pytest.approx(spearmanr(x, y).statistic, abs=1e-9)


def test_the_published_formats_of_word_pairs_are_read() -> None:
    simlex = ["word1\tword2\tPOS\tSimLex999\tconc(w1)", "old\tnew\tA\t1.58\t2.72"]
    wordsim = ["Word 1,Word 2,Human (mean)", "love,sex,6.77", "tiger, cat ,7.35"]
    men = ["sun sunlight 50.000000", "automobile car 50.000000"]
    for lines, score in [(simlex, 1.58), (wordsim, 6.77), (men, 50.0)]:
        pairs = read_pairs(lines, "f")
        assert pairs[0].score == score and len(pairs) == 2 - (lines is simlex)
    assert (read_pairs(wordsim, "f")[1].a, read_pairs(wordsim, "f")[1].b) == ("tiger", "cat")
    with pytest.raises(TxError, match="f:2 is not two words and a score"):
        read_pairs(["a\tb\t1", "a\tb\tc"], "f")
    with pytest.raises(TxError, match="f:3 has 3 words"):
        read_questions([": a", "a b c d", "a b c"], "f")


def test_evaluate_stores_its_scores(tx: Run, tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_text(": family\nman king woman queen\nman king woman mail\n")
    (tmp_path / "pairs.tsv").write_text("king\tqueen\t9\nking\tmail\t1\nman\twoman\t2\n")
    out = tx("evaluate", "questions.txt", "pairs.tsv")[0]
    assert [line.split("\t") for line in out.split("\n")[:-1]] == [
        ["data", "measure", "score", "correct", "known", "total"],
        ["questions.txt", "family", "50.0", "1", "2", "2"],
        ["questions.txt", "semantic", "50.0", "1", "2", "2"],
        ["questions.txt", "syntactic", "-", "0", "0", "0"],
        ["questions.txt", "total", "50.0", "1", "2", "2"],
        ["pairs.tsv", "Spearman", "0.000", "-", "3", "3"],
    ]
    tx("evaluate", "-m", "family", "questions.txt", "--restrict", "0")
    scores = Package.open(tmp_path / "family").scores
    assert [(score["metric"], score["data"]) for score in scores] == [
        ("Spearman", "pairs.tsv"),
        ("total accuracy", "questions.txt"),
        ("semantic accuracy", "questions.txt"),
    ], "measured again, a score takes the place of the older one"
    assert scores[1]["signature"] == "add|restrict:no|asked:2/2"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["questions.txt", "-b", "3"], "--beam-size does not apply to vectors"),
        (["questions.txt", "--method", "x"], "'x' is not one of"),
        (["other.txt"], "no analogy in other.txt"),
        (["pairs.txt"], "only 0 of 1 pairs"),
        (["/dev/null"], "/dev/null is empty"),
    ],
)
def test_evaluate_refuses_unusable_input(tx: Run, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "questions.txt").write_text("man king woman queen\n")
    (tmp_path / "other.txt").write_text("a b c d\n")
    (tmp_path / "pairs.txt").write_text("a b 1\n")
    assert said in tx("evaluate", *words, status=2 if words[0] == "questions.txt" else 1)[1]


@pytest.mark.skipif(DATA is None, reason="TX_TEST_DATA names no folder of corpora")
def test_the_real_test_sets_are_read() -> None:
    folder = Path(str(DATA)) / "word-sim"
    lines = (folder / "questions-words.txt").read_text(encoding="utf-8").split("\n")
    sections = read_questions(lines, "questions-words.txt")
    assert len(sections) == 14 and sum(len(section.questions) for section in sections) == 19_544
    for name, n in [("EN-WS-353-ALL", 353), ("EN-SIMLEX-999", 999), ("EN-MEN-TR-3k", 3000)]:
        assert len(read_pairs((folder / f"{name}.txt").read_text(encoding="utf-8").split("\n"), name)) == n


def test_random_vectors_solve_no_analogies() -> None:
    vectors = random_vectors()
    lines = [f"w{i} w{i + 1} w{i + 2} w{i + 3}" for i in range(100)]
    total = evaluate_analogies(vectors, read_questions(lines, "f")).total
    assert total.known == 100 and total.correct < 5
