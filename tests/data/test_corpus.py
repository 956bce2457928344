"""The corpus on disk: what goes in comes out, is encoded once, and what is left out is counted and found."""

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from small import demo_pairs, demo_tokenizer
from tx.data import corpus as module
from tx.data.corpus import (
    COMPLETE,
    Corpus,
    EncodedText,
    check_line_counts,
    encode_corpus,
    fingerprint,
    hold_out,
    open_corpus,
    select_pairs,
)
from tx.errors import TxError
from tx.files import cache_folder
from tx.text.parallel import first_misaligned_line
from tx.text.tokenizer import Tokenizer

ENGLISH = [pair.english for pair in demo_pairs()]
GERMAN = [pair.german for pair in demo_pairs()]

LIMITS: dict[str, Any] = {"max_len": 128, "max_ratio": 4.0, "deduplicate": True}


def files(folder: Path, src: Sequence[str], tgt: Sequence[str]) -> list[str]:
    """The two sides as files; the second lacks its last newline, as many do."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.en").write_text("".join(f"{line}\n" for line in src), encoding="utf-8")
    (folder / "a.de").write_text("\n".join(tgt), encoding="utf-8")
    return [str(folder / "a.en"), str(folder / "a.de")]


def encode(folder: Path, src: Sequence[str], tgt: Sequence[str]) -> tuple[EncodedText, EncodedText]:
    return encode_corpus(files(folder, src, tgt), [demo_tokenizer()] * 2, folder / "cache")


def select(folder: Path, src: Sequence[str], tgt: Sequence[str], **config: object) -> Corpus:
    paths = files(folder, src, tgt)
    sides = encode_corpus(paths, [demo_tokenizer()] * 2, folder / "cache")
    return select_pairs(*sides, paths, **LIMITS | config)


# --- encoding ---


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
def test_every_line_comes_back_as_its_ids_and_text(kind: str, tmp_path: Path) -> None:
    src, tgt = demo_tokenizer(kind), demo_tokenizer("char")
    odd = ["", "日本語 😀", "a\tb", "\x85 \u2028 x", "caf\u00e9 cafe\u0301"]
    english, german = ENGLISH[:200] + odd + ["end"], GERMAN[:200] + odd[1:] + odd[:1] + ["end"]
    sides = encode_corpus(files(tmp_path, english, german), [src, tgt], tmp_path / "cache")
    for side, tokenizer, lines in zip(sides, (src, tgt), (english, german), strict=True):
        assert len(side) == len(lines)
        assert [side.line(i) for i in range(len(side))] == lines
        assert [side[i].tolist() for i in range(len(side))] == [tokenizer.encode(line) for line in lines]
        assert side.lengths().tolist() == [len(tokenizer.encode(line)) for line in lines]


def test_blank_lines_have_no_pieces(tmp_path: Path) -> None:
    src, _ = encode(tmp_path, ["", " ", "\t\u00a0", "a"], ["a", "b", "c", "d"])
    assert [length > 0 for length in src.lengths()] == [False, False, False, True]
    assert [src.line(i) for i in range(4)] == ["", " ", "\t\u00a0", "a"]


def test_an_empty_corpus_can_be_encoded_but_not_used(tmp_path: Path) -> None:
    src, tgt = encode(tmp_path, [], [])
    assert len(src) == len(tgt) == 0
    with pytest.raises(TxError, match="there are none"):
        select(tmp_path, [], [])


@pytest.mark.parametrize("lines_in_chunk", [30, 500])
def test_processes_encode_what_one_does(
    lines_in_chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More chunks than one wave of two processes holds, and just two."""
    serial = encode(tmp_path / "serial", ENGLISH, GERMAN)
    calls = []
    real = module.ProcessPoolExecutor
    monkeypatch.setattr(module, "ProcessPoolExecutor", lambda *a, **k: calls.append(a) or real(*a, **k))
    monkeypatch.setattr(module, "CHUNK", lines_in_chunk)
    monkeypatch.setattr(module, "n_cores", lambda: 2)
    parallel = encode(tmp_path / "parallel", ENGLISH, GERMAN)
    assert len(calls) == 2
    for a, b in zip(serial, parallel, strict=True):
        for part in ("ids", "offsets", "text", "text_offsets"):
            assert np.array_equal(getattr(a, part), getattr(b, part))


# --- the cache ---


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sides that were really encoded, in order."""
    done: list[str] = []
    real = module._encode_side

    def record(folder: Path, name: str, path: str, tokenizer: Tokenizer) -> None:
        done.append(name)
        real(folder, name, path, tokenizer)

    monkeypatch.setattr(module, "_encode_side", record)
    return done


def test_a_corpus_is_encoded_once(tmp_path: Path, encoded: list[str]) -> None:
    first = encode(tmp_path, ENGLISH[:50], GERMAN[:50])
    assert encoded == ["src", "tgt"]
    (tmp_path / "elsewhere").mkdir()
    again = encode_corpus(
        [shutil.copy(tmp_path / name, tmp_path / "elsewhere") for name in ("a.en", "a.de")],
        [demo_tokenizer()] * 2,
        tmp_path / "cache",
    )
    assert encoded == ["src", "tgt"]
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(first, again, strict=True))


def test_other_text_or_tokenizers_are_another_corpus(tmp_path: Path) -> None:
    one, other = demo_tokenizer(), demo_tokenizer("char")
    changed = [*ENGLISH[:9], ENGLISH[9] + "!"]
    names = [
        fingerprint(files(tmp_path / str(n), src, tgt), tokenizers)
        for n, (src, tgt, tokenizers) in enumerate(
            [
                (ENGLISH[:10], GERMAN[:10], (one, one)),
                (changed, GERMAN[:10], (one, one)),
                (ENGLISH[:10], GERMAN[1:11], (one, one)),
                (GERMAN[:10], ENGLISH[:10], (one, one)),
                (ENGLISH[:10], GERMAN[:10], (one, other)),
                (ENGLISH[:10], GERMAN[:10], (other, one)),
            ]
        )
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / COMPLETE).unlink(),
        lambda folder: (folder / COMPLETE).write_text("{not json"),
        lambda folder: (folder / COMPLETE).write_text("[]"),
        lambda folder: (folder / "src.ids").unlink(),
        lambda folder: os.truncate(folder / "tgt.ids", 8),
        lambda folder: os.truncate(folder / "src.offsets", 0),
        lambda folder: (folder / "tgt.text").write_bytes(b""),
        lambda folder: (shutil.rmtree(folder), folder.write_text("a file")),
    ],
    ids=["no seal", "torn seal", "odd seal", "no ids", "short ids", "empty offsets", "empty text", "a file"],
)
def test_a_damaged_cache_is_made_again(
    harm: Callable[[Path], object], tmp_path: Path, encoded: list[str]
) -> None:
    expected = [side.ids.tolist() for side in encode(tmp_path, ENGLISH[:30], GERMAN[:30])]
    (folder,) = (tmp_path / "cache").iterdir()
    harm(folder)
    found = [side.ids.tolist() for side in encode(tmp_path, ENGLISH[:30], GERMAN[:30])]
    assert found == expected and encoded == ["src", "tgt"] * 2
    encode(tmp_path, ENGLISH[:30], GERMAN[:30])
    assert len(encoded) == 4 and [entry.name for entry in (tmp_path / "cache").iterdir()] == [folder.name]


def test_what_fails_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    with pytest.raises(TxError, match="lines but"):
        encode(tmp_path, ENGLISH[:30], GERMAN[:29])
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "a.en").write_bytes(b"fine\n\xff\n")
    with pytest.raises(TxError, match=r"a\.en:2 is not UTF-8"):
        encode_corpus([str(tmp_path / "a.en")] * 2, [demo_tokenizer()] * 2, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_file_is_told(which: int, tmp_path: Path) -> None:
    paths = files(tmp_path, ["a"], ["b"])
    Path(paths[which]).unlink()
    with pytest.raises(TxError, match=re.escape(f"there is no file {paths[which]}")):
        encode_corpus(paths, [demo_tokenizer()] * 2, tmp_path / "cache")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TX_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/cache")
    monkeypatch.delenv("TX_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/tx")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/tx")


# --- what is dropped ---


def test_what_is_dropped_is_counted_by_its_first_reason(tmp_path: Path) -> None:
    long, short = " ".join(ENGLISH[:12]), "a"
    pairs = [
        (ENGLISH[0], GERMAN[0]),
        ("", GERMAN[1]),  # 2: empty
        (ENGLISH[1], GERMAN[1]),
        (ENGLISH[2], "   "),  # 4: empty, though it holds spaces
        (long, long),  # 5: long
        (ENGLISH[0], GERMAN[0]),  # 6: duplicate
        (ENGLISH[0], GERMAN[1]),  # the source alone occurred before
        (" ".join(ENGLISH[:4]), short),  # 8: ratio
        ("", ""),  # 9: empty, not a duplicate
        (short, " ".join(ENGLISH[:4])),  # 10: ratio
        ("", ""),  # 11: empty
        (long, long),  # 12: long, not a duplicate
        (ENGLISH[0], GERMAN[0]),  # 13: duplicate
    ]
    src, tgt = zip(*pairs, strict=True)
    corpus = select(tmp_path, src, tgt, max_len=80)
    assert corpus.kept.tolist() == [0, 2, 6] and len(corpus) == 3
    report = corpus.report
    assert report["dropped"] == {
        "empty": {"pairs": 4, "first_lines": [2, 4, 9]},
        "longer than 80 pieces": {"pairs": 2, "first_lines": [5, 12]},
        "length ratio over 4": {"pairs": 2, "first_lines": [8, 10]},
        "duplicate": {"pairs": 2, "first_lines": [6, 13]},
    }
    tokenizer = demo_tokenizer()
    assert (report["pairs"], report["kept"]) == (13, 3)
    assert report["src_pieces"] == sum(len(tokenizer.encode(src[i])) for i in (0, 2, 6))
    assert report["tgt_pieces"] == sum(len(tokenizer.encode(tgt[i])) for i in (0, 2, 6))
    assert [entry["name"] for entry in report["files"]] == ["a.en", "a.de"]
    assert json.loads(json.dumps(report)) == report
    everything = select(tmp_path, src, tgt, max_len=80, deduplicate=False)
    assert everything.kept.tolist() == [0, 2, 5, 6, 12]


@pytest.mark.parametrize("max_len", [1, 9, 14])
@pytest.mark.parametrize("max_ratio", [1.0, 1.5, 3.0])
def test_limits_are_exact(max_len: int, max_ratio: float) -> None:
    """For every pair of lengths; the longer side may have `max_ratio` times the other's pieces, and five more."""
    lengths = list(product(range(16), repeat=2))
    sides = [
        EncodedText(np.zeros(sum(side), "<u4"), np.cumsum([0, *side]), np.zeros(0, "u1"), np.zeros(0, "<i8"))
        for side in zip(*lengths, strict=True)
    ]
    corpus = select_pairs(*sides, [], max_len=max_len, max_ratio=max_ratio, deduplicate=False)
    assert corpus.kept.tolist() == [
        i
        for i, (a, b) in enumerate(lengths)
        if min(a, b) > 0 and max(a, b) <= max_len and max(a, b) <= max_ratio * min(a, b) + 5
    ]
    counted = sum(value["pairs"] for value in corpus.report["dropped"].values())
    assert counted + len(corpus) == len(lengths) == corpus.report["pairs"]


def test_a_pair_is_a_duplicate_only_if_both_sides_are(tmp_path: Path) -> None:
    """Nor do sides that only run together to the same text count as one."""
    src = ["a b", "a", "a b", "c", "a b"]
    tgt = ["c", "b c", "c", "a b", "d"]
    assert select(tmp_path, src, tgt).kept.tolist() == [0, 1, 3, 4]


def test_the_user_hears_what_was_dropped(tmp_path: Path) -> None:
    heard: list[str] = []
    paths = files(tmp_path, [*ENGLISH[:20], "", *ENGLISH[:5]], [*GERMAN[:20], "x", *GERMAN[:5]])
    corpus = open_corpus(paths, [demo_tokenizer()] * 2, tmp_path / "cache", heard.append, **LIMITS)
    assert len(corpus) == 20
    assert heard == [
        f"{paths[0]} + {paths[1]}: 26 pairs, 20 kept",
        "  dropped 1: empty (first at line 21)",
        "  dropped 5: duplicate (first at line 22, 23, 24)",
    ]


def test_nothing_left_says_why(tmp_path: Path) -> None:
    with pytest.raises(TxError) as caught:
        select(tmp_path, [*ENGLISH[:7], ""], [*GERMAN[:7], "x"], max_len=1)
    assert "7 longer than 1 pieces" in str(caught.value) and "1 empty" in str(caught.value)
    assert "max_len" in (caught.value.hint or "")


# --- files that do not belong together ---


@pytest.mark.parametrize("where", [3, 250, 500, 750, 990])
@pytest.mark.parametrize("lost", [0, 1], ids=["source lost it", "target lost it"])
def test_unequal_files_are_told_with_the_line_where_they_slip(where: int, lost: int, tmp_path: Path) -> None:
    sides = [list(ENGLISH), list(GERMAN)]
    del sides[lost][where - 1]
    paths = files(tmp_path / "with space", *sides)
    with pytest.raises(TxError) as caught:
        encode_corpus(paths, [demo_tokenizer()] * 2, tmp_path / "cache")
    message = str(caught.value)
    counts = [f"{len(side):,}" for side in sides]
    assert counts in (["999", "1,000"], ["1,000", "999"])
    assert f"{paths[0]} has {counts[0]} lines but {paths[1]} has {counts[1]}" in message
    found = re.search(r"near line ([\d,]+)", message)
    assert found and abs(int(found[1].replace(",", "")) - where) <= 3
    # The command in the hint shows both sides there.
    command = (caught.value.hint or "").partition(": ")[2]
    shown = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    assert 3 <= shown.count("\n") <= 5
    neighbours = range(max(0, where - 5), min(998, where + 5))
    assert any(f"{sides[0][i]}\t{sides[1][i]}\n" in shown for i in neighbours)


@given(st.integers(10, 990), st.integers(1, 4), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_lost_and_added_lines_are_found(where: int, how_many: int, in_source: bool, added: bool) -> None:
    sides = [list(ENGLISH), list(GERMAN)]
    side = sides[0 if in_source else 1]
    if added:
        side[where - 1 : where - 1] = ["Zwischentitel"] * how_many
    else:
        del side[where - 1 : where - 1 + how_many]
    assert abs(first_misaligned_line(*sides) - where) <= 12


def test_the_likeliest_line_is_mostly_right() -> None:
    chance = random.Random(1)
    errors = []
    for _ in range(60):
        where = chance.randrange(5, 990)
        errors.append(abs(first_misaligned_line(ENGLISH[: where - 1] + ENGLISH[where:], GERMAN) - where))
    assert sorted(errors)[50] <= 2 and max(errors) <= 10


@pytest.mark.parametrize(
    ("src", "tgt"), [([], ["a"]), (["a"], []), (["a"], ["b", "c", "d"]), (["", ""], [""])]
)
def test_small_unequal_files_are_no_trouble(src: list[str], tgt: list[str], tmp_path: Path) -> None:
    assert 1 <= first_misaligned_line(src, tgt) <= 1 + min(len(src), len(tgt))
    with pytest.raises(TxError, match=r"lines? but"):
        encode(tmp_path, src, tgt or [""][:0])


# --- validation text ---


def text_of(corpus: Corpus) -> list[tuple[str, str]]:
    return [(corpus.src.line(int(i)), corpus.tgt.line(int(i))) for i in corpus.kept]


@pytest.mark.parametrize("n", [1, 10, 40, 100_000])
def test_validation_text_is_not_trained_on(n: int, tmp_path: Path) -> None:
    """Each source has three targets here: whichever is held out, the others leave the training part."""
    src = [ENGLISH[i % 100] for i in range(300)]
    corpus = select(tmp_path, src, GERMAN[:300])
    train, valid = hold_out(corpus, n, seed=1)
    assert len(valid) == min(n, len(corpus) // 10)
    assert not {source for source, _ in text_of(train)} & {source for source, _ in text_of(valid)}
    assert set(text_of(train)) | set(text_of(valid)) <= set(text_of(corpus))
    held = {source for source, _ in text_of(valid)}
    assert text_of(train) == [
        pair for pair in text_of(corpus) if pair[0] not in held
    ]  # and nothing else left
    assert train.report["held_out"] == len(valid) and train.report["kept"] == len(train)


def test_the_seed_chooses_the_validation_text(tmp_path: Path) -> None:
    corpus = select(tmp_path, ENGLISH, GERMAN)
    one, same, other = (hold_out(corpus, 50, seed)[1].kept.tolist() for seed in (1, 1, 2))
    assert one == same != other
    assert len(set(one)) == 50
    # From everywhere in the file, the first ones too: chance alone misses a quarter once in 1700 seeds.
    for part in range(4):
        assert any(250 * part <= i < 250 * (part + 1) for i in one[:26])


def test_too_small_to_hold_out(tmp_path: Path) -> None:
    corpus = select(tmp_path, ["a b"] * 3, ["c", "d", "e"])
    with pytest.raises(TxError, match="too small to hold out"):
        hold_out(corpus, 10, seed=1)


def test_counts_are_checked_before_anything_is_fitted(tmp_path: Path) -> None:
    for name, n in (("a", 5), ("b", 5), ("c", 4)):
        (tmp_path / name).write_text("a line\n" * n)
    a, b, c = (str(tmp_path / name) for name in "abc")
    check_line_counts([a, b])
    with pytest.raises(TxError, match=r"has 5 lines but .* has 4"):
        check_line_counts([a, c])
