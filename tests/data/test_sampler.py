"""The order of the data: every pair once an epoch, within the budget, and the same again from any position."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from small import demo_pairs, demo_tokenizer
from tx.data import sampler as module
from tx.data.batch import Batch, make_batch
from tx.data.corpus import Corpus, EncodedText, encode_corpus, select_pairs
from tx.data.sampler import PairSampler, Position, cut_batches, permute

PAD = 799  # of the demo tokenizer


def side_of(rows: list[list[int]]) -> EncodedText:
    ids = np.array([id for row in rows for id in row], "<u4")
    offsets = np.cumsum([0, *map(len, rows)])
    return EncodedText(ids, offsets, np.zeros(0, "u1"), np.zeros(0, "<i8"))


def numbered(n: int, seed: int = 0, skip: int = 1) -> Corpus:
    """Pairs whose source and target both start with their own number; every `skip`-th line is used."""
    chance = random.Random(seed)
    lines = n * skip
    src, tgt = (
        [[2 + i % 700, 2 + i // 700] + [5] * chance.randrange(12) for i in range(lines)] for _ in range(2)
    )
    return Corpus(side_of(src), side_of(tgt), np.arange(0, lines, skip), {})


def sampler_of(corpus: Corpus, batch_tokens: int = 200, seed: int = 1, **options: object) -> PairSampler:
    tokenizer = demo_tokenizer()
    return PairSampler(corpus, (tokenizer, tokenizer), batch_tokens, seed, **options)  # type: ignore[arg-type]


def pairs_in(batch: Batch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The pairs, read back from the tensors."""
    found, rest = [], batch.tgt_out.tolist()
    for i, row in enumerate(batch.src.tolist()):
        width = batch.tgt_in.size(1)
        n = int(((batch.tgt_positions >= i * width) & (batch.tgt_positions < (i + 1) * width)).sum())
        src = row[: row.index(0)]
        assert set(row[row.index(0) + 1 :]) <= {PAD}
        found.append((tuple(src), tuple(rest[: n - 1])))
        assert rest[n - 1] == 0
        rest = rest[n:]
    assert rest == []
    return found


def epoch_of(sampler: PairSampler) -> Iterator[Batch]:
    """The batches from here to the end of the epoch."""
    epoch = sampler.position.epoch
    while sampler.position.epoch == epoch:
        yield sampler.next()


def expected_pairs(corpus: Corpus) -> Counter:
    return Counter((tuple(corpus.src[i].tolist()), tuple(corpus.tgt[i].tolist())) for i in corpus.kept)


# --- the permutation ---


@given(st.integers(1, 3000), st.integers(0, 2**63))
@example(1, 0)
@example(2, 0)
@example(4, 1)
@example(16, 2)
@example(17, 3)
@example(1024, 4)
@example(1025, 5)
def test_permute_is_a_permutation(n: int, key: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(n), n, key)), np.arange(n))


@given(st.integers(1, 10**12), st.integers(0, 1000), st.data())
@settings(max_examples=50)
def test_permute_needs_no_more_than_what_is_asked(n: int, key: int, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=8, unique=True))
    together = permute(np.array(places), n, key)
    assert len(set(together.tolist())) == len(places) and (together >= 0).all() and (together < n).all()
    assert [permute(np.array([place]), n, key)[0] for place in places] == together.tolist()


def test_permutations_are_mixed_and_differ_by_key() -> None:
    n = 10_000
    one, other = (permute(np.arange(n), n, key) for key in (1, 2))
    for a, b in ((one, np.arange(n)), (one, other), (one[:-1], one[1:])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(n)
        assert (a == b).sum() < 12  # about one is expected
    # Each tenth of the places holds some of each tenth of the values: chi-square with 81 degrees of freedom.
    table = np.histogram2d(np.arange(n), one, bins=10)[0]
    assert ((table - n / 100) ** 2 / (n / 100)).sum() < 81 + 6 * np.sqrt(2 * 81)


# --- batches ---


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=80), st.integers(1, 200)
)
def test_cut_batches_keep_to_the_budget_and_lose_nothing(
    lengths: list[tuple[int, int]], batch_tokens: int
) -> None:
    src, tgt = np.array(lengths).T
    batches = cut_batches(src, tgt, batch_tokens)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    tokens = [len(batch) * (max(src[batch].max(), tgt[batch].max()) + 1) for batch in batches]
    for batch, n in zip(batches, tokens, strict=True):
        assert n <= batch_tokens or len(batch) == 1
    for (batch, following), n in zip(pairwise(batches), tokens, strict=False):
        first = following[0]  # would not have fitted
        widest = max(n // len(batch), src[first] + 1, tgt[first] + 1)
        assert widest * (len(batch) + 1) > batch_tokens
        assert tgt[batch].max() <= tgt[following].min()


def test_batches_hold_little_padding(tmp_path: Path) -> None:
    sampler = sampler_of(demo_corpus(tmp_path), 800)
    batches = list(epoch_of(sampler))
    real = sum(batch.n_tokens for batch in batches)
    assert real > 0.85 * sum(batch.tgt_in.numel() for batch in batches)


@given(st.lists(st.tuples(*[st.lists(st.integers(1, 700), max_size=6)] * 2), min_size=1, max_size=5))
def test_a_batch_holds_its_pairs(rows: list[tuple[list[int], list[int]]]) -> None:
    src, tgt = zip(*rows, strict=True)
    batch = make_batch(src, tgt, PAD, PAD)
    assert pairs_in(batch) == [(tuple(a), tuple(b)) for a, b in rows]
    assert batch.n_tokens == sum(len(b) + 1 for b in tgt) == len(batch.tgt_out)
    assert batch.n_src_tokens == sum(len(a) + 1 for a in src)
    for row, b in zip(batch.tgt_in.tolist(), tgt, strict=True):
        assert row == [PAD, *b, *[PAD] * (batch.tgt_in.size(1) - 1 - len(b))]
    moved = batch.to(torch.device("cpu"))
    assert pairs_in(moved) == pairs_in(batch) and moved.n_tokens == batch.n_tokens


# --- epochs ---


@pytest.mark.parametrize("window", [1, 7, 50, 1 << 16])
@pytest.mark.parametrize("skip", [1, 3])
def test_every_pair_once_an_epoch_in_another_order(
    window: int, skip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", window)
    corpus = numbered(101, skip=skip)
    sampler = sampler_of(corpus)
    orders = []
    for epoch in range(3):
        assert sampler.position == Position(epoch)
        batches = list(epoch_of(sampler))
        assert sum((Counter(pairs_in(batch)) for batch in batches), Counter()) == expected_pairs(corpus)
        assert all(max(batch.src.numel(), batch.tgt_in.numel()) <= 200 for batch in batches)
        orders.append([pairs_in(batch) for batch in batches])
    assert orders[0] != orders[1] != orders[2] != orders[0]
    other = sampler_of(corpus, seed=2)
    assert [pairs_in(batch) for batch in epoch_of(other)] != orders[0]


def test_batches_of_a_window_come_in_random_order() -> None:
    """Not the short ones first."""
    sampler = sampler_of(numbered(600))
    widths = np.array([batch.tgt_in.size(1) for batch in epoch_of(sampler)])
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 5 / np.sqrt(len(widths))


def demo_corpus(folder: Path) -> Corpus:
    paths = [str(folder / name) for name in ("a.en", "a.de")]
    for path, side in zip(paths, ("english", "german"), strict=True):
        lines = [getattr(pair, side) for pair in demo_pairs()[:200]]
        Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    sides = encode_corpus(paths, [demo_tokenizer()] * 2, folder / "cache")
    return select_pairs(*sides, paths, max_len=128, max_ratio=4.0, deduplicate=True)


@pytest.mark.parametrize("sampling", [0.0, 0.3])
def test_any_position_gives_the_batches_that_follow_it(
    sampling: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", 60)  # four windows
    corpus = demo_corpus(tmp_path)
    sampler = sampler_of(corpus, 400, sampling=sampling)
    positions, batches, epochs = [], [], []
    while sampler.position.epoch < 2:
        positions.append(replace(sampler.position))
        epochs.append(sampler.epochs())
        batches.append(pairs_in(sampler.next()))
    assert len({position.window for position in positions}) == 4
    assert epochs == sorted(epochs) and epochs[0] == 0 and 1.75 < epochs[-1] < 2
    assert len(set(epochs)) == len(epochs)
    for at in range(0, len(positions), 5):
        resumed = sampler_of(corpus, 400, sampling=sampling, position=replace(positions[at]))
        assert resumed.epochs() == epochs[at]
        rest = batches[at : at + 7]
        assert [pairs_in(batch) for batch in islice(resumed, len(rest))] == rest
    # A sampler that is sent back goes on from there, too.
    sampler.position = replace(positions[3])
    assert pairs_in(sampler.next()) == batches[3]


def test_subwords_are_sampled_anew_each_epoch_and_spell_the_same_text(tmp_path: Path) -> None:
    corpus, tokenizer = demo_corpus(tmp_path), demo_tokenizer()
    texts = Counter((corpus.src.line(int(i)), corpus.tgt.line(int(i))) for i in corpus.kept)
    sampler = sampler_of(corpus, 400, sampling=0.3)
    epochs = [[pair for batch in epoch_of(sampler) for pair in pairs_in(batch)] for _ in range(2)]
    plain = expected_pairs(corpus)
    for pairs in epochs:
        assert Counter((tokenizer.decode(a), tokenizer.decode(b)) for a, b in pairs) == texts
        assert sum(pair not in plain for pair in pairs) > len(pairs) / 2
    assert Counter(epochs[0]) != Counter(epochs[1])


def test_a_sampled_segmentation_never_exceeds_the_limit(tmp_path: Path) -> None:
    corpus = demo_corpus(tmp_path)
    limit = int(max(corpus.src.lengths().max(), corpus.tgt.lengths().max()))
    free, kept = (
        max(max(batch.src.size(1), batch.tgt_in.size(1)) for batch in epoch_of(sampler))
        for sampler in (
            sampler_of(corpus, 400, sampling=0.01, max_len=10_000),
            sampler_of(corpus, 400, sampling=0.01, max_len=limit),
        )
    )
    assert kept <= limit + 1 < free


def test_looking_ahead_moves_nothing() -> None:
    corpus = numbered(300)
    sampler, other = sampler_of(corpus), sampler_of(corpus)
    assert sampler.batches_per_epoch() == len(list(epoch_of(sampler_of(corpus))))
    ahead = [pairs_in(sampler.peek(i)) for i in range(sampler.batches_per_epoch() + 1)]
    assert sampler.position == Position() and ahead[0] == ahead[-1]
    assert ahead[:-1] == [pairs_in(batch) for batch in epoch_of(other)]
