"""Writing a package: no crash and no rival writer ever shows half of one."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from crash import kill_at, names
from packages import Words, fill, snapshot, translator
from tx.errors import TxError
from tx.package import (
    MANIFEST,
    WEIGHTS,
    Package,
    load_package,
    model_card,
    read,
    update_manifest,
    update_package,
    write_package,
)
from tx.package.card import best_score, is_untouched


@pytest.fixture
def de_en(tmp_path: Path) -> Path:
    return write_package(tmp_path / "de-en", fill(1), **translator()).path


def test_what_is_there_is_not_overwritten_unasked(de_en: Path, tmp_path: Path) -> None:
    with pytest.raises(TxError, match="exists already") as caught:
        write_package(de_en, fill(2), **translator(2))
    assert "--overwrite" in str(caught.value.hint)
    assert Package.open(de_en).config["d_model"] == 1
    assert write_package(de_en, fill(2), overwrite=True, **translator(2)).config["d_model"] == 2
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "weights.safetensors").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "thesis", tmp_path / "file"):
        with pytest.raises(TxError, match="is not a package, and --overwrite only replaces packages"):
            write_package(path, fill(2), overwrite=True, **translator(2))
        with pytest.raises(TxError, match="exists and is not a package") as caught:
            write_package(path, fill(2), **translator(2))
        assert caught.value.hint == "choose another -o"
    assert (tmp_path / "thesis" / "weights.safetensors").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert write_package(tmp_path / "empty", fill(1), **translator()).arch == "transformer"


def test_an_update_keeps_the_run_and_drops_what_is_not_listed(de_en: Path) -> None:
    (de_en / "run").mkdir()
    (de_en / "run" / "metrics.jsonl").write_text("{}")
    (de_en / "LICENSE").write_text("CC0")
    fields = {**translator(3), "tokenizers": {"tokenizer": Words("shared")}}
    package = update_package(de_en, fill(3), **fields)
    assert load_file(package.file(WEIGHTS))["b"].tolist() == [3, 3, 3]
    assert names(de_en) == sorted(["LICENSE", "README.md", "model.json", "run", "tokenizer.txt", WEIGHTS])
    assert (de_en / "run" / "metrics.jsonl").read_text() == "{}"


def test_training_writes_its_first_package_around_the_run(tmp_path: Path) -> None:
    (tmp_path / "x" / "run").mkdir(parents=True)
    with pytest.raises(TxError, match="exists already"):
        write_package(tmp_path / "x", fill(1), **translator())
    assert update_package(tmp_path / "x", fill(1), **translator()).task == "translation"
    assert (tmp_path / "x" / "run").is_dir()


def state(path: Path) -> tuple[int, int, bytes]:
    """What a reader sees: these three agree in every package the tests write."""
    return load_package(
        path,
        lambda package: (
            package.config["d_model"],
            int(load_file(package.file(WEIGHTS))["b"][0]),
            package.file("src.txt").read_bytes()[-1:],
        ),
    )


def test_an_update_killed_anywhere_leaves_the_old_or_the_new(de_en: Path, tmp_path: Path) -> None:
    pristine = tmp_path / "pristine"
    shutil.copytree(de_en, pristine)
    work = tmp_path / "work"
    seen = []
    n, done = 1, False
    while not done:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(pristine, work)
        done = kill_at(n, lambda: update_package(work, fill(2), **translator(2)))
        seen.append(state(work))
        n += 1
        if n % 5 == 0:  # the next writer cleans up, and nothing of the dead one shows
            update_package(work, fill(3), **translator(3))
            assert state(work) == (3, 3, b"3")
            assert names(work) == names(pristine)
    old, new = (1, 1, b"1"), (2, 2, b"2")
    turn = seen.index(new)
    assert seen == [old] * turn + [new] * (len(seen) - turn)  # one commit, and no way back
    assert turn > 20 and len(seen) - turn > 5


def test_a_new_package_killed_anywhere_is_absent_or_whole(tmp_path: Path) -> None:
    work = tmp_path / "work"
    n, done = 1, False
    while not done:
        shutil.rmtree(work, ignore_errors=True)
        done = kill_at(n, lambda: write_package(work, fill(2), **translator(2)))
        assert not work.exists() or state(work) == (2, 2, b"2")
        n += 3
    assert n > 20
    assert not [name for name in names(tmp_path) if name.startswith(".tmp")]


def test_everything_is_durable_before_the_commit(de_en: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the rename of model.json, the content and the names of all new files have been synced."""
    synced: set[int] = set()
    fsync, replace = os.fsync, os.replace
    commits = 0

    def spy_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def spy_replace(source: Path, target: Path, **options: Any) -> None:
        nonlocal commits
        if Path(target) == de_en / MANIFEST:
            commits += 1
            for file in [de_en, Path(source), *de_en.glob(".new-*")]:
                assert file.stat().st_ino in synced, file
            assert len(list(de_en.glob(".new-*"))) == 2  # weights and one tokenizer: the other is the same
        elif Path(target).parent == de_en:
            synced.discard(de_en.stat().st_ino)  # a new name, not yet durable
        replace(source, target, **options)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    update_package(de_en, fill(2), **translator(2))
    assert commits == 1


def test_a_reader_beside_a_writer_sees_no_mixture(de_en: Path) -> None:
    child = os.fork()
    if child == 0:
        try:
            for value in range(2, 10**6):
                update_package(de_en, fill(value % 10), **translator(value % 10))
        finally:
            os._exit(1)
    try:
        seen, deadline = [], time.monotonic() + 30
        while len(seen) < 300 or (len(set(seen)) <= 3 and time.monotonic() < deadline):
            seen.append(state(de_en))
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    for d_model, weight, last in seen:
        assert d_model == weight == int(last)
    assert len(set(seen)) > 3, "the writer did not write"
    state(de_en)


def test_an_update_in_the_middle_of_an_opening_is_seen_whole(
    de_en: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify_file = read._verify_file

    def interrupted(*arguments: Any) -> Any:
        monkeypatch.setattr(read, "_verify_file", verify_file)
        update_package(de_en, fill(2), **translator(2))
        return verify_file(*arguments)

    monkeypatch.setattr(read, "_verify_file", interrupted)
    assert state(de_en) == (2, 2, b"2")


def test_a_build_that_fails_by_itself_is_not_tried_again(de_en: Path) -> None:
    calls = []

    def build(package: Package) -> None:
        calls.append(package)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        load_package(de_en, build)
    assert len(calls) == 1


def test_a_writer_waits_for_the_other(de_en: Path) -> None:
    children = []
    for value in range(2, 6):
        if (child := os.fork()) == 0:
            update_package(de_en, fill(value), **translator(value))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]
    d_model, weight, last = state(de_en)
    assert d_model == weight == int(last) > 1


def test_a_full_disk_is_one_sentence_and_keeps_the_old(de_en: Path) -> None:
    script = f"""
import resource, signal, sys
import numpy as np
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
from packages import fill, translator
from tx.errors import TxError
from tx.package import update_package, write_package
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
for write, path in ((update_package, {str(de_en)!r}), (write_package, {str(de_en)!r} + "2")):
    try:
        write(path, fill(2, 10_000), **translator(2))
    except TxError as error:
        print(error.message)
"""
    before = snapshot(de_en)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = run.stdout.splitlines()
    assert first.startswith(f"cannot write {de_en}: ") and "File too large" in first
    assert second.startswith(f"cannot write {de_en}2: ")
    assert snapshot(de_en) == before
    assert names(de_en.parent) == ["de-en"]


@pytest.mark.parametrize("name", ["../x.txt", "ä.txt", "model.json"])
def test_a_package_that_could_not_be_opened_is_never_written(de_en: Path, name: str) -> None:
    with pytest.raises(TxError):
        update_package(de_en, lambda folder: (folder / name).write_text("x"), **translator(2))
    with pytest.raises(TxError):
        update_package(de_en, lambda folder: (folder / WEIGHTS).write_bytes(b"x" * 99), **translator(2))
    with pytest.raises(TxError, match="cannot write"):
        update_package(de_en, fill(2), **{**translator(2), "config": {"lr": float("nan")}})
    assert state(de_en) == (1, 1, b"1")


def test_a_score_is_stored_with_the_model_it_measured(de_en: Path) -> None:
    package = Package.open(de_en)
    score = {"metric": "BLEU", "value": 33.0}
    assert update_manifest(package, scores=[*package.scores, score]).scores[-1] == score
    assert snapshot(de_en)[0]["scores"][-1] == score
    update_package(de_en, fill(2), **translator(2))
    with pytest.raises(TxError, match="was replaced while it was in use"):
        update_manifest(package, scores=[])


def test_the_card_says_what_the_manifest_says_and_follows_it(de_en: Path) -> None:
    text = (de_en / "README.md").read_text()
    for part in (
        "# de-en",
        "31.25",
        "nrefs:1\\|tok:13a",
        "train.de",
        "empty: 1",
        "tx translate -m de-en",
        "| d_model | 1 |",
        "tx evaluate -m de-en SRC REF",
    ):
        assert part in text, part
    package = Package.open(de_en)
    update_manifest(package, scores=[{"metric": "BLEU", "value": 99.5}])
    assert "99.5" in (de_en / "README.md").read_text()


def test_the_card_reads_well() -> None:
    manifest: dict[str, Any] = {
        "task": "translation",
        "arch": None,
        "tx_version": "0",
        "scores": [],
        "data": {
            "files": [{"name": "train.de.gz"}, {"name": "train.en"}],
            "pairs": 29000,
            "dropped": [],
            "src_pieces": 224251,
            "mix": ["a_b", "_c"],
        },
        "tokenizers": {},
        "config": {"d_model": 1024, "tie_embeddings": True},
    }
    text = model_card(manifest, "de_en")
    assert text.startswith("# de_en\n")
    assert "tx evaluate -m de_en test.de test.en\n" in text
    assert "## Training data\n\n- pairs: 29,000\n- src pieces: 224,251\n- mix: a_b, \\_c\n\nfiles:\n" in text
    assert "| d_model | 1,024 |\n" in text and "dropped" not in text and "[]" not in text


def test_an_edited_card_is_kept(de_en: Path) -> None:
    readme = de_en / "README.md"
    edited = readme.read_text().replace("# de-en", "# My best model")
    readme.write_text(edited)
    update_manifest(Package.open(de_en), scores=[])
    update_package(de_en, fill(2), **translator(2))
    assert readme.read_text() == edited
    readme.write_bytes(b"\xff")
    update_package(de_en, fill(3), **translator(3))
    assert readme.read_bytes() == b"\xff"
    readme.unlink()
    update_package(de_en, fill(4), **translator(4))
    assert is_untouched(readme.read_text())


@given(st.text(), st.text())
def test_nothing_breaks_out_of_the_card(name: str, value: str) -> None:
    manifest = {
        "task": "translation",
        "arch": None,
        "tx_version": "0",
        "scores": [{"metric": value, "value": 1}],
        "data": {value: value},
        "tokenizers": {},
        "config": {value: [value]},
    }
    text = model_card(manifest, name)
    assert is_untouched(text)
    assert not is_untouched(text + "more")
    assert not is_untouched("more" + text)
    tables = [line for line in text.split("\n") if line.startswith("|")]
    assert len(tables) == 6


def test_best_score() -> None:
    assert best_score([]) is None
    bleu = [{"metric": "BLEU", "value": value} for value in (20, 30, 25)]
    assert best_score([*bleu, {"metric": "TER", "value": 70}]) == bleu[1]
    assert best_score([{"metric": "TER", "value": value} for value in (60, 50)]) == {
        "metric": "TER",
        "value": 50,
    }


def test_best_score_is_one_that_compares() -> None:
    loss = {"metric": "loss", "value": 1.4, "data": "validation, greedy, step 9"}
    validated = {"metric": "BLEU", "value": 41.58, "data": "validation, greedy, step 9"}
    tested = {"metric": "BLEU", "value": 40.54, "data": "test.de, beam 5", "signature": "case:mixed"}
    better = tested | {"value": 41.0, "data": "test.de, beam 9"}
    lowercased = tested | {"value": 42.0, "signature": "case:lc"}
    old = [{"metric": "valid_loss", "value": 1.4}, {"metric": "valid_bleu", "value": 41.58}]
    assert best_score([loss, validated]) == validated
    assert best_score(old) == old[1] and best_score([*old, tested]) == tested
    assert best_score([loss, validated, tested, lowercased, better]) == better
    assert best_score([tested | {"metric": "perplexity"}, loss, tested]) == tested
    bits = [{"metric": "bits per character", "value": value} for value in (2.1, 1.9)]
    assert best_score([loss, *bits]) == bits[1]
