"""Sampling and training of word2vec against gensim, closed forms and autograd, with every engine."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gensim.models import Word2Vec
from gensim.models.word2vec import LineSentence
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tx.errors import TxError, UsageError
from tx.word2vec import engine, jit
from tx.word2vec.config import Word2VecConfig
from tx.word2vec.corpus import Corpus, encode_text
from tx.word2vec.engine import choose_engine, make_engine
from tx.word2vec.gensim_engine import MAX_SENTENCE, MAX_WORDS, GensimEngine, sentence_batches
from tx.word2vec.sampling import (
    alias_table,
    initial_vectors,
    keep_probability,
    learning_rate,
    negative_sampling_loss,
    noise_distribution,
    to_uint32,
)
from tx.word2vec.torch_engine import TorchEngine
from word2vec import at_home, same_topic_share, small_config, topic_lines, write_lines

ENGINES = ["gensim", "fast", "torch"]
COUNTS = np.array([5000, 900, 300, 44, 21, 20, 6, 5])
counts_of_words = st.lists(st.integers(1, 10**9), min_size=1, max_size=40).map(np.array)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    path = write_lines(folder / "text", topic_lines())
    return encode_text([str(path)], small_config(path).word2vec, folder, lambda message: None)


# -- sampling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("subsample", [1e-1, 1e-3, 1e-5])
def test_subsampling_has_the_probabilities_of_gensim(subsample: float) -> None:
    model = Word2Vec(sample=subsample, min_count=1)
    model.build_vocab_from_freq({str(i): n for i, n in enumerate(COUNTS.tolist())})
    theirs = [model.wv.get_vecattr(str(i), "sample_int") / (2**32 - 1) for i in range(len(COUNTS))]
    assert keep_probability(COUNTS, subsample) == pytest.approx(theirs, rel=1e-6)
    assert (keep_probability(COUNTS, 0) == 1).all()


def test_negative_samples_have_the_distribution_of_gensim() -> None:
    model = Word2Vec(min_count=1)
    model.build_vocab_from_freq({str(i): n for i, n in enumerate(COUNTS.tolist())})
    theirs = np.diff(np.concatenate(([0], model.cum_table.astype(np.float64)))) / model.cum_table[-1]
    assert noise_distribution(COUNTS) == pytest.approx(theirs, abs=1e-8)


@given(counts_of_words)
def test_the_alias_table_represents_its_distribution_exactly(counts: NDArray[np.int64]) -> None:
    probability = noise_distribution(counts)
    threshold, alias = alias_table(probability)
    share = threshold / 2.0**32
    found = share + np.bincount(alias, weights=1 - share, minlength=len(counts))
    assert found / len(counts) == pytest.approx(probability, abs=1e-8)


def test_thresholds_initial_vectors_and_learning_rates() -> None:
    assert to_uint32(np.array([0, 0.5, 1])).tolist() == [0, 2**31, 2**32 - 1]
    vectors = initial_vectors(500, 20, seed=3)
    assert vectors.dtype == np.float32 and np.abs(vectors).max() <= 1 / 20
    assert vectors.std() == pytest.approx(2 / 20 / np.sqrt(12), rel=0.02)
    assert (vectors == initial_vectors(500, 20, seed=3)).all()
    assert (vectors != initial_vectors(500, 20, seed=4)).mean() > 0.99
    assert [learning_rate(0.2, share) for share in (0, 0.25, 1)] == pytest.approx([0.2, 0.15, 0.2e-4])


@pytest.mark.parametrize("method", ["skipgram", "cbow"])
def test_the_loss_of_untrained_vectors_is_known(method: str, corpus: Corpus) -> None:
    """With a context matrix of zeros, every score is 0 and has the loss log 2."""
    config = small_config(method=method, negative=4).word2vec
    shape = (len(corpus.words), 16)
    matrices = {"vectors": initial_vectors(*shape, 1), "context": np.zeros(shape, np.float32)}
    noise = np.linspace(0, 1, len(corpus.words) + 1)[1:]
    ids, generator = corpus.read(0, 4000), np.random.default_rng(1)
    loss, n = negative_sampling_loss(
        matrices, ids, keep_probability(corpus.counts, 0), noise, config, generator
    )
    assert n > 100 and loss / n == pytest.approx(5 * np.log(2), rel=0.05)  # some negatives are the true word


# -- the vector loops ------------------------------------------------------------------------------


def matrices_of(generator: np.random.Generator, n: int, dim: int) -> Any:
    from tx.word2vec.numba_engine import aligned_zeros

    matrix = aligned_zeros(n, dim)
    matrix[:, :dim] = generator.standard_normal((n, dim))
    return matrix


@pytest.mark.parametrize(("negative", "dim"), [(1, 3), (5, 16), (5, 40), (12, 20)])
def test_the_vector_loops_are_matrix_products(negative: int, dim: int) -> None:
    with at_home():
        from numba import njit

        from tx.word2vec.llvm_kernels import GROUP, WIDTH, dots, prefetch, update
    K, C = negative + 1, -(-dim // WIDTH)

    @njit
    def both(X: Any, rows: Any, m: Any, Y: Any, outs: Any, G: Any) -> None:
        prefetch(X, rows[0])
        dots(X, rows, m, Y, outs, G, K, C)
        update(X, rows, m, Y, outs, G, K, C)

    generator = np.random.default_rng(negative)
    X, Y = matrices_of(generator, 9, dim), matrices_of(generator, 20, dim)
    rows, outs = np.array([3, 0, 8, 5]), generator.permutation(20)[:K]
    before = X.copy(), Y.copy()
    G = np.zeros((6, K), np.float32)
    both(X, rows, 4, Y, outs, G)
    wanted = before[0][rows] @ before[1][outs].T
    assert G[:4] == pytest.approx(wanted, abs=1e-4) and (G[4:] == 0).all()
    x, y = before[0].copy(), before[1].copy()
    for start in range(0, K, GROUP):  # output rows are worked on in groups, one after another
        held, g = outs[start : start + GROUP], G[:4, start : start + GROUP]
        x[rows], y[held] = x[rows] + g @ y[held], y[held] + g.T @ x[rows]
    assert pytest.approx(x, abs=1e-3) == X and pytest.approx(y, abs=1e-3) == Y
    assert (X[:, dim:] == 0).all() and (Y[:, dim:] == 0).all(), "padding stays zero"


def test_a_row_that_occurs_twice_gets_both_updates() -> None:
    with at_home():
        from numba import njit

        from tx.word2vec.llvm_kernels import WIDTH, update
    C = -(-16 // WIDTH)

    @njit
    def apply(X: Any, rows: Any, Y: Any, outs: Any, G: Any) -> None:
        update(X, rows, 2, Y, outs, G, 3, C)

    generator = np.random.default_rng(1)
    X, Y, G = matrices_of(generator, 2, 16), matrices_of(generator, 2, 16), np.zeros((2, 3), np.float32)
    G[0] = 0.5, 0.25, 0.125
    y, x = Y.copy(), X.copy()
    apply(X, np.array([0, 1]), Y, np.array([1, 0, 1]), G)
    assert Y[1] == pytest.approx(y[1] + 0.625 * x[0], abs=1e-5)
    assert Y[0] == pytest.approx(y[0] + 0.25 * x[0], abs=1e-5)


# -- the gradient ----------------------------------------------------------------------------------


def by_autograd(
    vectors: NDArray[np.float32],
    context: NDArray[np.float32],
    steps: list[tuple[int, list[int], int]],
    rate: float,
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Gradient steps on the loss of the paper: (centre, context words, negative), one after another."""
    x, y = torch.tensor(vectors, dtype=torch.float64), torch.tensor(context, dtype=torch.float64)
    first = 0.0
    for n, (centre, near, negative) in enumerate(steps):
        x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
        scores = x[near] @ y[[centre, negative]].T
        signs = torch.tensor([1.0, -1.0])
        loss = -torch.nn.functional.logsigmoid(scores * signs).sum()
        loss.backward()
        first = first if n else loss.item()
        x, y = x - rate * x.grad, y - rate * y.grad  # type: ignore[operator]
    return x.detach().numpy(), y.detach().numpy(), first


@pytest.mark.parametrize("name", ["fast", "torch"])
def test_a_step_is_the_gradient_of_the_loss(name: str) -> None:
    """Three words on a line, a window of one, and a negative that is always word 3."""
    config = small_config(window=1, negative=1, dim=20)
    with at_home():
        made = make_engine(name, config, list("abcd"), np.array([4, 3, 2, 1]))
    generator = np.random.default_rng(5)
    start = {kind: generator.standard_normal((4, 20)).astype(np.float32) for kind in ("vectors", "context")}
    made.load(start)
    steps = [(0, [1], 3), (1, [0, 2], 3), (2, [1], 3)]
    if isinstance(made, TorchEngine):
        made._threshold[:], made._alias[:] = 0, 3
        x, y, _ = by_autograd(start["vectors"], start["context"], steps[:1], 0.1)
        steps = [(0, [1], 3)]  # its words are learned from at once, so two on a line are two equal steps
        ids = np.array([0, 1], np.int32)
        second = by_autograd(start["vectors"], start["context"], [(1, [0], 3)], 0.1)
        x, y = x + second[0] - start["vectors"], y + second[1] - start["context"]
        loss, n = made.train(ids, (0.1, 0.1), 1)
        first = sum(
            by_autograd(start["vectors"], start["context"], [step], 0.1)[2]
            for step in [(0, [1], 3), (1, [0], 3)]
        )
        assert n == 2
    else:
        made._noise = (np.zeros(4, np.uint32), np.full(4, 3, np.int32))  # type: ignore[attr-defined]
        x, y, first = by_autograd(start["vectors"], start["context"], steps, 0.1)
        loss, n = made.train(np.array([0, 1, 2, -1], np.int32), (0.1, 0.1), 1)
        assert n == 1, "the loss of one word in 32 is measured, from the first on"
    assert made.matrices()["vectors"] == pytest.approx(x, abs=2e-4)
    assert made.matrices()["context"] == pytest.approx(y, abs=2e-4)
    assert loss == pytest.approx(first, rel=1e-5)


@settings(max_examples=50)
@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=20))
def test_the_sigmoid_of_the_kernel(scores: list[float]) -> None:
    with at_home():
        from tx.word2vec.numba_engine import _to_gradients
    g = np.array(scores, np.float32)
    _to_gradients(g, len(g), np.float32(0.5))
    assert g == pytest.approx(-0.5 / (1 + np.exp(-np.array(scores))), abs=5e-5)


def test_the_true_word_is_never_a_negative_sample() -> None:
    """Of two words, each is the only negative sample of the other; drawn for itself, it is ignored."""
    for name in ("fast", "torch"):
        with at_home():
            made = make_engine(
                name, small_config(window=1, negative=3, dim=16), ["a", "b"], np.array([10**9, 1])
            )
        for seed in range(20):
            made.train(np.array([0, 0] * 50, np.int32), (0.5, 0.5), seed)
        vector, context = made.matrices()["vectors"][0], made.matrices()["context"][0]
        assert vector @ context > 1, "the two vectors only ever approach each other"


# -- the limits of gensim's inner loop -------------------------------------------------------------


@given(st.lists(st.integers(-1, 5), max_size=60), st.integers(1, 7), st.integers(7, 20))
def test_batches_respect_the_limits_of_the_inner_loop(ids: list[int], sentence: int, words: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tx.word2vec.gensim_engine.MAX_SENTENCE", sentence)
        patch.setattr("tx.word2vec.gensim_engine.MAX_WORDS", words)
        batches = sentence_batches(np.array(ids, np.int32))
    assert all(len(line) <= sentence for batch in batches for line in batch)
    assert all(sum(map(len, batch)) <= words for batch in batches)
    assert [word for batch in batches for line in batch for word in line] == [
        word for word in ids if word >= 0
    ]
    assert MAX_SENTENCE <= MAX_WORDS == 10_000


def test_our_training_with_gensim_learns_what_gensims_own_does(corpus: Corpus, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "text", topic_lines())
    model = Word2Vec(
        LineSentence(str(path)),
        vector_size=16,
        window=3,
        min_count=2,
        sample=0,
        sg=1,
        epochs=3,
        alpha=0.05,
        workers=1,
    )
    theirs = same_topic_share(model.wv.index_to_key, model.wv.vectors)
    assert theirs > 0.9
    assert learned(GensimEngine(small_config().word2vec, corpus.words, corpus.counts, 1), corpus) > 0.9


# -- every engine ----------------------------------------------------------------------------------


def learned(made: Any, corpus: Corpus, epochs: int = 3) -> float:
    for epoch in range(epochs):
        rates = 0.05 * (1 - epoch / epochs), 0.05 * (1 - (epoch + 1) / epochs)
        made.train(corpus.read(0, corpus.n_ids), rates, epoch + 1)
    return same_topic_share(corpus.words, made.matrices()["vectors"])


@pytest.mark.parametrize(("name", "method"), [*((name, "skipgram") for name in ENGINES), ("gensim", "cbow")])
def test_words_of_a_topic_become_neighbours(name: str, method: str, corpus: Corpus) -> None:
    config = small_config(method=method, window=5 if method == "cbow" else 3)
    with at_home():
        made = make_engine(name, config, corpus.words, corpus.counts)
        assert same_topic_share(corpus.words, made.matrices()["vectors"]) < 0.1
        assert learned(made, corpus, 12 if method == "cbow" else 4) > 0.9


@pytest.mark.parametrize("name", ENGINES)
def test_the_loss_is_that_of_chance_at_first_and_decreases(name: str, corpus: Corpus) -> None:
    with at_home():
        made = make_engine(name, small_config(), corpus.words, corpus.counts)
    ids = corpus.read(0, corpus.n_ids)
    first = made.train(ids, (0.0, 0.0), 1)
    assert first[0] / first[1] == pytest.approx(6 * np.log(2), rel=0.03)
    for epoch in range(3):
        made.train(ids, (0.05, 0.05), epoch + 2)
    last = made.train(ids, (0.0, 0.0), 1)
    assert last[0] / last[1] < 0.85 * first[0] / first[1]


@pytest.mark.parametrize("name", ENGINES)
def test_training_on_a_block_depends_on_its_arguments_only(name: str, corpus: Corpus) -> None:
    """Only the matrices are saved and loaded, and nothing else influences the next block."""
    with at_home():
        made, other = (make_engine(name, small_config(), corpus.words, corpus.counts) for _ in range(2))
    ids = corpus.read(0, 3000)
    made.train(ids, (0.05, 0.04), 7)
    other.load({kind: matrix.copy() for kind, matrix in made.matrices().items()})
    results = []
    for each in (made, other):
        each.train(ids, (0.04, 0.03), 8)
        results.append({kind: matrix.copy() for kind, matrix in each.matrices().items()})
    assert all((results[0][kind] == results[1][kind]).all() for kind in results[0])
    before = copy.deepcopy(results[0])
    other.train(ids, (0.04, 0.03), 9)
    assert (other.matrices()["vectors"] != before["vectors"]).any()


@pytest.mark.parametrize("name", ENGINES)
def test_context_windows_end_at_the_end_of_a_line(name: str) -> None:
    """Single words on a line have no context; a block may be empty."""
    with at_home():
        made = make_engine(name, small_config(), list("abc"), np.array([3, 2, 1]))
    before = made.matrices()["vectors"].copy()
    made.train(np.array([0, -1, 1, -1, 2, -1, 0], np.int32), (0.5, 0.5), 1)
    made.train(np.array([], np.int32), (0.5, 0.5), 1)
    assert (made.matrices()["vectors"] == before).all()


# -- the choice ------------------------------------------------------------------------------------


def test_the_engine_is_chosen_and_the_reason_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine(small_config(engine="gensim"), 1) == ("gensim", "as configured")
    assert choose_engine(small_config(method="cbow"), 10**9) == ("gensim", "the only one for CBOW")
    with pytest.raises(UsageError, match="supports only skip-gram"):
        choose_engine(small_config(method="cbow", engine="fast"), 1)
    monkeypatch.setattr(engine, "has_numba", lambda: True)
    name, reason = choose_engine(small_config(), 10**6)
    assert name == "gensim" and "faster only above 1,500,000 words" in reason
    assert choose_engine(small_config(), 10**7) == ("fast", "10,000,000 words over all epochs")
    config = small_config()
    for device, expected in (("auto", "fast"), ("cpu", "fast"), ("cuda", "torch"), ("cuda:1", "torch")):
        config.train.device = device
        assert choose_engine(config, 10**9)[0] == expected
    monkeypatch.setattr(engine, "has_numba", lambda: False)
    name, reason = choose_engine(small_config(), 10**9)
    assert name == "gensim" and "pip install 'tx[fast]'" in reason
    with pytest.raises(TxError, match="needs numba"):
        choose_engine(small_config(engine="fast"), 1)


def _double(number: int) -> int:
    return 2 * number


def test_the_choice_does_not_depend_on_the_cache_of_compiled_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    before = choose_engine(small_config(), 10)
    jit.cached_jit(_double)(1)
    assert any(tmp_path.rglob("*.nbc")), "the cache is used"
    assert choose_engine(small_config(), 10) == before == ("gensim", before[1])


def test_compiled_code_is_cached_where_the_folder_is_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    assert jit.set_cache_folder() and numba.config.CACHE_DIR.startswith(str(tmp_path / "home"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TX_HOME", str(tmp_path / "file"))
    assert not jit.set_cache_folder(), "without a writable folder, it is compiled each time"
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert jit.set_cache_folder() and str(tmp_path) == numba.config.CACHE_DIR


def test_defaults_are_those_of_word2vec() -> None:
    config = Word2VecConfig()
    assert (config.dim, config.window, config.negative, config.min_count, config.epochs) == (100, 5, 5, 5, 5)
