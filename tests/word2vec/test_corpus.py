"""Encoding a text: the words and counts of gensim with either encoder, and phrases by their definition."""

import gzip
import io
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from gensim.models import Word2Vec
from gensim.models.word2vec import LineSentence
from hypothesis import given, settings
from hypothesis import strategies as st

import tx.word2vec.corpus as corpus_module
import tx.word2vec.phrases as phrases_module
from tx.errors import TxError
from tx.word2vec.config import Word2VecConfig
from tx.word2vec.corpus import Corpus, Encoder, encode_text, open_corpus
from tx.word2vec.phrases import count_pairs, join_phrases
from word2vec import at_home, topic_lines, write_lines

texts = st.text(
    st.sampled_from(
        "abc \n\t\r\v\x1c\x1f\x85\xa0\u1680\u2003\u200b\u2028\u202f\u205f\u3000\xe9\u4e2d\U0001f600"
    )
)


def encode(folder: Path, *paths: Path | str, **options: object) -> Corpus:
    folder.mkdir()
    config = Word2VecConfig(**options)  # type: ignore[arg-type]
    return encode_text([str(path) for path in paths], config, folder, lambda message: None)


def lines_of(corpus: Corpus) -> list[list[str]]:
    """The text that the ids represent."""
    lines: list[list[str]] = [[]]
    for word in corpus.read(0, corpus.n_ids).tolist():
        if word < 0:
            lines.append([])
        else:
            lines[-1].append(corpus.words[word])
    return lines[:-1]


def test_words_and_counts_are_those_of_gensim(tmp_path: Path) -> None:
    lines = [*topic_lines(300), "naïve café 北京 \u3000 x", "", "once", "   ", "naïve"]
    path = write_lines(tmp_path / "text", lines)
    model = Word2Vec(min_count=2)
    model.build_vocab(LineSentence(str(path)))
    corpus = encode(tmp_path / "corpus", path, min_count=2)
    theirs = {word: model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key}
    assert dict(zip(corpus.words, corpus.counts.tolist(), strict=True)) == theirs
    assert corpus.n_read == model.corpus_total_words
    assert corpus.counts.tolist() == sorted(corpus.counts.tolist(), reverse=True)
    kept = [[word for word in line.split() if word in theirs] for line in lines]
    assert lines_of(corpus) == [line for line in kept if line], "the lines, without rare words and empty ones"


def test_a_corpus_opens_as_written_and_damage_is_detected(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "text", topic_lines(50))
    made = encode(tmp_path / "corpus", path)
    again = open_corpus(tmp_path / "corpus")
    assert again.words == made.words and (again.counts == made.counts).all()
    assert (again.n_ids, again.n_read) == (made.n_ids, made.n_read)
    ids = tmp_path / "corpus" / "ids"
    ids.write_bytes(b"\1" + ids.read_bytes()[1:])
    with pytest.raises(TxError, match="ids is damaged"):
        open_corpus(tmp_path / "corpus")
    (tmp_path / "corpus" / "corpus.json").unlink()
    with pytest.raises(TxError, match=r"corpus\.json is damaged"):
        open_corpus(tmp_path / "corpus")


def test_files_compressed_files_and_a_pipe_form_one_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "plain"
    plain.write_text("a b a")  # its last line has no end, and still is one
    with gzip.open(tmp_path / "packed.gz", "wt") as file:
        file.write("b a\nb b\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfa b\n")))
    corpus = encode(tmp_path / "corpus", plain, tmp_path / "packed.gz", "-", min_count=1)
    assert lines_of(corpus) == [["a", "b", "a"], ["b", "a"], ["b", "b"], ["a", "b"]]


def test_an_endless_line_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "READ", 7)
    words = " ".join(topic_lines(200)).split()
    (tmp_path / "text").write_text(" ".join(words))
    corpus = encode(tmp_path / "corpus", tmp_path / "text", min_count=1)
    assert lines_of(corpus) == [words]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "of 0 words"),
        (b" \n\n", "of 0 words"),
        (b"one two three", "of 3 words, 0 occurs 5 times"),
        (b"one " * 9, "of 9 words, 1 occurs 5 times"),
        (b"ok\nb\xff\n", "text:2 is not UTF-8"),
        (b"a\0b", "text:1 contains a NUL byte"),
    ],
)
def test_a_text_without_enough_words_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(TxError, match=said):
        encode(tmp_path / "corpus", tmp_path / "text")


# -- the compiled encoder --------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.lists(texts, max_size=4), st.lists(st.sampled_from(["a", "bb", "\xe9"]), unique=True))
def test_the_compiled_encoder_gives_the_same_ids(blocks: list[str], known: list[str]) -> None:
    with at_home():
        from tx.word2vec.compiled_encoder import CompiledEncoder

        slow, fast = Encoder(known), CompiledEncoder(known)
        for block in blocks:
            assert fast.encode(block.encode()).tolist() == slow.encode(block.encode()).tolist()
        assert fast.words() == slow.words()


def test_the_compiled_encoder_enlarges_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        f"{'x' * (i % 60)}{i}" for i in range(40_000)
    ]  # more than fit its first tables and its first pool
    text = " ".join([*words, *words[::-1]])
    (tmp_path / "text").write_text(text)
    with at_home():
        monkeypatch.setattr(corpus_module, "COMPILE_FROM", 1 << 20)
        compiled = encode(tmp_path / "compiled", tmp_path / "text", min_count=2)
        monkeypatch.setattr(corpus_module, "COMPILE_FROM", 1 << 60)
        plain = encode(tmp_path / "plain", tmp_path / "text", min_count=2)
    assert compiled.words == plain.words == words
    assert (compiled.read(0, 80_001) == plain.read(0, 80_001)).all()


# -- phrases ---------------------------------------------------------------------------------------

small_ids = st.lists(st.integers(-1, 3), max_size=40)


def naive_pairs(ids: list[int], counted: list[bool]) -> Counter[tuple[int, int]]:
    return Counter((a, b) for a, b in pairwise(ids) if a >= 0 and b >= 0 and counted[a] and counted[b])


@given(small_ids, st.lists(st.booleans(), min_size=4, max_size=4), st.integers(1, 9))
def test_pairs_are_counted_across_pieces(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], counted: list[bool], piece: int
) -> None:
    path = tmp_path_factory.mktemp("pairs") / "ids"
    np.array(ids, "<i4").tofile(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrases_module, "_READ", piece)
        patch.setattr(phrases_module, "_MERGE", 3)
        keys, times = count_pairs(path, np.array(counted))
    found = {divmod(key, 4): n for key, n in zip(keys.tolist(), times.tolist(), strict=True)}
    assert found == naive_pairs(ids, counted)
    assert keys.tolist() == sorted(keys.tolist())


def naive_phrases(ids: list[int], words: list[str], min_count: int, threshold: float) -> list[str]:
    """Greedily, from left to right, by the definition."""
    counts = Counter(ids)
    total = sum(n for word, n in counts.items() if word >= 0)
    common = [counts[word] >= min_count for word in range(len(words))]
    pairs = naive_pairs(ids, common)
    score = {(a, b): (n - min_count) / counts[a] / counts[b] * total for (a, b), n in pairs.items()}
    result, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and score.get((ids[i], ids[i + 1]), -1) > threshold:
            result.append(f"{words[ids[i]]}_{words[ids[i + 1]]}")
            i += 2
        else:
            result.append(words[ids[i]] if ids[i] >= 0 else "\n")
            i += 1
    return result


@given(small_ids, st.integers(1, 3), st.sampled_from([0.0, 0.5, 2.0]), st.integers(1, 9))
def test_phrases_are_joined_by_the_papers_score(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], min_count: int, threshold: float, piece: int
) -> None:
    path = tmp_path_factory.mktemp("phrases") / "ids"
    np.array(ids, "<i4").tofile(path)
    words = ["a", "b", "a_b", "c"]  # the text has a word that looks like a phrase
    counts = np.bincount([word for word in ids if word >= 0], minlength=4).astype(np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrases_module, "_READ", piece)
        known, counts = join_phrases(path, words, counts, min_count, threshold)
    shown = [known[word] if word >= 0 else "\n" for word in np.fromfile(path, "<i4").tolist()]
    assert shown == naive_phrases(ids, words, min_count, threshold)
    assert dict(zip(known, counts.tolist(), strict=True)) == {word: shown.count(word) for word in known}


def test_phrases_end_at_a_line(tmp_path: Path) -> None:
    lines = ["new york is big"] * 8 + ["so new", "york"] * 8
    path = write_lines(tmp_path / "text", lines)
    corpus = encode(tmp_path / "corpus", path, min_count=1, phrases=True, phrase_threshold=1.0)
    assert lines_of(corpus)[0][0] == "new_york"
    assert lines_of(corpus)[-1] == ["york"]
