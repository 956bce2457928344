"""Word vectors on disk and in search, against gensim, dictionaries and the textbook edit distance."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from packages import fill, translator
from tx.errors import TxError
from tx.package import Package, write_package
from tx.vectors import WordVectors, open_vectors, write_blocks, write_vectors
from tx.vectors.search import Query
from tx.vectors.vocabulary import Vocabulary
from wordvectors import in_gensim, matches, random_vectors

# --- the package ---


def test_a_package_reads_back_as_written(tmp_path: Path) -> None:
    words = ["der", "die", "Straße", "new york", "\u2028", "a\rb"]
    matrix = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    write_vectors(tmp_path / "v", words, matrix, [9, 8, 7, 6, 5, 4], arch="word2vec", config={"dim": 3})
    found = open_vectors(tmp_path / "v")
    assert list(found.words) == words
    assert np.array_equal(found.matrix, matrix)
    assert np.allclose(found.norms, np.linalg.norm(matrix, axis=1))
    assert found.counts is not None and found.counts.tolist() == [9, 8, 7, 6, 5, 4]
    assert not found.matrix.flags.writeable
    tensors = load_file(tmp_path / "v" / "weights.safetensors")  # the format's own reader agrees
    assert np.array_equal(tensors["vectors"], matrix) and tensors["counts"].tolist() == found.counts.tolist()
    assert Package.open(tmp_path / "v").config == {"dim": 3}


@pytest.mark.parametrize(
    ("words", "matrix", "said"),
    [
        (["a", "a"], np.ones((2, 2)), "'a' occurs twice"),
        (["a", ""], np.ones((2, 2)), "cannot be a word"),
        (["a", "b\nc"], np.ones((2, 2)), "cannot be a word"),
        (["a", "\ud800"], np.ones((2, 2)), "cannot be a word"),
        (["a", "b"], np.array([[1, 2], [3, np.nan]]), "vector of 'b'"),
        ([], np.ones((0, 2)), "no vectors to write"),
    ],
)
def test_what_a_package_cannot_store_is_refused(
    tmp_path: Path, words: list[str], matrix: Any, said: str
) -> None:
    with pytest.raises(TxError, match=said):
        write_vectors(tmp_path / "v", words, matrix.astype(np.float32))
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    ("tensors", "text", "said"),
    [
        ({"vectors": np.ones((2, 3), np.float32)}, b"a\n", "1 words for 2 vectors"),
        ({"vectors": np.ones((2, 3), np.float32)}, b"a\nb", "cut off"),
        ({"vectors": np.ones((2, 3), np.float32)}, b"a\n\xff\n", "utf-8"),
        ({"vectors": np.ones((2, 3), np.float64)}, b"a\nb\n", "no float32 matrix"),
        ({"vectors": np.ones(2, np.float32)}, b"a\nb\n", "no float32 matrix"),
        ({"vectors": np.ones((2, 3), np.float32), "norms": np.ones(3, np.float32)}, b"a\nb\n", "'norms'"),
        ({"vectors": np.ones((2, 3), np.float32), "counts": np.ones(2, np.float32)}, b"a\nb\n", "'counts'"),
    ],
)
def test_files_that_do_not_match_are_errors(tmp_path: Path, tensors: Any, text: bytes, said: str) -> None:
    def parts(folder: Path) -> None:
        save_file(tensors, folder / "weights.safetensors")
        (folder / "words.txt").write_bytes(text)

    write_package(tmp_path / "v", parts, task="vectors")
    with pytest.raises(TxError, match=said):
        open_vectors(tmp_path / "v")


def test_norms_are_computed_where_a_package_has_none(tmp_path: Path) -> None:
    def parts(folder: Path) -> None:
        save_file({"vectors": np.array([[3, 4]], np.float32)}, folder / "weights.safetensors")
        (folder / "words.txt").write_bytes(b"a\n")

    write_package(tmp_path / "v", parts, task="vectors")
    assert open_vectors(tmp_path / "v").norms.tolist() == [5.0]


def test_the_hint_for_a_file_of_another_tool_is_to_import_it(tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text("a 1 2\n")
    with pytest.raises(TxError) as caught:
        open_vectors(tmp_path / "glove.txt")
    assert caught.value.hint == f"import it once: tx models import {tmp_path}/glove.txt -o NAME"


def test_a_large_matrix_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    some = rng.normal(size=(10_000, 300)).astype(np.float32)
    # 240 MB in which word 199,999 is nearest to word 9,999, which it repeats with a little noise
    rows = [
        some + rng.normal(scale=0.5 + 0.1 * (19 - i), size=some.shape).astype(np.float32) for i in range(19)
    ]
    blocks = [([f"w{10_000 * i + j}" for j in range(10_000)], block) for i, block in enumerate([some, *rows])]
    write_blocks(tmp_path / "v", blocks)
    code = (
        "import sys, numpy as np\n"
        "from tx.vectors import open_vectors\n"
        "from tx.vectors.search import Query\n"
        "peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])  # kB\n"
        "np.ones((500, 500), 'f4') @ np.ones((500, 500), 'f4')  # BLAS takes its buffers\n"
        "before = peak()\n"
        "((best,),) = open_vectors(sys.argv[1]).search([Query((9_999,), (1.0,))], 1)\n"
        "print(best.row, peak() - before)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TX_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", code, str(tmp_path / "v")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    row, grown = map(int, done.stdout.split())
    assert row == 199_999
    assert grown < 130_000, f"{grown} kB more"


def test_queries_do_not_import_torch(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v", ["a", "b"], np.eye(2, dtype=np.float32))
    code = (
        "import sys, json; from tx.cli.app import main\n"
        f"sys.argv = ['tx', 'neighbors', 'a', '--model', {str(tmp_path / 'v')!r}]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(json.dumps([m for m in ('torch', 'gensim', 'scipy', 'matplotlib') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["b\t0.0000", "[]"]


# --- embeddings of other models ---


def test_the_embeddings_of_any_model_are_vectors(tmp_path: Path) -> None:
    from tx.text.fit_tokenizer import train_tokenizer

    (tmp_path / "text").write_text("the cat and the hat and the rat sat on the mat and that was that\n" * 50)
    tokenizer = train_tokenizer("bpe", [tmp_path / "text"], 300)
    matrix = np.random.default_rng(1).normal(size=(len(tokenizer), 4)).astype(np.float32)

    def weights(folder: Path) -> None:
        save_file({"tgt_embedding.weight": matrix}, folder / "weights.safetensors")

    fields = {**translator(), "tokenizers": {"tokenizer": tokenizer}}
    write_package(tmp_path / "m", weights, **fields)
    vectors = open_vectors(tmp_path / "m")
    assert np.array_equal(vectors.matrix, matrix)
    assert vectors.words[10] == tokenizer.piece(10)
    whole = next(
        piece for piece in vectors.words if piece.startswith("\u2581") and piece[1:] not in vectors.words
    )
    assert vectors.find(whole[1:]) == vectors.words.find(whole), (
        "a word is found as the piece that begins one"
    )


def test_a_package_without_embeddings_is_an_error(tmp_path: Path) -> None:
    write_package(tmp_path / "m", fill(1), **translator())
    with pytest.raises(TxError, match="a translation package without word vectors"):
        open_vectors(tmp_path / "m")


def test_bfloat16_is_read() -> None:
    from tempfile import TemporaryDirectory

    import torch
    from safetensors.torch import save_file as save

    from tx.package.arrays import map_tensor
    from tx.package.weights import read_header

    values = torch.randn(5, 3)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        with TemporaryDirectory() as folder:
            path = Path(folder) / "w.safetensors"
            save({"a": values.to(dtype)}, path)
            with path.open("rb") as file:
                header = read_header(file, path.stat().st_size, path)
            assert torch.equal(torch.tensor(map_tensor(path, header["a"])).to(dtype), values.to(dtype))


# --- words ---

WORD = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=4)


@given(st.lists(WORD, unique=True, max_size=30), st.lists(WORD, max_size=90))
def test_words_are_found_as_in_a_dictionary(words: list[str], asked: list[str]) -> None:
    vocabulary = Vocabulary("".join(f"{word}\n" for word in words).encode())
    assert list(vocabulary) == words and len(vocabulary) == len(words)
    assert [vocabulary[i] for i in range(-len(words), 0)] == words
    assert vocabulary[3:11] == words[3:11] and vocabulary[::-2] == words[::-2]
    expected = {word: row for row, word in enumerate(words)}
    for word in [*asked, *words]:  # more than are scanned for
        assert vocabulary.find(word) == expected.get(word)


def test_no_lookup_matches_across_a_line_end() -> None:
    vocabulary = Vocabulary(b"a\nb\nc\n")
    assert (
        vocabulary.find("a\nb") is None and vocabulary.find("") is None and vocabulary.find("\udc61") is None
    )


# --- spelling ---


def osa(a: str, b: str) -> int:
    """The restricted Damerau-Levenshtein distance, as in the textbook."""
    table = [[i + j if not i * j else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i][j] = min(
                table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            )
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


@given(
    st.lists(st.text("abcä", min_size=1, max_size=8), unique=True, min_size=1, max_size=20),
    st.text("abcä", min_size=1, max_size=8),
)
def test_similar_spellings_are_those_of_the_textbook(words: list[str], word: str) -> None:
    limit = 1 if len(word) < 5 else 2
    distances = {known: osa(known, word) for known in words}
    near = sorted((known for known in words if distances[known] <= limit), key=distances.__getitem__)
    assert Vocabulary("".join(f"{known}\n" for known in words).encode()).similar_spellings(word, n=30) == near


def test_case_is_ignored_and_frequent_words_come_first() -> None:
    words = Vocabulary(b"paris\nParis\npairs\nPAROS\nlondon\n")
    assert words.similar_spellings("PARIS") == ["paris", "Paris", "pairs"]
    assert words.similar_spellings("x" * 1000) == [] and words.similar_spellings("") == []


# --- search ---


@settings(max_examples=60)
@given(st.data())
def test_neighbours_are_those_of_gensim(data: st.DataObject) -> None:
    vectors = random_vectors()
    keyed = in_gensim(vectors)
    rows = data.draw(st.lists(st.integers(0, 499), min_size=1, max_size=5, unique=True))
    n_positive = data.draw(st.integers(1, len(rows)))
    top, restrict = data.draw(st.integers(1, 20)), data.draw(st.sampled_from([None, 30, 400]))
    positive, negative = [f"w{i}" for i in rows[:n_positive]], [f"w{i}" for i in rows[n_positive:]]
    weights = (1.0,) * n_positive + (-1.0,) * len(negative)
    (added,) = vectors.search([Query(tuple(rows), weights)], top, "add", restrict)
    expected = keyed.most_similar(positive, negative, topn=top, restrict_vocab=restrict)
    assert matches([(vectors.words[answer.row], answer.score) for answer in added], expected)
    (product,) = vectors.search([Query(tuple(rows), weights)], top, "mul")
    expected = keyed.most_similar_cosmul(positive, negative, topn=top)  # it disregards restrict_vocab
    assert matches([(vectors.words[answer.row], answer.score) for answer in product], expected)


def test_weights_are_those_of_gensim() -> None:
    vectors = random_vectors()
    (answers,) = vectors.search([Query((3, 7, 9), (2.0, -0.5, 1.0))], 10)
    expected = in_gensim(vectors).most_similar([("w3", 2.0), ("w9", 1.0)], [("w7", -0.5)], topn=10)
    assert matches([(vectors.words[answer.row], answer.score) for answer in answers], expected)


@pytest.mark.parametrize("method", ["add", "mul"])
def test_many_queries_in_blocks_are_answered_as_one_by_one(
    monkeypatch: pytest.MonkeyPatch, method: Any
) -> None:
    vectors = random_vectors(3000, 6)
    rng = np.random.default_rng(2)
    questions = [
        Query(tuple(rng.integers(0, 3000, 3).tolist()), (1.0, 1.0, -1.0), (int(rng.integers(3000)),))
        for _ in range(40)
    ]
    alone = [vectors.search([question], 7, method)[0] for question in questions]
    monkeypatch.setattr("tx.vectors.search._CELLS", 1)  # blocks of 1024 rows
    for some, one in zip(vectors.search(questions, 7, method), alone, strict=True):
        assert [answer.row for answer in some] == [answer.row for answer in one]
    best = vectors.search(questions, 1, method)
    assert [answers[0].row for answers in best] == [answers[0].row for answers in alone]


def test_zero_vectors_and_tiny_vocabularies_are_handled() -> None:
    vectors = WordVectors.from_matrix(["a", "b", "zero"], np.array([[1, 0], [1, 1], [0, 0]], np.float32))
    (answers,) = vectors.search([Query((0,), (1.0,))], 10)
    assert [(answer.row, round(answer.score, 4)) for answer in answers] == [(1, 0.7071), (2, 0.0)]
    assert vectors.search([Query((0, 1, 2), (1.0, 1.0, 1.0))], 10) == [[]]
    assert vectors.search([], 10) == []


# --- the interface of gensim ---


@settings(max_examples=30)
@given(st.data())
def test_most_similar_answers_as_gensim_does(data: st.DataObject) -> None:
    vectors = random_vectors()
    keyed = in_gensim(vectors)
    words = data.draw(st.lists(st.sampled_from(list(vectors)), min_size=1, max_size=4, unique=True))
    n_positive = data.draw(st.integers(1, len(words)))
    positive: list[Any] = words[:n_positive]
    positive[0] = data.draw(st.sampled_from([positive[0], (positive[0], 2.5)]))
    options: dict[str, Any] = {"topn": data.draw(st.integers(1, 12)), "restrict_vocab": 300}
    found = vectors.most_similar(positive=positive, negative=words[n_positive:], **options)
    assert matches(found, keyed.most_similar(positive=positive, negative=words[n_positive:], **options))
    assert matches(vectors.most_similar(words[0]), keyed.most_similar(words[0]))
    product = vectors.most_similar(words[:n_positive], words[n_positive:], method="mul")
    assert matches(product, keyed.most_similar_cosmul(words[:n_positive], words[n_positive:]))


def test_lookup_and_similarity_are_those_of_gensim() -> None:
    vectors = random_vectors()
    keyed = in_gensim(vectors)
    assert len(vectors) == len(keyed) == len(list(vectors)) == 500
    assert np.array_equal(vectors["w3"], keyed["w3"])
    assert "w3" in vectors and "x" not in vectors and 3 not in vectors
    assert vectors.similarity("w3", "w4") == pytest.approx(keyed.similarity("w3", "w4"), abs=1e-6)
    for wrong in (lambda: vectors["w5000"], lambda: vectors.similarity("w3", "w5000")):
        with pytest.raises(KeyError) as caught:
            wrong()
        assert isinstance(caught.value, TxError) and str(caught.value) == "random has no vector for 'w5000'"
        assert "did you mean 'w" in str(caught.value.hint)
    with pytest.raises(TxError, match="cancel each other out"):
        vectors.most_similar(["w1"], ["w1"])
