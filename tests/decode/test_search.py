"""Search over made-up models whose every sequence can be listed: what is found, and what there is."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tx.data.batch import Batch, make_batch
from tx.decode.sampling import Sampling, draw
from tx.decode.search import Hypothesis, beam_search, greedy_search

EOS, BOS = 0, 99


class Rows:
    """A state that is nothing but the source and the tokens of each row."""

    def __init__(self, rows: list[tuple[int, tuple[int, ...]]]) -> None:
        self.rows = rows

    def reorder(self, index: Tensor, width: int) -> None:
        self.rows = [self.rows[i] for i in index.tolist()]
        for start in range(0, len(self.rows), width):
            assert len({source for source, _ in self.rows[start : start + width]}) == 1


@dataclass
class Toy:
    """A model with random logits for each source and prefix: no two prefixes have anything in common."""

    seed: int = 0
    vocab_size: int = 3
    spread: float = 2.0
    eos_bias: float = 0.0

    def logits(self, source: int, prefix: tuple[int, ...]) -> list[float]:
        chance = random.Random(f"{self.seed} {source} {prefix}")
        values = [chance.gauss(0, self.spread) for _ in range(self.vocab_size)]
        values[EOS] += self.eos_bias
        return values

    def start(self, batch: Batch) -> Rows:
        return Rows([(int(row[0]), ()) for row in batch.src])

    def step(self, tokens: Tensor, state: Rows) -> tuple[Tensor, Rows]:
        rows = [(s, (*prefix, t)) for (s, prefix), t in zip(state.rows, tokens.tolist(), strict=True)]
        assert all(prefix[0] == BOS for _, prefix in rows)
        state = Rows(rows)
        return torch.tensor([self.logits(source, prefix[1:]) for source, prefix in rows]), state

    def logprob(self, source: int, ids: Sequence[int]) -> float:
        """Of the whole sequence, `</s>` included, in plain Python."""
        total = 0.0
        for i, token in enumerate([*ids, EOS]):
            logits = self.logits(source, tuple(ids[:i]))
            total += logits[token] - math.log(sum(map(math.exp, logits)))
        return total

    def everything(self, source: int, max_len: int, length_penalty: float) -> list[Hypothesis]:
        """All sequences of at most `max_len` tokens, best first."""
        sequences: list[tuple[int, ...]] = [()]
        for sequence in sequences:
            if len(sequence) < max_len:
                sequences += [(*sequence, token) for token in range(1, self.vocab_size)]
        scored = []
        for sequence in sequences:
            logprob = self.logprob(source, sequence)
            scored.append(
                Hypothesis(list(sequence), logprob, logprob / (len(sequence) + 1) ** length_penalty)
            )
        return sorted(scored, key=lambda h: -h.score)


def sources(*numbers: int) -> Batch:
    return make_batch([[n] for n in numbers], None, BOS, BOS)


def beam(model: Any, batch: Batch, beam_size: int, max_lens: list[int], **options: Any) -> Any:
    return beam_search(
        model, batch, beam_size=beam_size, max_lens=max_lens, bos_id=BOS, eos_id=EOS, **options
    )


def greedy(model: Any, batch: Batch, max_lens: list[int], **options: Any) -> Any:
    return greedy_search(model, batch, max_lens=max_lens, bos_id=BOS, eos_id=EOS, **options)


def same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [h.ids for h in found] == [h.ids for h in expected]
    for a, b in zip(found, expected, strict=True):
        assert a.logprob == pytest.approx(b.logprob, abs=1e-4)
        assert a.score == pytest.approx(b.score, abs=1e-4)


toys = st.builds(
    Toy,
    seed=st.integers(0, 10_000),
    vocab_size=st.integers(2, 4),
    spread=st.sampled_from([0.3, 2.0]),
    eos_bias=st.sampled_from([-2.0, 0.0, 1.0]),
)
penalties = st.sampled_from([0.0, 0.6, 1.0, 1.7])
problems = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), min_size=1, max_size=4)

# --- beam search ---


@given(toys, penalties, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_beam_as_large_as_the_space_finds_everything_in_order(
    model: Toy, penalty: float, max_len: int
) -> None:
    expected = model.everything(7, max_len, penalty)
    (found,) = beam(model, sources(7), len(expected), [max_len], n_best=len(expected), length_penalty=penalty)
    same(found, expected)


@given(toys, st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_stopping_early_loses_nothing_where_scores_only_fall(model: Toy, n_best: int, max_len: int) -> None:
    """Without a length penalty a hypothesis gets no better by going on."""
    expected = model.everything(7, max_len, 0.0)
    (found,) = beam(model, sources(7), 1 + len(expected), [max_len], n_best=n_best, length_penalty=0.0)
    same(found, expected[:n_best])


@given(toys, problems, penalties)
@settings(max_examples=60, deadline=None)
def test_a_beam_of_one_is_greedy(model: Toy, problem: list[tuple[int, int]], penalty: float) -> None:
    numbers, max_lens = (list(side) for side in zip(*problem, strict=True))
    narrow = beam(model, sources(*numbers), 1, max_lens, length_penalty=penalty)
    for a, b in zip(narrow, greedy(model, sources(*numbers), max_lens, length_penalty=penalty), strict=True):
        same(a, b)


@given(toys, problems, penalties, st.integers(1, 5), st.integers(1, 5), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_batch_decodes_as_its_sentences_one_by_one(
    model: Toy,
    problem: list[tuple[int, int]],
    penalty: float,
    beam_size: int,
    n_best: int,
    forced: bool,
) -> None:
    """Though they end at different times, have different limits, and some a prefix."""
    chance = random.Random(str(problem))
    numbers, max_lens = (list(side) for side in zip(*problem, strict=True))
    prefixes = [[chance.randrange(1, model.vocab_size) for _ in range(chance.randrange(3))] for _ in numbers]
    options = {"n_best": min(n_best, beam_size), "length_penalty": penalty}
    together = beam(
        model, sources(*numbers), beam_size, max_lens, **options, prefixes=prefixes if forced else None
    )
    for n, limit, prefix, found in zip(numbers, max_lens, prefixes, together, strict=True):
        alone = beam(model, sources(n), beam_size, [limit], **options, prefixes=[prefix] if forced else None)
        same(found, alone[0])


@given(toys, problems, penalties, st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_what_is_found_is_what_the_model_says(
    model: Toy, problem: list[tuple[int, int]], penalty: float, beam_size: int
) -> None:
    """Log-probability and score are the sequence's own, the best come first, and none comes twice."""
    numbers, max_lens = (list(side) for side in zip(*problem, strict=True))
    for n, limit, found in zip(
        numbers,
        max_lens,
        beam(model, sources(*numbers), beam_size, max_lens, n_best=beam_size, length_penalty=penalty),
        strict=True,
    ):
        assert found and len(found) <= beam_size
        assert len({tuple(h.ids) for h in found}) == len(found)
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        for h in found:
            assert len(h.ids) <= limit and EOS not in h.ids
            assert h.logprob == pytest.approx(model.logprob(n, h.ids), abs=1e-4)
            assert h.score == pytest.approx(h.logprob / (len(h.ids) + 1) ** penalty)


def narrow_beam(model: Toy, source: int, beam_size: int, max_len: int, penalty: float) -> list[Hypothesis]:
    """Beam search once more, in plain lists, as its documentation tells it; one best is wanted."""
    live: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    found: list[Hypothesis] = []
    for length in range(1, max_len + 2):
        candidates = []
        for prefix, total in live:
            logits = model.logits(source, prefix)
            log_z = math.log(sum(map(math.exp, logits)))
            tokens = range(model.vocab_size) if length <= max_len else [EOS]
            candidates += [((*prefix, token), total + logits[token] - log_z) for token in tokens]
        candidates.sort(key=lambda c: -c[1])
        for ids, total in candidates[:beam_size]:
            if ids[-1] == EOS:
                found.append(Hypothesis(list(ids[:-1]), total, total / length**penalty))
        live = [c for c in candidates if c[0][-1] != EOS][:beam_size]
        best = max((h.score for h in found), default=-math.inf)
        if not live or (len(found) >= beam_size and best >= live[0][1] / length**penalty):
            break
    return sorted(found, key=lambda h: -h.score)[:1]


wide_toys = st.builds(
    Toy,
    seed=st.integers(0, 10_000),
    vocab_size=st.integers(2, 6),
    spread=st.sampled_from([0.3, 1.0, 2.0]),
    eos_bias=st.sampled_from([-2.0, -1.0, 0.0, 1.0]),
)


@given(wide_toys, st.integers(1, 4), st.integers(0, 8), penalties)
@settings(max_examples=200, deadline=None)
def test_a_narrow_beam_prunes_as_it_is_told(model: Toy, beam_size: int, max_len: int, penalty: float) -> None:
    (found,) = beam(model, sources(3), beam_size, [max_len], length_penalty=penalty)
    same(found, narrow_beam(model, 3, beam_size, max_len, penalty))


class Told(Toy):
    """A model whose probabilities after some prefixes are given."""

    def logits(self, source: int, prefix: tuple[int, ...]) -> list[float]:
        told = {(): [0.4, 0.35, 0.25], (2,): [0.98, 0.01, 0.01]}
        return [math.log(p) for p in told.get(prefix, [0.1, 0.45, 0.45])]


def test_an_ended_hypothesis_leaves_its_place_to_the_next() -> None:
    """The first token's third best still enters a beam of two, as the best of the three is the end."""
    (found,) = beam(Told(), sources(1), 2, [5], n_best=2, length_penalty=1.0)
    assert [h.ids for h in found] == [[2], []]


def test_a_short_hypothesis_that_ends_first_does_not_end_the_search() -> None:
    (found,) = beam(Told(), sources(1), 2, [5], n_best=1, length_penalty=1.0)
    assert [h.ids for h in found] == [[2]]


@given(toys, problems, penalties, st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_prefixes_are_forced_and_cost_what_they_cost(
    model: Toy, problem: list[tuple[int, int]], penalty: float, beam_size: int, data: st.DataObject
) -> None:
    numbers, max_lens = (list(side) for side in zip(*problem, strict=True))
    ids = st.lists(st.integers(1, model.vocab_size - 1), max_size=3)
    prefixes = [data.draw(ids)[:limit] for limit in max_lens]
    options = {"length_penalty": penalty, "prefixes": prefixes}
    for results in (
        beam(model, sources(*numbers), beam_size, max_lens, n_best=beam_size, **options),
        greedy(model, sources(*numbers), max_lens, **options),
    ):
        for n, limit, prefix, found in zip(numbers, max_lens, prefixes, results, strict=True):
            assert found
            for h in found:
                assert h.ids[: len(prefix)] == prefix and len(h.ids) <= limit
                assert h.logprob == pytest.approx(model.logprob(n, h.ids), abs=1e-4)


def test_the_limit_forces_the_end_and_only_the_end() -> None:
    """A model that never wants to end still does, at the limit of each sentence."""
    model = Toy(eos_bias=-1000.0)
    for found in (
        beam(model, sources(1, 2, 3), 3, [4, 0, 9]),
        greedy(model, sources(1, 2, 3), [4, 0, 9]),
    ):
        assert [len(hypotheses[0].ids) for hypotheses in found] == [4, 0, 9]


# --- greedy ---


@given(toys, problems)
@settings(max_examples=60, deadline=None)
def test_greedy_takes_the_likeliest_token_each_time(model: Toy, problem: list[tuple[int, int]]) -> None:
    numbers, max_lens = (list(side) for side in zip(*problem, strict=True))
    found = greedy(model, sources(*numbers), max_lens)
    for n, limit, (h,) in zip(numbers, max_lens, found, strict=True):
        ids: tuple[int, ...] = ()
        while len(ids) < limit and (best := max(enumerate(model.logits(n, ids)), key=lambda x: x[1])[0]):
            ids = (*ids, best)
        assert h.ids == list(ids)
        assert h.logprob == pytest.approx(model.logprob(n, ids), abs=1e-4)
        assert h.score == pytest.approx(h.logprob / (len(ids) + 1))
    bare = greedy(model, sources(*numbers), max_lens, with_scores=False)
    assert [h.ids for (h,) in bare] == [h.ids for (h,) in found]


# --- sampling ---


def drawn(logits: list[float], sampling: Sampling, n: int = 4000) -> Counter[int]:
    return Counter(draw(np.array([logits] * n), sampling, [sampling.generator(5)] * n).tolist())


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    weights = [math.exp(value / temperature) for value in logits]
    return [weight / sum(weights) for weight in weights]


def chi_square(counts: Counter[int], probabilities: dict[int, float]) -> float:
    n = counts.total()
    return sum((counts[id] - n * p) ** 2 / (n * p) for id, p in probabilities.items())


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=8), st.sampled_from([0.5, 1.0, 2.0]))
@settings(max_examples=30, deadline=None)
def test_draws_follow_the_softmax(logits: list[float], temperature: float) -> None:
    expected = dict(enumerate(softmax(logits, temperature)))
    counts = drawn(logits, Sampling(temperature))
    degrees = len(logits) - 1
    assert chi_square(counts, expected) < degrees + 6 * math.sqrt(2 * degrees) + 10


@given(
    st.lists(st.integers(-40, 40), min_size=2, max_size=10, unique=True),
    st.integers(0, 12),
    st.sampled_from([0.0, 0.1, 0.35, 0.62, 0.97, 1.0]),
)
@settings(max_examples=80, deadline=None)
def test_top_k_and_top_p_leave_exactly_the_right_tokens(tenths: list[int], top_k: int, top_p: float) -> None:
    logits = [value / 10 for value in tenths]
    best = sorted(range(len(logits)), key=lambda id: -logits[id])[: top_k or None]
    probabilities = softmax([logits[id] for id in best])
    allowed, mass = [], 0.0
    for id, p in zip(best, probabilities, strict=True):
        if allowed and mass >= top_p - 1e-6:
            break
        allowed.append(id)
        mass += p
    counts = drawn(logits, Sampling(1.0, top_k, top_p))
    assert set(counts) <= set(allowed)
    expected = {id: p / mass for id, p in zip(allowed, probabilities, strict=False)}
    degrees = len(allowed) - 1
    assert chi_square(counts, expected) < degrees + 6 * math.sqrt(2 * degrees) + 10


def test_rounding_errors_choose_no_other_token() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 5000))
    noisy = logits + np.random.default_rng(1).normal(scale=1e-6, size=logits.shape)
    sources = [np.random.default_rng(2) for _ in range(2)]
    for _ in range(500):
        ids, noisy_ids = (draw(x, Sampling(), [s]) for x, s in zip((logits, noisy), sources, strict=True))
        assert ids == noisy_ids


@given(toys, problems)
@settings(max_examples=30, deadline=None)
def test_without_temperature_sampling_is_greedy(model: Toy, problem: list[tuple[int, int]]) -> None:
    numbers, max_lens = (list(side) for side in zip(*problem, strict=True))
    cold = greedy(model, sources(*numbers), max_lens, sampling=Sampling(temperature=1e-4))
    assert [h.ids for (h,) in cold] == [h.ids for (h,) in greedy(model, sources(*numbers), max_lens)]


@given(toys, problems, st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_draws_do_not_depend_on_the_batch(model: Toy, problem: list[tuple[int, int]], seed: int) -> None:
    numbers, max_lens = (list(side) for side in zip(*problem, strict=True))
    lines = [10 + 3 * i for i in range(len(numbers))]
    sampling = Sampling(seed=seed)
    together = greedy(model, sources(*numbers), max_lens, sampling=sampling, lines=lines)
    for n, limit, line, (h,) in zip(numbers, max_lens, lines, together, strict=True):
        ((alone,),) = greedy(model, sources(n), [limit], sampling=sampling, lines=[line])
        assert h.ids == alone.ids
        assert h.logprob == pytest.approx(model.logprob(n, h.ids), abs=1e-4)


def test_seeds_and_lines_draw_differently() -> None:
    model = Toy(vocab_size=4, spread=0.1, eos_bias=-3.0)
    texts = {
        tuple(greedy(model, sources(1), [12], sampling=Sampling(seed=seed), lines=[line])[0][0].ids)
        for seed in (1, 2, 3)
        for line in (0, 1, 2)
    }
    assert len(texts) == 9


def test_whole_sequences_are_drawn_with_their_probability() -> None:
    model = Toy(seed=4, spread=0.8)
    n = 3000
    found = greedy(model, sources(*[7] * n), [2] * n, sampling=Sampling(seed=1))
    counts = Counter(tuple(h.ids) for (h,) in found)
    step = {(): softmax(model.logits(7, ()))}
    expected = {(): step[()][EOS]}
    for a in (1, 2):
        second = softmax(model.logits(7, (a,)))
        expected[(a,)] = step[()][a] * second[EOS]
        for b in (1, 2):
            expected[(a, b)] = step[()][a] * second[b]  # the end is forced then
    assert sum(expected.values()) == pytest.approx(1)
    assert (
        sum((counts[ids] - n * p) ** 2 / (n * p) for ids, p in expected.items()) < 30
    )  # 6 degrees of freedom
