"""Running text on disk and in batches: nothing lost, nothing twice, and every position found again."""

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tx.data.stream as module
from tx.data.sampler import Position
from tx.data.stream import StreamSampler, contiguous_batches, encode_stream, stream_batch
from tx.errors import TxError
from tx.text.fit_tokenizer import train_tokenizer
from tx.text.incremental import decode_text
from tx.text.tokenizer import Tokenizer

TEXT = "\n\nFirst Citizen:\n  Before we proceed, hear me.\tSpeak!\n\nAll: \u2028 Speak \u2581 speak\x0c.\n"


def write(path: Path, text: str) -> str:
    path.write_bytes(text.encode())
    return str(path)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    path = write(tmp_path_factory.mktemp("text") / "text", TEXT * 20)
    kinds = ("alphabet", "char", "bpe", "word", "wordpiece")
    return {kind: train_tokenizer(kind, [path], 330) for kind in kinds}


# -- on disk ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["alphabet", "char", "bpe", "word", "wordpiece"])
def test_a_text_comes_back(kind: str, tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    tokenizer = tokenizers[kind]
    ids = encode_stream([write(tmp_path / "a", TEXT)], tokenizer, tmp_path)
    normal = "\n".join(tokenizer.normalize(line) for line in TEXT.split("\n"))
    assert decode_text(ids.tolist(), tokenizer) == normal
    if kind == "alphabet":
        assert normal == TEXT and len(ids) == len(TEXT)


def test_files_follow_each_other_and_a_last_newline_is_added(
    tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    tokenizer = tokenizers["alphabet"]
    paths = [write(tmp_path / name, text) for name, text in (("a", "we\nhear"), ("b", ""), ("c", "me\r\n"))]
    ids = encode_stream(paths, tokenizer, tmp_path)
    assert decode_text(ids.tolist(), tokenizer) == "we\nhear\nme\n"


@pytest.mark.parametrize("kind", ["alphabet", "bpe", "word", "wordpiece"])
def test_one_endless_line_is_encoded_in_parts(
    kind: str, tokenizers: dict[str, Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, line = tokenizers[kind], "Speak speak we hear  proceed me " * 40
    whole = encode_stream([write(tmp_path / "a", line)], tokenizer, tmp_path / "1")
    monkeypatch.setattr(module, "CUT", 50)
    parts = encode_stream([write(tmp_path / "a", line)], tokenizer, tmp_path / "2")
    assert decode_text(parts.tolist(), tokenizer) == line + "\n"
    assert np.array_equal(whole, parts)
    unbroken = "ehear" * 60
    ids = encode_stream([write(tmp_path / "b", unbroken)], tokenizer, tmp_path / "2")
    assert decode_text(ids.tolist(), tokenizer).replace(" ", "") == unbroken + "\n"


def test_processes_change_nothing(
    tokenizers: dict[str, Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a", TEXT * 10)
    alone = encode_stream([path], tokenizers["bpe"], tmp_path / "1")
    monkeypatch.setattr(module, "CHUNK", 400)
    assert np.array_equal(alone, encode_stream([path], tokenizers["bpe"], tmp_path / "2"))


def test_a_text_is_encoded_once(
    tokenizers: dict[str, Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a", TEXT)
    first = encode_stream([path], tokenizers["bpe"], tmp_path / "cache")
    monkeypatch.setattr(module, "_encode", None)
    again = encode_stream([shutil.copy(path, tmp_path / "b")], tokenizers["bpe"], tmp_path / "cache")
    assert np.array_equal(first, again)
    with pytest.raises(TypeError):
        encode_stream([write(tmp_path / "c", TEXT + "me\n")], tokenizers["bpe"], tmp_path / "cache")


@pytest.mark.parametrize(
    ("content", "message"), [(b"\xff\xfea\x00", "UTF-16"), (b"a\nb\xe4d", "a:2 is not UTF-8")]
)
def test_what_is_no_text_is_named(
    content: bytes, message: str, tokenizers: dict[str, Tokenizer], tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(TxError, match=message):
        encode_stream([str(tmp_path / "a")], tokenizers["alphabet"], tmp_path / "cache")


# -- batches ---------------------------------------------------------------------------------------

sizes = st.tuples(st.integers(1, 5), st.integers(1, 9))


def test_a_batch_is_pieces_and_what_follows() -> None:
    batch = stream_batch(np.arange(20, dtype="<u4"), np.array([3, 10]), 4)
    assert batch.tokens.tolist() == [[3, 4, 5, 6], [10, 11, 12, 13]]
    assert batch.targets.tolist() == [[4, 5, 6, 7], [11, 12, 13, 14]]
    assert batch.tokens.dtype == torch.int64 and batch.n_tokens == 8


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 200), sizes)
def test_contiguous_batches_are_the_streams(n: int, size: tuple[int, int]) -> None:
    rows, length = min(size[0], n - 1), size[1]
    batches = list(contiguous_batches(np.arange(n), rows, length))
    per_stream = (n - 1) // rows
    tokens = torch.cat([batch.tokens for batch in batches], dim=1)
    assert tokens.tolist() == (np.arange(rows)[:, None] * per_stream + np.arange(per_stream)).tolist()
    assert torch.equal(torch.cat([batch.targets for batch in batches], dim=1), tokens + 1)
    assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(30, 300), sizes, st.integers(0, 3))
def test_an_epoch_of_windows_sees_no_token_twice(n: int, size: tuple[int, int], seed: int) -> None:
    ids, (rows, length) = np.arange(n), size
    if (n - length) // length < rows:
        return
    sampler = StreamSampler(ids, rows, length, seed)
    epochs = []
    for epoch in range(3):
        batches = [sampler.next() for _ in range(sampler.batches_per_epoch())]
        assert sampler.position == Position(epoch + 1, 0, 0)
        seen = torch.cat([batch.targets.flatten() for batch in batches]).tolist()
        assert len(set(seen)) == len(seen) > n - (rows + 2) * length - length
        epochs.append(seen)
        for batch in batches:
            assert torch.equal(batch.targets, batch.tokens + 1) and batch.fresh
    if len(epochs[0]) > 30:
        assert len({tuple(epoch) for epoch in epochs}) == 3, "each epoch has another order"


def test_windows_begin_anywhere() -> None:
    sampler = StreamSampler(np.arange(1000), 2, 10, seed=1)
    starts = {int(row[0]) % 10 for _ in range(2000) for row in sampler.next().tokens}
    assert starts == set(range(10))


@settings(max_examples=40, deadline=None)
@given(sizes)
def test_contiguous_epochs_are_the_same_streams_again(size: tuple[int, int]) -> None:
    rows, length = size
    sampler = StreamSampler(np.arange(100), rows, length, seed=1, contiguous=True)
    n = sampler.batches_per_epoch()
    first, second = ([sampler.next() for _ in range(n)] for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.tokens, other.tokens) and one.fresh == other.fresh
    for before, after in pairwise(first):
        assert torch.equal(after.tokens[:, 0], before.targets[:, -1]) and not after.fresh
    assert first[0].fresh and sampler.epochs() == 2


@pytest.mark.parametrize("contiguous", [True, False])
@settings(max_examples=20, deadline=None)
@given(at=st.integers(0, 30))
def test_any_position_is_found_again(contiguous: bool, at: int) -> None:
    def sampler() -> StreamSampler:
        return StreamSampler(np.arange(200), 3, 7, seed=5, contiguous=contiguous)

    one, other = sampler(), sampler()
    for _ in range(at):
        one.next()
    other.position = Position(**vars(one.position))
    assert one.epochs() == other.epochs()
    a, b = one.next(), other.next()
    assert torch.equal(a.tokens, b.tokens) and a.fresh == b.fresh


def test_peeking_does_not_move_the_position() -> None:
    sampler = StreamSampler(np.arange(200), 3, 7, seed=5, contiguous=True)
    batch = sampler.peek(100)
    assert sampler.position == Position() and batch.fresh


@pytest.mark.parametrize("contiguous", [True, False])
def test_too_little_text_is_told(contiguous: bool) -> None:
    with pytest.raises(TxError, match="60 tokens of training text are too few for a batch of 8 x 8"):
        StreamSampler(np.arange(60), 8, 8, seed=1, contiguous=contiguous)
    assert StreamSampler(np.arange(72), 8, 8, seed=1, contiguous=contiguous).batches_per_epoch() == 1
