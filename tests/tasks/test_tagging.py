"""`tx train tagger`, `tx tag` and `tx evaluate` of taggers: what they say, keep and measure, and resumption."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report

from training import at_step, differences, fork_tx, home, save_always, send, shared
from tx.decode.tag import open_tagger
from tx.evaluation.tagging import confidence_interval, count_spans, f1_of, p_value, span_scores
from tx.inspect.learning_curves import default_metrics, read_run
from tx.package import Package
from tx.text.conll import Span, read_tagged
from tx.vectors import write_vectors

PEOPLE = ["Anna", "Bob Hope", "Carl", "Dora Maar", "Emil", "Jiaqi"]
PLACES = ["Rome", "New York", "Shenzhen", "Paris", "Bern"]
LINES = [
    "{p} lives in {l} .",
    "in {l} there is {p} , he says",
    "we met {p} and {q} .",
    "the rain in {l} falls",
]
TINY: dict[str, Any] = {
    "model.d_model": 16,
    "model.d_word": 12,
    "model.d_piece": 6,
    "model.d_character": 4,
    "model.n_filters": 6,
    "model.dropout": 0.1,
    "data.vocab_size": 310,
    "train.batch_size": 8,
    "train.lr": 0.02,
    "train.warmup_steps": 2,
    "train.max_steps": 60,
    "train.max_epochs": 0,
    "train.eval_every": 20,
    "train.log_every": 10,
    "train.ema": 0.9,
    "train.average": 2,
    "train.threads": 1,
}


def sentence(rng: random.Random) -> str:
    """A sentence in columns."""
    rows = []
    for word in rng.choice(LINES).split():
        if word.startswith("{"):
            type, names = ("LOC", PLACES) if word == "{l}" else ("PER", PEOPLE)
            first, *rest = rng.choice(names).split()
            rows += [f"{first} B-{type}", *(f"{other} I-{type}" for other in rest)]
        else:
            rows.append(f"{word} O")
    return "\n".join(rows)


@cache
def corpus() -> tuple[Path, Path]:
    """Training and validation text."""
    rng, paths = random.Random(4), (shared() / "names.train", shared() / "names.valid")
    for path, n in zip(paths, (120, 30), strict=True):
        path.write_text("\n\n".join(sentence(rng) for _ in range(n)) + "\n")
    return paths


@cache
def vectors() -> Path:
    """Word vectors, in lower case, of a few words; `helsinki` is like `rome`, and no sentence names it."""
    path, rng = shared() / "vectors", np.random.default_rng(1)
    words = ["the", "rome", "paris", "bern", "anna", "helsinki"]
    matrix = rng.normal(size=(len(words), 7)).astype(np.float32)
    matrix[5] = matrix[1]
    write_vectors(path, words, matrix)
    return path


def arguments(out: Path, *extra: str, **changes: Any) -> list[str]:
    train, valid = corpus()
    settings = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    words = ["train", "tagger", str(train), "--valid", str(valid), "-o", str(out)]
    return [*words, *(f"--set={key}={value}" for key, value in settings.items()), *extra]


@cache
def straight() -> tuple[Path, str]:
    """A run that nothing interrupts, and what it said."""
    out = shared() / "names"
    done = fork_tx(arguments(out))
    assert done.status == 0, done.err
    return out, done.err


def tx(*words: str | Path, stdin: str = "") -> Any:
    done = fork_tx([str(word) for word in words], stdin=stdin.encode())
    return done


# -- training ----------------------------------------------------------------------------------------


def test_a_run_learns_and_says_what_it_found() -> None:
    out, said = straight()
    assert "120 sentences to train on, 30 to validate on" in said
    assert re.search(r"validation of the .*: F1 \d+\.\d\d  loss", said) and re.search(
        r"best F1 \d+\.\d\d, loss \d+\.\d+ at step", said
    )
    assert "ref  " in said and "hyp  " in said
    assert f"try: tx tag -m {out} --from columns" in said
    scores = {score["metric"]: score["value"] for score in Package.open(out).scores}
    assert default_metrics([read_run(str(out))]) == ["loss", "f1"]
    assert scores["F1"] > 90 and set(scores) == {"F1", "precision", "recall", "loss"}
    card = (out / "README.md").read_text()
    assert f"tx tag -m {out.name}" in card and "sentences: 120" in card


@pytest.mark.parametrize("step", [1, 33])
def test_a_resumed_run_ends_in_the_same_bytes(step: int, tmp_path: Path) -> None:
    out = tmp_path / "m"
    stopped = fork_tx(arguments(out), at_step(step, send(signal.SIGINT)))
    assert stopped.status == 130 and f"stopped at step {step}" in stopped.err
    resumed = fork_tx(["train", "--resume", "-o", str(out)])
    assert resumed.status == 0, resumed.err
    assert differences(straight()[0], out) == []


def test_a_killed_run_with_vectors_and_a_transformer_resumes(tmp_path: Path) -> None:
    changes = {"model__encoder": "transformer", "data__embeddings": vectors(), "train__max_steps": 6}
    changes |= {"model__n_heads": 2, "train__eval_every": 3}
    one, two = tmp_path / "one", tmp_path / "two"
    assert fork_tx(arguments(one, **changes)).status == 0

    def before() -> None:
        save_always()
        at_step(4, send(signal.SIGKILL))()

    assert fork_tx(arguments(two, **changes), before).status == -signal.SIGKILL
    resumed = fork_tx(["train", "--resume", "-o", str(two)])
    assert resumed.status == 0, resumed.err
    assert differences(one, two) == []


def test_words_begin_as_their_vectors_also_those_no_sentence_has(tmp_path: Path) -> None:
    out = tmp_path / "m"
    done = fork_tx(arguments(out, "--embeddings", str(vectors()), train__lr=0, train__max_steps=1))
    assert done.status == 0, done.err
    tagger = open_tagger(out, "cpu", 1)
    reader, book = tagger.model.reader, tagger.encoder.lexicon
    weight = torch.cat((reader.embedding.weight.detach(), reader.others))
    assert weight.shape == (len(book), 7) and reader.others.shape == (1, 7)
    rome, helsinki, unknown = (weight[book.id(word)] for word in ("Rome", "HELSINKI", "lives"))
    assert torch.equal(helsinki, reader.others[0])
    assert torch.equal(rome, helsinki) and not torch.equal(rome, unknown)
    known = torch.stack(
        [weight[book.id(word)] for word in ("the", "rome", "paris", "bern", "anna", "helsinki")]
    )
    assert float(known.square().mean()) == pytest.approx(1, rel=1e-5)


def test_without_validation_text_sentences_are_held_out(tmp_path: Path) -> None:
    words = arguments(tmp_path / "m", train__max_steps=1, data__valid_fraction=0.25)
    del words[3:5]
    done = fork_tx(words)
    assert done.status == 0 and "90 sentences to train on, 30 to validate on, held out at random" in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [("a O\n\nb I-X\nc\n", "text:4: 'c' has no tag"), ("a O\n", "there are no sentences to train on")],
)
def test_faults_in_the_text(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(text)
    done = tx("train", "tagger", tmp_path / "text", "-o", tmp_path / "m")
    assert done.status == 1 and said in done.err and "hint:" in done.err and "Traceback" not in done.err
    assert not (tmp_path / "m").exists()


def test_what_is_no_text_or_no_vectors(tmp_path: Path) -> None:
    done = tx("train", "tagger", "-o", tmp_path / "m")
    assert done.status == 2 and "no training data" in done.err
    done = tx("train", "tagger", corpus()[0], "-o", tmp_path / "m", "--embeddings", "nowhere")
    assert done.status == 1 and "no package called 'nowhere'" in done.err


# -- tagging -----------------------------------------------------------------------------------------


def test_one_line_out_for_each_line_in() -> None:
    done = tx("tag", "-m", straight()[0], stdin="Anna lives in New York.\n\n  \nthe rain in Rome falls")
    assert done.status == 0, done.err
    assert done.out == "[PER Anna] lives in [LOC New York].\n\n  \nthe rain in [LOC Rome] falls\n"


def test_columns_and_json_and_scores() -> None:
    name, line = straight()[0], "Bob Hope lives in Rome."
    columns = tx("tag", "-m", name, "--format", "columns", stdin=f"{line}\n\nRome\n").out
    assert columns.startswith("Bob\tB-PER\nHope\tI-PER\nlives\tO\nin\tO\nRome\tB-LOC\n.\tO\n\n\nRome\t")
    found = json.loads(tx("tag", "-m", name, "--format", "json", stdin=line).out)
    assert found["text"] == line and found["words"] == ["Bob", "Hope", "lives", "in", "Rome", "."]
    assert found["tags"] == ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]
    bob, rome = found["entities"]
    assert (bob["type"], bob["text"], bob["start"], bob["end"]) == ("PER", "Bob Hope", 0, 8)
    assert line[rome["start"] : rome["end"]] == rome["text"] == "Rome" and 0.5 < rome["score"] <= 1
    scored = tx("tag", "-m", name, "--scores", stdin=line).out
    refused = tx("tag", "-m", name, "--scores", "--format", "json", stdin=line)
    assert refused.status == 2 and "--scores does not apply to --format json" in refused.err
    assert scored == f"[PER {bob['score']:.2f} Bob Hope] lives in [LOC {rome['score']:.2f} Rome].\n"


def test_columns_in_give_one_line_or_one_block_for_each_sentence(tmp_path: Path) -> None:
    name, (_, valid) = straight()[0], corpus()
    lines = tx("tag", "-m", name, "--from", "columns", valid).out.split("\n")
    read = read_tagged(valid)
    assert [re.sub(r"\[[A-Z]+ |\]", "", line) for line in lines[:-1]] == [" ".join(s.words) for s in read]
    tagged = tmp_path / "tagged"
    done = tx("tag", "-m", name, "--from", "columns", "--format", "columns", "-o", tagged, valid)
    assert done.status == 0, done.err
    again = read_tagged(tagged)
    assert [s.words for s in again] == [s.words for s in read]
    assert [s.tags for s in again] == [f.tags for f in open_tagger(name).tag([s.words for s in read])]


def test_words_between_spaces_are_left_whole() -> None:
    done = tx("tag", "-m", straight()[0], "--from", "words", "--format", "columns", stdin="in Rome, there\n")
    assert [line.partition("\t")[0] for line in done.out.split("\n")] == ["in", "Rome,", "there", "", ""]


def test_odd_lines_still_give_one_line_each() -> None:
    lines = ["a\u2028b\fc", "\u0000", "x" * 100_000, "Rome " * 3000, "\ud83d \u200b", "[PER x]"]
    given = "\n".join(lines).encode("utf-8", "replace")
    done = fork_tx(["tag", "-m", str(straight()[0])], stdin=given)
    assert done.status == 0 and done.out.count("\n") == len(lines), done.err


def test_the_wrong_package_is_refused() -> None:
    done = tx("tag", "-m", vectors(), stdin="x\n")
    assert done.status == 1 and "is a vectors package, but a tagging package is needed" in done.err


# -- measures ----------------------------------------------------------------------------------------


def test_evaluate_measures_and_keeps_the_scores(tmp_path: Path) -> None:
    (name, _), (_, valid) = straight(), corpus()
    done = tx("evaluate", "-m", name, "--json", valid)
    assert done.status == 0, done.err
    found = {score["metric"]: score for score in json.loads(done.out)["scores"]}
    read = read_tagged(valid)
    tags = [each.tags for each in open_tagger(name).tag([s.words for s in read])]
    report = classification_report([s.tags for s in read], tags, output_dict=True, zero_division=0)
    assert found["F1"]["value"] == pytest.approx(100 * report["micro avg"]["f1-score"])
    assert found["F1 LOC"]["value"] == pytest.approx(100 * report["LOC"]["f1-score"])
    assert found["F1"]["data"] == "names.valid" and found["F1"]["ci"] >= 0
    assert found["F1"] in Package.open(name).scores
    rows = [row.split("\t") for row in tx("evaluate", "-m", name, "--no-store", valid).out.split("\n")[:-1]]
    assert [row[1] for row in rows] == ["type", "all", "LOC", "PER"] and rows[1][
        4
    ] == f"{found['F1']['value']:.2f}"


def test_evaluate_against_another_model(tmp_path: Path) -> None:
    (name, _), (_, valid), worse = straight(), corpus(), tmp_path / "worse"
    assert fork_tx(arguments(worse, train__max_steps=2, train__average=1)).status == 0
    done = tx("evaluate", "-m", name, "--no-store", "--against", worse, "--json", valid)
    assert "is significant (p = 0.00" in done.err and json.loads(done.out)["comparisons"][0]["p_value"] < 0.01
    same = tx("evaluate", "-m", name, "--no-store", "--against", name, valid)
    assert "is not significant (p = 1.0000)" in same.err


def test_entity_types_unknown_to_the_model_give_a_warning(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Rome B-LOC\nBoeing B-ORG\n")
    done = tx("evaluate", "-m", straight()[0], "--no-store", tmp_path / "text")
    assert done.status == 0 and "has entities of type ORG, which the model does not know" in done.err


TAGS = ["O", "B-A", "I-A", "B-B", "I-B"]
texts = st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1), min_size=1)


@settings(deadline=None)
@given(texts)
def test_scores_are_those_of_seqeval(text: list[list[tuple[str, str]]]) -> None:
    gold, found = ([[pair[side] for pair in sentence] for sentence in text] for side in (0, 1))
    scores = span_scores(gold, found)
    if not scores[1:]:
        assert scores[0].f1 == 0 and scores[0].n == 0
        return
    report = classification_report(gold, found, output_dict=True, zero_division=0)
    report[""] = report["micro avg"]
    assert {score.type for score in scores} == report.keys() - {"micro avg", "macro avg", "weighted avg"}
    for score in scores:
        theirs = report[score.type]
        wanted = [100 * theirs[key] for key in ("precision", "recall", "f1-score")]
        assert [score.precision, score.recall, score.f1] == pytest.approx(wanted)
        assert score.n == theirs["support"]


def test_intervals_and_significance() -> None:
    rng = np.random.default_rng(0)
    right = np.ones((400, 3), np.int64)
    half = right.copy()
    half[:, 2] = rng.random(400) < 0.5
    # F1 is then the share of a coin's heads: its half width is 1.96 * sqrt(p (1 - p) / n).
    assert (
        confidence_interval(half) == pytest.approx(196 * 0.5 / 20, rel=0.1)
        and confidence_interval(right) == 0
    )
    assert p_value(right, half) < 0.002 and p_value(half, half) == 1
    other = right.copy()
    other[:, 2] = rng.random(400) < 0.5
    assert p_value(half, other) > 0.05
    assert count_spans([[Span(0, 1, "A"), Span(1, 3, "B")]], [[Span(0, 1, "A")]], "A").tolist() == [[1, 1, 1]]
    assert float(f1_of(np.array([4, 2, 1]))) == pytest.approx(100 / 3)


# -- pipes -------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_a_line_is_answered_before_the_next_one_comes() -> None:
    command = [sys.executable, "-m", "tx", "tag", "-m", str(straight()[0]), "--threads", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=os.environ | home(), text=True) as child:
        assert child.stdin and child.stdout
        for line, wanted in (("in Rome", "in [LOC Rome]\n"), ("\n", "\n"), ("in Bern", "in [LOC Bern]\n")):
            child.stdin.write(line.rstrip("\n") + "\n")
            child.stdin.flush()
            assert child.stdout.readline() == wanted
        child.stdin.close()
        assert child.wait() == 0
