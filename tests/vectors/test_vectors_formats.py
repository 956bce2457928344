"""Import and export of vectors: gensim reads what tx writes and the reverse, and faults are reported."""

import gzip
import io
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from gensim.models import KeyedVectors

from tx.errors import TxError
from tx.vectors import WordVectors, open_vectors, write_vectors
from tx.vectors.formats import Format, export_vectors, import_vectors, read_rows
from wordvectors import Run, in_gensim, random_vectors, runner


def odd_vectors() -> WordVectors:
    """Numbers that are hard to write, and words that are hard to read."""
    rng = np.random.default_rng(3)
    words = ["</s>", "Straße", "\u2028x", "1", "-0.5", "\u00a0", '"', "#", "\ufeff", "日本", "nan", "e5"]
    matrix = (rng.normal(size=(12, 10)) * 10.0 ** rng.integers(-30, 30, (12, 10))).astype(np.float32)
    matrix[3] = [0, -0.0, 1e-45, 3.4e38, -1, 0.1, 1 / 3, 123456789, 16777217, 1e-7]
    matrix[4].view(np.uint32)[:] = 0x20202020  # spaces, in binary
    matrix[5].view(np.uint32)[:] = 0x0A0A0A0A  # and line ends
    return WordVectors.from_matrix(words, matrix, name="odd")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("format", get_args(Format))
def test_an_export_reads_back_to_the_last_bit(tmp_path: Path, format: Any, suffix: str) -> None:
    vectors = odd_vectors()
    file = tmp_path / f"vectors.out{suffix}"
    export_vectors(vectors, file, format)
    import_vectors(file, tmp_path / "v")  # which shows from the content what it is
    found = open_vectors(tmp_path / "v")
    assert list(found.words) == list(vectors.words)
    assert found.matrix.tobytes() == vectors.matrix.tobytes()


@pytest.mark.parametrize("format", get_args(Format))
def test_gensim_reads_an_export(tmp_path: Path, format: Any) -> None:
    vectors = random_vectors(50, 7)
    export_vectors(vectors, tmp_path / "out", format)
    keyed = KeyedVectors.load_word2vec_format(
        str(tmp_path / "out"), binary=format.endswith("binary"), no_header=format == "glove"
    )
    assert keyed.index_to_key == list(vectors.words)
    assert np.array_equal(keyed.vectors, vectors.matrix)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("name", ["out", "out.gz"])
def test_an_import_reads_what_gensim_writes(tmp_path: Path, binary: bool, name: str) -> None:
    vectors = random_vectors(9000, 5)  # more than a block
    in_gensim(vectors).save_word2vec_format(str(tmp_path / name), binary=binary)
    import_vectors(tmp_path / name, tmp_path / "v")
    found = open_vectors(tmp_path / "v")
    assert list(found.words) == list(vectors.words)
    assert np.array_equal(found.matrix, vectors.matrix)


def test_word2vec_c_and_fasttext_end_rows_in_a_space(tmp_path: Path) -> None:
    text = b"2 3\n</s> 0.1 0.2 0.3 \r\nnew_york\t1e-3 -2 +3 \n"
    found = read(text)
    assert found[0] == ["</s>", "new_york"]
    assert np.allclose(found[1], [[0.1, 0.2, 0.3], [0.001, -2, 3]])


def read(data: bytes, **options: Any) -> tuple[list[str], Any]:
    blocks = list(read_rows(io.BytesIO(data), "FILE", **options))
    return [word for words, _ in blocks for word in words], np.concatenate([rows for _, rows in blocks])


ROW = np.array([1, 2], "<f4").tobytes()

FAULTS = [
    (b"2 2\na 1 2\n", "FILE: the header says 2 words, and the file has 1"),
    (b"1 2\na 1 2\nb 1 2\n", "FILE: the header says 1 words, and the file has 2"),
    (b"2 2\na 1 2\nb 1\n", "FILE:3: 'b' needs 2 numbers and has 1"),
    (b"2 2\na 1 2\nb 1 2 3\n", "FILE:3: 'b' needs 2 numbers and has 3"),
    (b"2 3\na 1 2\nb 1 2\n", "FILE:2: 'a' needs 3 numbers and has 2"),
    (b"2 2\na 1 2\nnew york 1 2\n", "FILE:3: the word 'new york' contains a space"),
    (b"2 2\na 1 2\na 1 2\n", "FILE:3: the word 'a' occurs twice, first in FILE:2"),
    (b"2 2\na 1 2\nb nan 2\n", "FILE:3: the vector of 'b' contains nan"),
    (b"2 2\na 1 2\nb -inf 2\n", "FILE:3: the vector of 'b' contains -inf"),
    (b"2 2\na 1 2\nb 1 1e39\n", "FILE:3: the vector of 'b' contains inf"),
    (b"2 2\na 1 2\nb 1 1_0\n", "FILE:3: '1_0' in the vector of 'b' is not a number"),
    (b"2 2\na 1 2\nb 1 x\n", "FILE:3: 'x' in the vector of 'b' is not a number"),
    (b"2 2\na 1 2\n\xff 1 2\n", "FILE:3: not UTF-8"),
    (b"2 2\na 1 2\n\n", "FILE:3: '' is not a word"),
    (b"a 1 2\nb 1\n", "FILE:2: 'b' needs 2 numbers and has 1"),
    (b"a 1 2\n. . 1 2\n", "FILE:2: the word '. .' contains a space"),
    (b"2 2\na " + ROW + b"\nb " + ROW[:5], "FILE: the header says 2 words, and the file ends in word 2"),
    (b"3 2\na " + ROW + b"\nb " + ROW, "FILE: the header says 3 words, and the file ends in word 3"),
    (b"1 2\na " + ROW + b"\nb " + ROW, "FILE: the file continues after the 1 words"),
    (b"2 2\na " + ROW + b"\na " + ROW, "FILE: word 2: the word 'a' occurs twice, first in FILE: word 1"),
    (b"1 2\na " + np.array([1, np.inf], "<f4").tobytes(), "FILE: word 1: the vector of 'a' contains inf"),
    (b"1 2\n\xff " + ROW, "FILE: word 1: not UTF-8"),
    (b"1 2\n " + ROW, "FILE: word 1: '' is not a word"),
]


@pytest.mark.parametrize(("data", "said"), FAULTS)
def test_a_faulty_row_is_reported_with_its_place(data: bytes, said: str) -> None:
    with pytest.raises(TxError) as caught:
        read(data)
    assert caught.value.message.startswith(said)


def test_faulty_rows_can_be_skipped() -> None:
    warnings: list[str] = []
    data = b"a 1 2\nb 1\n. . 1 2\nc 3 4\na 5 6\nd nan 1\ne 5 6\n"
    words, rows = read(data, skip_bad=True, warn=warnings.append)
    assert words == ["a", "c", "e"] and rows.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert [message.split(":")[1] for message in warnings] == ["2", "3", "5", "6"]


def test_a_duplicate_word_is_found_many_blocks_later() -> None:
    lines = [f"w{i} 1 2" for i in range(10_000)] + ["w17 1 2"]
    with pytest.raises(TxError, match="FILE:10001: the word 'w17' occurs twice, first in FILE:18"):
        read("\n".join(lines).encode())
    warnings: list[str] = []
    lines[5000] = "w17 1 2"  # and the numbers of the lines stay right behind a fault
    assert len(read("\n".join(lines).encode(), skip_bad=True, warn=warnings.append)[0]) == 9999
    assert "FILE:5001:" in warnings[0] and "FILE:10001:" in warnings[1] and "FILE:18;" in warnings[1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x80\x04\x95code", "a Python pickle"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
        (b"\xba\x16\x4f\x2f", "a fastText model"),
        (b"3000000 9000000000000\nabc", "the header says 9,000,000,000,000 dimensions"),
        (b"2 0\na\nb\n", "the header says 0 dimensions"),
    ],
)
def test_other_files_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(TxError, match=said):
        list(read_rows(io.BytesIO(data), "FILE"))


def test_empty_and_truncated_files_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(TxError, match="contains no vectors"):
        import_vectors(tmp_path / "empty", tmp_path / "v")
    packed = gzip.compress(b"".join(b"w%d 1 2\n" % i for i in range(50_000)))
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(TxError, match=r"cut.gz is damaged"):
        import_vectors(tmp_path / "cut.gz", tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_a_word_with_a_space_is_not_exported(tmp_path: Path) -> None:
    vectors = WordVectors.from_matrix(["a", "new york"], np.ones((2, 2), np.float32))
    with pytest.raises(TxError, match="'new york' contains white space"):
        export_vectors(vectors, tmp_path / "out", "word2vec")
    assert not (tmp_path / "out").exists()


# --- the commands ---


@pytest.fixture
def tx(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    return runner(capsys, monkeypatch)


def test_import_and_export_at_the_command_line(tmp_path: Path, tx: Run) -> None:
    (tmp_path / "glove.txt").write_text("a 1 2\nb 3 4\n")
    out, err = tx("models", "import", "glove.txt", "-o", "v")
    assert out == "" and "v: 2 words, 2 dimensions" in err
    for name, content in [
        ("v.vec", b"2 2\na 1.0 2.0\nb 3.0 4.0\n"),
        ("v.bin", b"2 2\na " + ROW + b"\nb " + np.array([3, 4], "<f4").tobytes() + b"\n"),
    ]:
        tx("models", "export", "v", "-o", name)
        assert (tmp_path / name).read_bytes() == content
    assert tx("models", "export", "v", "-o", "-", "--format", "glove")[0] == "a 1.0 2.0\nb 3.0 4.0\n"
    tx("models", "export", "v", "-o", "v.bin", status=1)
    tx("models", "export", "v", "-o", "v.bin", "--format", "glove", "--overwrite")
    assert (tmp_path / "v.bin").read_bytes() == b"a 1.0 2.0\nb 3.0 4.0\n"
    assert (
        "'glov' is not one of 'word2vec', 'word2vec-binary', 'glove', 'fasttext'"
        in tx("models", "export", "v", "-o", "x", "--format", "glov", status=2)[1]
    )


def test_many_warnings_are_summarized(tmp_path: Path, tx: Run) -> None:
    (tmp_path / "bad.txt").write_text("a 1 2\n" + "b 1\n" * 30)
    assert "bad.txt:2: 'b' needs 2" in tx("models", "import", "bad.txt", "-o", "v", status=1)[1]
    err = tx("models", "import", "bad.txt", "-o", "v", "--skip-bad")[1]
    assert err.count("needs 2 numbers") == 20 and "and 10 more" in err and "v: 1 words" in err


def test_a_failed_export_leaves_the_file_as_it_was(tmp_path: Path, tx: Run) -> None:
    write_vectors(tmp_path / "v", ["a", "new york"], np.ones((2, 2), np.float32))
    (tmp_path / "out.txt").write_text("before")
    tx("models", "export", "v", "-o", "out.txt", "--overwrite", status=1)
    assert (tmp_path / "out.txt").read_text() == "before"
