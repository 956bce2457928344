"""Lines: what was written is read, what is no text is named, and a pipe gets its answers as it asks."""

import gzip
import io
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tx.errors import TxError
from tx.text.lines import LineWriter, available_lines, open_input, read_blocks, read_lines

SEPARATORS = ["\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
anything = st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"])) | st.sampled_from(
    SEPARATORS
)
lines_of_text = st.lists(
    anything.filter(lambda line: not line.endswith("\r") and not line.startswith("\ufeff"))
)


@given(lines_of_text, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\ufeff"]), st.booleans())
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, bom: str, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / ("text.gz" if packed else "text")
    content = (bom + "".join(line + end for line in lines)).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    assert list(read_lines(path)) == lines or (bom and not lines)
    with open_input(path) as stream:
        live = [line for batch in available_lines(stream, 3) for line in batch]
    assert live == lines or (bom and not lines)


def test_a_last_line_without_an_end_counts(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a\n\nb")
    assert list(read_lines(tmp_path / "text")) == ["a", "", "b"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"good\nb\xe4d\n", ["text:2", "not UTF-8", "byte 2"]),
        ("größer\n".encode("latin1"), ["text:1", "not UTF-8"]),
        (b"cut off \xe2\x82", ["text:1", "not UTF-8"]),
        (b"\xed\xa0\x80\n", ["text:1", "not UTF-8"]),  # half a surrogate pair
        ("ein\nzwei\n".encode("utf-16"), ["text is UTF-16"]),
        ("ein\nzwei\n".encode("utf-16-be"), ["text is UTF-16"]),
        ("ein\nzwei\n".encode("utf-32-le"), ["text is UTF-16 (or UTF-32)"]),
        (b"a\nb\0c\n", ["text:2", "NUL"]),
        (b"one\rtwo\rthree\r", ["text", "carriage return"]),
        (b"one\rtwo", ["text", "carriage return"]),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, words: list[str]) -> None:
    (tmp_path / "text").write_bytes(content)
    for read in (read_lines, read_blocks):
        with pytest.raises(TxError) as caught:
            list(read(tmp_path / "text"))
        assert all(word in caught.value.message for word in words)
        assert caught.value.hint


@given(st.text(st.sampled_from("ab\n \u00e9\u3000")), st.integers(1, 20))
def test_blocks_end_between_words(tmp_path_factory: pytest.TempPathFactory, text: str, size: int) -> None:
    path = tmp_path_factory.mktemp("blocks") / "text"
    path.write_bytes(text.encode())
    blocks = list(read_blocks(path, size))
    assert "".join(shown for _, shown in blocks) == text
    assert all(raw.decode() == shown and raw for raw, shown in blocks)
    assert all(shown[-1] in "\n " for _, shown in blocks[:-1])


def test_a_fault_far_into_a_file_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"one two\n" * 100 + b"a \xff\n")
    with pytest.raises(TxError, match=r"text:101 is not UTF-8: .* at byte 3"):
        list(read_blocks(tmp_path / "text", 64))
    (tmp_path / "text").write_bytes(b"x" * 10_000)
    with pytest.raises(TxError, match="text:1 has no space in"):
        list(read_blocks(tmp_path / "text", 64))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(
        gzip.compress(random.Random(1).randbytes(10_000).hex().encode())[:-2000]
    )
    (tmp_path / "plain.gz").write_bytes(b"no gzip\n")
    for name, word in [
        ("none", "no file"),
        ("", "folder"),
        ("cut.gz", "damaged"),
        ("plain.gz", "not a gzip file, despite"),
    ]:
        with pytest.raises(TxError, match=word) as caught:
            list(read_lines(tmp_path / name))
        assert str(tmp_path / name) in caught.value.message


def test_stdin_is_read_and_its_absence_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\r\nb\n"), encoding="ascii"))
    assert list(read_lines("-")) == ["a", "b"]
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(TxError, match="standard input is closed"):
        list(read_lines("-"))


def test_a_pipe_is_answered_at_once() -> None:
    inlet, outlet = os.pipe()
    with os.fdopen(inlet, "rb") as stream:
        batches = available_lines(stream, 3)
        os.write(outlet, b"a\nb")
        assert next(batches) == ["a"]
        os.write(outlet, b"c\n\nd\n")
        assert next(batches) == ["bc", "", "d"]
        os.write(outlet, b"1\n2\n3\n4\nlast")
        assert next(batches) == ["1", "2", "3"]
        assert next(batches) == ["4"]
        os.close(outlet)
        assert list(batches) == [["last"]]


def test_what_arrived_in_several_writes_is_one_batch() -> None:
    inlet, outlet = os.pipe()
    size = 70_000  # more than is read at once
    written = 0
    os.set_blocking(outlet, False)
    try:
        while written < size:
            written += os.write(outlet, b"x" * 99 + b"\n")
    except BlockingIOError:
        pass
    os.close(outlet)
    with os.fdopen(inlet, "rb") as stream:
        assert [len(batch) for batch in available_lines(stream, 10_000)] == [written // 100]


@given(st.lists(st.integers(0, 150_000), max_size=4), st.integers(1, 3))
def test_a_file_gives_full_batches_of_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], max_lines: int
) -> None:
    lines = [chr(97 + n) * length for n, length in enumerate(lengths)]
    path = tmp_path_factory.mktemp("file") / "text"
    path.write_text("".join(f"{line}\n" for line in lines))
    with path.open("rb") as stream:
        batches = list(available_lines(stream, max_lines))
    assert [line for batch in batches for line in batch] == lines
    assert all(len(batch) == max_lines for batch in batches[:-1])


def test_in_a_pipe_broken_text_is_one_line_and_one_warning() -> None:
    heard: list[str] = []
    stream = io.BytesIO(b"good\nb\xe4d\nw\xffrse\nnul\0\n")
    assert list(available_lines(stream, 2, heard.append)) == [["good", "b\ufffdd"], ["w\ufffdrse", "nul\0"]]
    assert len(heard) == 1
    assert "line 2" in heard[0]


@given(st.lists(st.text()))
def test_an_item_is_a_line(items: list[str]) -> None:
    stdout = io.TextIOWrapper(io.BytesIO())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        with LineWriter() as writer:
            writer.write(items)
    written = stdout.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert written.count("\n") == len(items)
    assert len(written.splitlines()) == len(items)  # for every reader there is


def test_exact_writing_keeps_all_but_the_newline(tmp_path: Path) -> None:
    with LineWriter(tmp_path / "out", exact=True) as writer:
        writer.write([f"a{separator}b" for separator in SEPARATORS])
        writer.write(["c\nd"])
    assert (tmp_path / "out").read_bytes().decode().split("\n") == [f"a{s}b" for s in SEPARATORS] + [
        "c d",
        "",
    ]


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out.gz"
    out.write_text("old")
    with pytest.raises(ZeroDivisionError), LineWriter(out) as writer:
        writer.write(["new"])
        raise ZeroDivisionError
    assert out.read_text() == "old"
    with LineWriter(out) as writer:
        writer.write(["new", "é"])
    assert gzip.decompress(out.read_bytes()).decode() == "new\né\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.gz"]


def test_a_device_or_named_pipe_is_written_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        with LineWriter(tmp_path / "pipe") as writer:
            writer.write(["a"])
        assert reader.communicate()[0] == b"a\n"
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_named() -> None:
    with pytest.raises(TxError, match="/dev/full: No space"), LineWriter("/dev/full") as writer:
        writer.write(["a"])


def test_a_closed_stdout_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(TxError, match="standard output is closed"), LineWriter():
        pass


def test_what_gzip_has_packed_is_told_by_its_start(tmp_path: Path) -> None:
    packed = gzip.compress(b"a line\n")
    path = tmp_path / "text.txt"
    path.write_bytes(packed)
    with pytest.raises(TxError, match="gzip-compressed"):
        list(read_lines(path))
    with pytest.raises(TxError, match="the input is gzip-compressed"):
        list(available_lines(io.BytesIO(packed), 10))
