"""Tokenizers: every line comes back, the same text gives the same vocabulary, and what goes wrong is said."""

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tx.errors import TxError
from tx.package import Package, write_package
from tx.text.fit_tokenizer import train_tokenizer, train_tokenizer_package
from tx.text.load_tokenizer import load_tokenizer, open_tokenizer, open_tokenizers
from tx.text.tokenizer import EOS_ID, KINDS, UNK_ID, Tokenizer
from tx.text.wordpiece import FIRST, learn_pieces

TRICKY = [
    "",
    " ",
    "   ",
    " a  b ",
    "\u2581",
    "a\u2581b \u2581",
    "##a ## # <0x41> ##<0x41> </s> <unk><pad> <s>",
    "e\u0301 \u0301x \u1100\u1161\u11a8",  # what NFC composes, and a mark with nothing to sit on
    "\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "\t\r\v\f\x00\x01\x1f\x7f\x85\u2028\u2029",
    "\u00a0\u3000\ufeff\u200b\u202e",
    "\u2585 \u2047 \ufffd \uffff \U0010ffff",
    "\ud800 half a pair",
    "größer 日本語 ﬁ Ω Ω",
]
any_line = st.text(st.characters(exclude_characters="\n", exclude_categories=[])) | st.text("ab #▁<0x>")


def sentences(count: int, seed: int) -> list[str]:
    """Text with a vocabulary, from made-up words of made-up syllables, the frequent ones more frequent."""
    chance = random.Random(seed)
    syllables = ["ka", "lo", "mün", "ter", "ei", "##", "so", "ra", "chen", "ß", "un", "do"]
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(300)]
    weights = [1 / rank for rank in range(1, 301)]
    return [" ".join(chance.choices(words, weights, k=chance.randint(3, 12))) + "." for _ in range(count)]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "train.txt"
    path.write_text("\n".join(sentences(2000, seed=1)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizers(text: Path) -> dict[str, Tokenizer]:
    return {kind: train_tokenizer(kind, [text], 500) for kind in KINDS}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tokenizers: dict[str, Tokenizer]) -> Tokenizer:
    return tokenizers[request.param]


# --- the contract ---


@settings(max_examples=300)
@given(any_line)
def test_every_line_comes_back(tokenizers: dict[str, Tokenizer], line: str) -> None:
    for tokenizer in tokenizers.values():
        check_round_trip(tokenizer, line)


@pytest.mark.parametrize("line", TRICKY)
def test_every_tricky_line_comes_back(tokenizers: dict[str, Tokenizer], line: str) -> None:
    for tokenizer in tokenizers.values():
        check_round_trip(tokenizer, line)


def check_round_trip(tokenizer: Tokenizer, line: str) -> None:
    normal = tokenizer.normalize(line)
    ids = tokenizer.encode(line)
    assert tokenizer.decode(ids) == normal, tokenizer.kind
    assert tokenizer.normalize(normal) == normal
    assert UNK_ID not in ids or tokenizer.kind == "alphabet"
    assert tokenizer.encode_batch([line, "ka", line]) == [ids, tokenizer.encode("ka"), ids]
    [sampled] = tokenizer.sample_batch([line], seed=3, alpha=0.3)
    assert tokenizer.decode(sampled) == normal, tokenizer.kind
    pieces = tokenizer.encode_pieces(line)
    assert pieces == [tokenizer.piece(id) for id in ids]
    written = " ".join(pieces)
    assert "\n" not in written and not written.endswith("\r")
    assert tokenizer.decode_pieces(written.split(" ") if written else []) == normal, tokenizer.kind


@given(st.text())
def test_normalizing_keeps_what_a_reader_sees(tokenizers: dict[str, Tokenizer], line: str) -> None:
    decomposed = unicodedata.normalize("NFD", line)
    for tokenizer in [tokenizer for kind, tokenizer in tokenizers.items() if kind != "alphabet"]:
        marked = decomposed if tokenizer.kind == "wordpiece" else decomposed.replace("\u2581", " ")
        assert unicodedata.normalize("NFD", tokenizer.normalize(line)) == marked


def test_the_layout_of_ids(tokenizer: Tokenizer) -> None:
    last = len(tokenizer) - 1
    assert (tokenizer.eos_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.pad_id) == (
        EOS_ID,
        UNK_ID,
        last,
        last,
    )
    assert [tokenizer.piece(id) for id in (EOS_ID, UNK_ID, last)] == ["</s>", "<unk>", "<pad>"]
    assert len({tokenizer.piece(id) for id in range(len(tokenizer))}) == len(tokenizer)
    assert len(tokenizer) <= 500


def test_decoding_skips_end_and_padding(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("kalo xyz")
    pad = tokenizer.pad_id
    expected = tokenizer.normalize("kalo xyz")
    assert tokenizer.decode([pad, *ids, EOS_ID, pad, pad]) == expected
    assert tokenizer.decode([pad, EOS_ID]) == ""
    assert tokenizer.decode_pieces(["<pad>", *tokenizer.encode_pieces("kalo xyz"), "</s>"]) == expected


def test_a_frequent_word_is_cheap(tokenizer: Tokenizer, text: Path) -> None:
    line = text.read_text().split("\n")[0]
    ids = tokenizer.encode(line)
    assert len(ids) <= len(line) + 1
    if tokenizer.kind not in ("char", "alphabet"):
        assert len(ids) < 0.7 * len(line)


def test_an_unknown_piece_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(TxError, match="no piece 'nowhere'"):
        tokenizer.decode_pieces(["nowhere"])


def test_sampling_depends_on_the_seed_alone(tokenizer: Tokenizer) -> None:
    lines = sentences(50, seed=5)
    first = tokenizer.sample_batch(lines, seed=1, alpha=0.2)
    other = tokenizer.sample_batch(lines, seed=2, alpha=0.2)
    tokenizer.sample_batch(lines[:7], seed=9, alpha=0.5)
    assert tokenizer.sample_batch(lines, seed=1, alpha=0.2) == first
    assert [tokenizer.decode(ids) for ids in other] == lines
    assert (first != other) == (tokenizer.kind in ("bpe", "unigram"))
    assert tokenizer.sample_batch(lines, seed=1, alpha=0) == tokenizer.encode_batch(lines)


def test_sampling_a_large_seed_and_nothing(tokenizer: Tokenizer) -> None:
    assert tokenizer.sample_batch([], seed=2**40, alpha=0.1) == []
    assert tokenizer.decode(tokenizer.sample_batch(["ka lo"], seed=2**40, alpha=0.1)[0]) == "ka lo"


# --- against independent implementations ---


def test_the_model_is_one_that_sentencepiece_reads(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    for kind in ("bpe", "unigram", "char"):
        name = tokenizers[kind].save(tmp_path, kind)
        processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / name))
        for line in sentences(20, seed=6):
            assert tokenizers[kind].encode(line) == processor.encode(line)


def test_wordpiece_takes_the_longest_match(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["wordpiece"]
    vocabulary = {tokenizer.piece(id) for id in range(len(tokenizer))}
    for word in {word for line in sentences(200, seed=7) for word in line.split(" ")}:
        mark, rest, expected = "", word, []
        while rest:
            fitting = [rest[:end] for end in range(1, len(rest) + 1) if mark + rest[:end] in vocabulary]
            if word.startswith("##") and not mark:
                fitting = ["#"]
            expected.append(mark + max(fitting, key=len))
            mark, rest = "##", rest.removeprefix(max(fitting, key=len))
        assert tokenizer.encode_pieces(word) == expected


@given(st.dictionaries(st.text("ab#.", min_size=1, max_size=7), st.integers(1, 20), min_size=1, max_size=12))
@example({"##": 5, "#a": 3, "aaaa": 4})
def test_wordpiece_learns_what_recounting_would(words: dict[str, int]) -> None:
    assert learn_pieces(words, 300, 1.0) == recounted(words, 300)


def recounted(words: dict[str, int], vocab_size: int) -> list[str]:
    """The same vocabulary the slow way: count all pairs anew before each choice."""
    runs = []
    for word, count in words.items():
        symbols = [("##" if n else "") + letter for n, letter in enumerate(word)]
        cuts = [0, *(n for n in range(1, len(word)) if word[n].isalnum() != word[n - 1].isalnum()), len(word)]
        runs += [(symbols[start:end], count) for start, end in pairwise(cuts)]
    letters = sorted({symbol for run, _ in runs for symbol in run})
    pieces = [*FIRST, *letters]
    while len(pieces) < vocab_size - 1:
        counts: Counter[tuple[str, str]] = Counter()
        for run, count in runs:
            for pair in pairwise(run):
                counts[pair] += count
        allowed = {
            pair: count
            for pair, count in counts.items()
            if count > 1 and (pair[0].startswith("##") or not (pair[0] + pair[1][2:]).startswith("##"))
        }
        if not allowed:
            break
        left, right = min(allowed, key=lambda pair: (-allowed[pair], pair))
        for run, _ in runs:
            for n in range(len(run) - 1):
                if run[n : n + 2] == [left, right]:
                    run[n : n + 2] = [left + right[2:]]
        if left + right[2:] not in pieces:
            pieces.append(left + right[2:])
    return [*pieces, "<pad>"]


# --- the alphabet ---


def test_an_alphabet_is_the_characters_of_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "text", "to be\tor\u2028 \u2581\n\nnot")
    tokenizer = train_tokenizer("alphabet", [path], 500)
    pieces = [tokenizer.piece(id) for id in range(len(tokenizer))]
    assert pieces == ["</s>", "<unk>", "<U+0009>", "\u2581", *"benort", "<U+2028>", "<U+2581>", "<pad>"]
    assert tokenizer.decode(tokenizer.encode("to be\tor\u2028 \u2581")) == "to be\tor\u2028 \u2581"
    assert tokenizer.encode("bx\u00e9e") == [4, UNK_ID, UNK_ID, 5]
    assert (
        tokenizer.normalize("bx\u00e9e")
        == tokenizer.decode(tokenizer.encode("bx\u00e9e"))
        == "b\ufffd\ufffde"
    )
    frequent = train_tokenizer("alphabet", [path], 6)
    assert [frequent.piece(id) for id in range(6)] == ["</s>", "<unk>", "\u2581", "o", "t", "<pad>"]


# --- learning ---


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_text_gives_the_same_bytes(
    tokenizers: dict[str, Tokenizer], kind: str, text: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere, with a comma.txt"
    elsewhere.write_bytes(text.read_bytes())
    again = train_tokenizer(kind, [elsewhere], 500)
    assert saved(again, tmp_path / "b") == saved(tokenizers[kind], tmp_path / "a")


def saved(tokenizer: Tokenizer, folder: Path) -> bytes:
    return (folder / tokenizer.save(folder, "tokenizer")).read_bytes()


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no text in"),
        (b"\n  \n\t\n", "no text in"),
        (b"a\nb\xe4d\n", ":2 is not UTF-8"),
        ("a\nb\n".encode("utf-16"), "UTF-16"),
        (b"one\rtwo\rthree", "carriage return"),
        (b"a\0b\n", "NUL"),
    ],
)
def test_text_that_cannot_be_learned_from_is_named(
    kind: str, content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(TxError, match=message):
        train_tokenizer(kind, [write(tmp_path / "text", content)], 500)


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_too_small_a_vocabulary_names_the_smallest(kind: str, text: Path) -> None:
    with pytest.raises(TxError, match="too small") as caught:
        train_tokenizer(kind, [text], 262)
    needed = int(caught.value.message.rpartition(" ")[2])
    assert len(train_tokenizer(kind, [text], needed)) == needed
    with pytest.raises(TxError, match="too small"):
        train_tokenizer(kind, [text], needed - 1)


@pytest.mark.parametrize("kind", KINDS)
def test_too_large_a_vocabulary_becomes_what_the_text_yields(kind: str, tmp_path: Path) -> None:
    heard: list[str] = []
    tokenizer = train_tokenizer(kind, [write(tmp_path / "text", "a b ab abc\n")], 50_000, say=heard.append)
    assert len(tokenizer) < 300
    assert heard == [f"the text yields {len(tokenizer)} pieces, not 50,000"]
    check_round_trip(tokenizer, "ab c")


def test_an_unknown_kind_gets_a_suggestion(text: Path) -> None:
    with pytest.raises(TxError, match="no tokenizer kind 'ungram'") as caught:
        train_tokenizer("ungram", [text], 500)
    assert caught.value.hint == "did you mean 'unigram'?"


@pytest.mark.parametrize("kind", KINDS)
def test_long_lines_are_learned_from_too(kind: str, tmp_path: Path) -> None:
    long = "spaced words " * 5000 + "x" * 20_000
    tokenizer = train_tokenizer(kind, [write(tmp_path / "text", f"a\n{long}\n")], 300)
    learned = range(2 if kind == "alphabet" else 259, len(tokenizer) - 1)
    assert any("s" in tokenizer.piece(id) for id in learned)
    check_round_trip(tokenizer, long)


@pytest.mark.parametrize("kind", KINDS)
def test_special_text_is_ordinary(kind: str, tmp_path: Path) -> None:
    line = "<0x41> </s> <unk> <pad> ## ##a ##<0x41> \u2581 \u2585 x\u2028y\x85z \t"
    tokenizer = train_tokenizer(kind, [write(tmp_path / "text", f"{line}\n" * 30)], 400)
    check_round_trip(tokenizer, line)
    check_round_trip(tokenizer, line.replace(" ", ""))


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_a_large_corpus_is_sampled_by_its_seed(kind: str, text: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    first, again, other = (
        saved(train_tokenizer(kind, [text], 400, seed=seed, max_lines=100, say=heard.append), tmp_path / name)
        for seed, name in [(1, "a"), (1, "b"), (2, "c")]
    )
    assert first == again != other
    assert "training on 100 of 2,000 lines, sampled at random" in heard


def test_a_dead_child_is_reported(text: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = write(tmp_path / "python", "#!/bin/sh\necho out of something >&2\nkill -9 $$\n")
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    with pytest.raises(TxError, match=r"died \(status -9\) out of something"):
        train_tokenizer("bpe", [text], 500)


# --- a process of its own ---

TRAIN = """
import sys
from tx.text.fit_tokenizer import train_tokenizer_package
print("ready", flush=True)
train_tokenizer_package(sys.argv[1], [sys.argv[2]], 8000, sys.argv[3])
"""


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chance = random.Random(1)
    words = ("".join(chance.choices("abcdefghijkl", k=6)) for _ in range(500_000))
    lines = (" ".join(line) for line in zip(*[words] * 10, strict=True))
    return write(tmp_path_factory.mktemp("heavy") / "heavy.txt", "\n".join(lines))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="child processes are looked up in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_ends_learning_at_once(how: signal.Signals, heavy: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRAIN, "unigram", heavy, tmp_path / "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        [child] = wait_for(lambda: children(process.pid), 100)
        assert wait_for(lambda: cpu_seconds(child) > 1.5, 100), "the child now learns"
        process.send_signal(how)
        process.wait(100)
        assert wait_for(lambda: not Path(f"/proc/{child}").exists(), 100)
    assert process.returncode == -how
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_package(text: Path, tmp_path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    out = tmp_path / "out" / "tokenizer"
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, "char", text, out], preexec_fn=limit, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert re.search(r"TxError: cannot write .*tokenizer.*: File too large", done.stderr)
    assert list(out.parent.iterdir()) == []


# --- on disk ---


def test_saved_is_loaded(tokenizer: Tokenizer, tmp_path: Path) -> None:
    name = tokenizer.save(tmp_path, "src")
    assert name.startswith("src")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    loaded = load_tokenizer(tokenizer.kind, tmp_path / name)
    for line in [*sentences(20, seed=8), *TRICKY]:
        assert loaded.encode(line) == tokenizer.encode(line)
    assert len(loaded) == len(tokenizer)


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"\xff" + data]
)
def test_a_damaged_file_is_named(
    tokenizer: Tokenizer, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / tokenizer.save(tmp_path, "src")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TxError, match=f"{path} .* damaged"):
        load_tokenizer(tokenizer.kind, path)


def test_a_model_with_other_ids_is_refused(text: Path, tmp_path: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(tmp_path / "other"), vocab_size=60, minloglevel=2
    )
    with pytest.raises(TxError, match="other ids"):
        load_tokenizer("unigram", tmp_path / "other.model")
    with pytest.raises(TxError, match="cannot read"):
        load_tokenizer("unigram", tmp_path / "none.model")


def test_a_tokenizer_package_opens(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "bpe"
    train_tokenizer_package("bpe", [text], 400, out)
    package = Package.open(out, "tokenizer")
    line = sentences(1, seed=9)[0]
    assert open_tokenizer(package).decode(open_tokenizer(package, "tgt").encode(line)) == line
    src, tgt = open_tokenizers(package)
    assert src is tgt
    with pytest.raises(TxError, match="exists already"):
        train_tokenizer_package("bpe", [text], 300, out)
    train_tokenizer_package("word", [text], 300, out, overwrite=True)
    assert open_tokenizer(Package.open(out)).kind == "word"


def test_a_package_with_two_tokenizers_needs_a_side(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    two = {"src": tokenizers["bpe"], "tgt": tokenizers["char"]}
    package = write_package(tmp_path / "two", task="tokenizer", tokenizers=two)
    assert open_tokenizer(package, "tgt").kind == "char"
    assert [tokenizer.kind for tokenizer in open_tokenizers(package)] == ["bpe", "char"]
    with pytest.raises(TxError, match="for each side") as caught:
        open_tokenizer(package)
    assert caught.value.hint == "choose one with --side src or --side tgt"
    with pytest.raises(TxError, match="no tokenizer 'middle'"):
        open_tokenizer(package, "middle")
    none = write_package(tmp_path / "none", task="vectors")
    with pytest.raises(TxError, match="has no tokenizer"):
        open_tokenizer(none)
