"""`tx tokenize` and `tx detokenize` in a shell: line for line, at once, and quiet about a closed pipe."""

import gzip
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tx.cli.app import app
from tx.errors import TxError
from tx.package import write_package
from tx.text.fit_tokenizer import train_tokenizer, train_tokenizer_package
from tx.text.tokenizer import KINDS

LINES = [
    "der Hund läuft",
    "",
    "  zwei   Katzen ",
    "\u2028x\x85y\ffz\rw",
    "\u00a0日本 \U0001f600",
    "## <0x41> </s>",
    "\ta\0b",
]
TEXT = ["der Hund läuft und die Katze schläft", "die Katzen laufen , der Hund auch", "## ein Titel <0x41>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "text").write_text("\n".join(TEXT * 50), encoding="utf-8")
    for kind in KINDS:
        train_tokenizer_package(kind, [folder / "text"], 330, folder / kind)
    two = {
        side: train_tokenizer(kind, [folder / "text"], 330)
        for side, kind in [("src", "bpe"), ("tgt", "char")]
    }
    write_package(folder / "two", task="translation", tokenizers=two)
    return folder


def run(*arguments: object, input: str | bytes = b"") -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)


def lines_of(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    *lines, end = result.stdout_bytes.decode().split("\n")
    assert end == ""
    return lines


def failure_of(result: Result) -> TxError:
    assert isinstance(result.exception, TxError)
    return result.exception


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "alphabet"])  # which is closed
@pytest.mark.parametrize("flags", [[], ["--ids"], ["--ids", "--side", "tgt"]])
def test_detokenizing_restores_the_text(folder: Path, kind: str, flags: list[str]) -> None:
    pieces = run(
        "tokenize", "-m", folder / kind, *flags, input="".join(f"{line}\n" for line in LINES).encode()
    )
    assert len(lines_of(pieces)) == len(LINES)
    assert lines_of(pieces)[1] == ""
    text = run("detokenize", "-m", folder / kind, *flags, input=pieces.stdout_bytes)
    assert lines_of(text) == [unicodedata.normalize("NFC", line) for line in LINES]


def test_pieces_and_ids_are_separated_by_spaces(folder: Path) -> None:
    [pieces] = lines_of(run("tokenize", "-m", folder / "word", input="der Hund\n"))
    assert pieces == "▁der ▁Hund"
    [ids] = lines_of(run("tokenize", "-m", folder / "word", "--ids", input="der Hund"))
    assert all(id.isdigit() for id in ids.split(" "))
    assert lines_of(run("detokenize", "-m", folder / "word", "--ids", input=ids)) == ["der Hund"]


def test_files_stdin_and_gzip_are_read_in_order(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("eins\n")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"drei\n"))
    out = tmp_path / "out.gz"
    result = run(
        "tokenize", "-m", folder / "bpe", tmp_path / "a", "-", tmp_path / "b.gz", "-o", out, input="zwei"
    )
    assert lines_of(result) == []
    assert lines_of(run("detokenize", "-m", folder / "bpe", "-i", out)) == ["eins", "zwei", "drei"]
    assert run("detokenize", "-m", folder / "bpe", "-i", out, out).exit_code != 0


def test_sampling_does_not_depend_on_batches(folder: Path, tmp_path: Path) -> None:
    text = "".join(f"{line}\n" for line in TEXT * 10)
    sampled = lines_of(run("tokenize", "-m", folder / "bpe", "--sample", "0.5", "--seed", 3, input=text))
    assert sampled[:3] != sampled[3:6]
    (tmp_path / "one").write_text(text[: len(text) // 3])
    (tmp_path / "two").write_text(text)
    again = lines_of(run("tokenize", "-m", folder / "bpe", "--sample", "0.5", "--seed", 3, tmp_path / "two"))
    assert again == sampled
    assert (
        lines_of(run("tokenize", "-m", folder / "bpe", "--sample", "0.5", "--seed", 4, input=text)) != sampled
    )
    assert lines_of(run("detokenize", "-m", folder / "bpe", input="\n".join(sampled))) == TEXT * 10
    assert (
        "cannot sample segmentations"
        in failure_of(run("tokenize", "-m", folder / "word", "--sample", "0.5")).message
    )


def test_a_model_with_two_tokenizers_needs_a_side(folder: Path) -> None:
    assert "each side" in failure_of(run("tokenize", "-m", folder / "two")).message
    assert lines_of(run("tokenize", "-m", folder / "two", "--side", "tgt", input="Hund")) == ["▁ H u n d"]


@pytest.mark.parametrize(
    ("flags", "line", "message"),
    [
        (["--ids"], "4 five", "line 2: 'five' is not an id"),
        (["--ids"], "99999", "line 2: '99999' is not an id"),
        (["--ids"], "-1", "line 2: '-1' is not an id"),
        (["--ids"], "9" * 5000, "line 2: '999"),
        (["--ids"], "²", "line 2: '²' is not an id"),
        ([], "▁nirgends", "line 2: the vocabulary has no piece '▁nirgends'"),
    ],
)
def test_a_bad_piece_names_its_line(folder: Path, flags: list[str], line: str, message: str) -> None:
    result = run("detokenize", "-m", folder / "word", *flags, input=f"\n{line}\n".encode())
    assert message in failure_of(result).message


def test_a_bad_piece_names_its_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("▁der\n" * 3)
    (tmp_path / "bad").write_text("▁der\n▁der\n▁nirgends\n")
    result = run("detokenize", "-m", folder / "word", tmp_path / "good", tmp_path / "bad")
    assert failure_of(result).message.startswith(f"{tmp_path / 'bad'}:3: the vocabulary has no piece")


def test_broken_text_in_a_pipe_is_one_line_and_a_warning(folder: Path) -> None:
    result = run("tokenize", "-m", folder / "char", input=b"gut\nb\xe4d\nb\xe4d\n")
    assert len(lines_of(result)) == 3
    assert result.stderr.count("U+FFFD") == 1
    assert run("tokenize", "-q", "-m", folder / "char", input=b"b\xe4d\n").stderr == ""


# --- in a shell ---

TX = f"{sys.executable} -m tx"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("tx ", f"{TX} ")],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_a_closed_pipe_is_silent(folder: Path) -> None:
    chance = random.Random(1)
    (folder / "big").write_text("".join(" ".join(chance.choices(TEXT, k=5)) + "\n" for _ in range(5000)))
    done = shell("tx tokenize -m bpe < big | head -1; echo ${PIPESTATUS[0]}", folder)
    assert done.stderr == ""
    assert done.stdout.split("\n")[1:] == ["0", ""]


def test_a_full_or_closed_stdout_is_an_error(folder: Path) -> None:
    done = shell("tx tokenize -m bpe < text >&-", folder)
    assert (done.returncode, done.stderr.split("\n")[0]) == (1, "tx: error: standard output is closed")
    done = shell("tx tokenize -m bpe <&-", folder)
    assert (done.returncode, done.stderr.split("\n")[0]) == (1, "tx: error: standard input is closed")
    if Path("/dev/full").exists():
        done = shell("tx tokenize -m bpe < text > /dev/full", folder)
        assert done.returncode == 1
        assert done.stderr.startswith(
            "tx: error: cannot write standard output: No space left on device\n  hint:"
        )
        assert done.stderr.count("\n") == 2


def test_a_line_is_answered_before_the_next_is_sent(folder: Path) -> None:
    command = [sys.executable, "-m", "tx", "tokenize", "-m", str(folder / "bpe")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        for line in TEXT[:2]:
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().decode().replace(" ", "").replace("▁", " ").strip() == line
        process.stdin.close()
        assert process.wait() == 0


def test_torch_is_not_imported(folder: Path) -> None:
    code = (
        "import io, sys; sys.argv = ['tx', 'tokenize', '-m', 'unigram', 'text', '-o', 'out']\n"
        "from tx.text import wordpiece\n"
        "import tx.cli.tokenize\n"
        "from tx.cli.app import app\n"
        "app(standalone_mode=False)\n"
        "assert 'sentencepiece' in sys.modules\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=folder).returncode == 0
    assert (folder / "out").read_bytes().count(b"\n") == len(TEXT) * 50
