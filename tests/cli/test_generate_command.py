"""`tx generate`: prompts from the command line and pipes, text as it comes, JSON, and wrong input."""

import atexit
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from languages import keep, random_model, tokenizer_of
from tx.cli.app import main
from tx.text.lines import LineWriter

BPE = tokenizer_of("bpe")


@cache
def folder() -> Path:
    """A package of characters and one of pieces of words."""
    place = Path(mkdtemp(prefix="tx-tests-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    keep(place / "bard", random_model("lstm"))
    keep(place / "pieces", random_model("transformer", len(BPE)), BPE)
    return place


def model(name: str = "bard") -> str:
    return str(folder() / name)


@pytest.fixture
def tx(monkeypatch: pytest.MonkeyPatch, capfdbinary: Any, tmp_path: Path) -> Any:
    """Run `tx generate` in this process: exit status, stdout, stderr."""

    def run(*words: str, stdin: bytes | None = None) -> tuple[int, str, str]:
        monkeypatch.setenv("TX_HOME", str(tmp_path))
        monkeypatch.setattr(sys, "argv", ["tx", "generate", *words])
        (tmp_path / "stdin").write_bytes(stdin or b"")
        with (tmp_path / "stdin").open() as file:
            monkeypatch.setattr(sys, "stdin", None if stdin is None else file)
            try:
                main()
                status = 0
            except SystemExit as exit:
                status = int(exit.code or 0)
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return run


def start(*words: str, **more: Any) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tx", "generate", "-m", model(), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def test_a_prompt_is_continued(tx: Any) -> None:
    status, out, err = tx("-m", model(), "ROMEO:\nab", "--length", "50")
    assert (status, err) == (0, "")
    assert out.startswith("ROMEO:\nab") and out.endswith("\n")
    assert 50 <= len(out) - len("ROMEO:\nab") <= 51
    assert tx("-m", model(), "ROMEO:\nab", "--length", "50")[1] == out
    assert tx("-m", model(), "ROMEO:\nab", "--length", "50", "--seed", "2")[1] != out
    assert tx("-m", model(), "--length", "5")[0] == 0  # nothing at all to go on with


def test_each_line_of_stdin_gives_a_line(tx: Any) -> None:
    lines = ["ROMEO:", "", "ab", "äöü ", "a"]
    stdin = "\n".join(lines).encode()
    status, out, err = tx("-m", model("pieces"), "--length", "40", "--temperature", "1.5", stdin=stdin)
    answers = out.removesuffix("\n").split("\n")
    assert (status, err, len(answers)) == (0, "", len(lines))
    assert all(answer.startswith(line) for line, answer in zip(lines, answers, strict=True))
    assert answers[1] == ""
    status, out, err = tx("-m", model(), stdin=b"")
    assert (status, out) == (0, "") and "there is no prompt on stdin" in err


def test_json_contains_newlines(tx: Any) -> None:
    status, out, _ = tx("-m", model(), "--json", "-n", "2", "--length", "200", stdin=b"ab\ncd\n")
    found = [json.loads(line) for line in out.split("\n")[:-1]]
    assert status == 0
    assert [(r["prompt"], r["sample"]) for r in found] == [("ab", 0), ("ab", 1), ("cd", 0), ("cd", 1)]
    assert all(len(r["text"]) == 200 for r in found) and any("\n" in r["text"] for r in found)
    assert len({r["text"] for r in found}) == 4
    (one,) = tx("-m", model(), "ab", "--json", "--length", "200")[1].splitlines()
    assert json.loads(one) == found[0]


def test_samples_have_a_rule_between_them(tx: Any) -> None:
    out = tx("-m", model(), "ab", "-n", "3", "--length", "9", "--stop", r"\n")[1]
    assert len(out.split("-" * 16 + "\n")) == 3
    assert all(part.startswith("ab") and part.count("\n") == 1 for part in out.split("-" * 16 + "\n"))


def test_next_words(tx: Any) -> None:
    status, out, err = tx("-m", model(), "--next", "5", "thou shalt")
    rows = [line.split("\t") for line in out.splitlines()]
    assert (status, err, len(rows)) == (0, "", 5)
    document = json.loads(tx("-m", model(), "--next", "5", "thou shalt", "--json")[1])
    assert [[w["word"], f"{w['probability']:.4f}"] for w in document["next"]] == rows
    piped = tx("-m", model(), "--next", "5", stdin=b"thou shalt\nab\n")[1].splitlines()
    assert piped[0].split("\t") == [cell for row in rows for cell in row]
    assert len(piped) == 2
    assert tx("-m", model(), "--next", "5", "a", "-n", "2")[0] == 2


def test_unknown_characters_are_reported_once(tx: Any) -> None:
    status, out, err = tx("-m", model(), "--length", "3", stdin="日本\nab日\nab本x\n".encode())
    assert status == 0 and out.count("\n") == 3
    assert err.count("not in the vocabulary") == 1 and "日 本" in err


def test_invalid_options_are_reported(tx: Any, tmp_path: Path) -> None:
    status, _, err = tx("-m", str(tmp_path / "nothing"), "a")
    assert status == 1 and "there is no package" in err
    assert tx("-m", model(), "a", "--temperature", "-1")[0] == 2
    assert tx("-m", model(), "a", "--device", "abacus")[0] == 1


def test_each_token_is_written_at_once(tx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[bytes] = []
    put = LineWriter.put

    def count(writer: LineWriter, data: bytes) -> None:
        put(writer, data)  # writes and flushes
        parts.append(data)

    monkeypatch.setattr(LineWriter, "put", count)
    out = tx("-m", model(), "ROMEO:", "--length", "200", "--temperature", "1.2")[1]
    assert b"".join(parts).decode() == out and len(parts) > 100
    assert all(part.decode() is not None for part in parts), "no character is cut in half"


def test_text_comes_before_the_end_and_a_closed_pipe_is_no_error() -> None:
    process = start("ROMEO:", "--length", "10000000", "--temperature", "1.2")
    assert process.stdout is not None and process.stderr is not None
    received = b""
    while len(received) < 2000 and (chunk := os.read(process.stdout.fileno(), 1 << 16)):
        chunk.decode()  # no character is cut in half
        received += chunk
    assert process.poll() is None
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr.read() == b""
    assert len(received) >= 2000 and any(c > 127 for c in received)


def test_each_line_is_answered_before_the_next_is_sent() -> None:
    process = start("--length", "20")
    assert process.stdin is not None and process.stdout is not None
    for line in (b"ab\n", b"\n", b"cd\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline().startswith(line.strip())
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")
