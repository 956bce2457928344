"""`tx score` as a command: what it prints, what it refuses, and how it behaves in a pipe."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from terminal import on_terminal

REF = ["The cat sat on the mat.", "It is raining today.", "Where is the station?"]
HYP = ["The cat sat on a mat.", "It rains today.", "Where is the station?"]
WORSE = ["A dog sat on mat.", "Rain now.", "Where station?"]


def tx(
    *args: str | Path, stdin: str | bytes = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    data = stdin.encode() if isinstance(stdin, str) else stdin
    command = [sys.executable, "-m", "tx", *map(str, args)]
    done = subprocess.run(command, input=data, capture_output=True, cwd=cwd, timeout=100)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def text(lines: list[str]) -> str:
    return "".join(line + "\n" for line in lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, lines in (("ref", REF), ("hyp", HYP), ("worse", WORSE), ("ref2", REF), ("short", HYP[:2])):
        (tmp_path / name).write_text(text(lines), encoding="utf-8")
    return tmp_path


def sacrebleu(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-b", "-w", "10", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout.strip()


def test_the_default_is_bleu_and_chrf_with_signatures(folder: Path) -> None:
    done = tx("score", "ref", "-w", "10", stdin=text(HYP), cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = (line.split("\t") for line in done.stdout.splitlines())
    assert header == ["metric", "score", "signature"]
    assert [row[0] for row in rows] == ["BLEU", "chrF2"]
    assert [row[1] for row in rows] == [sacrebleu(folder), sacrebleu(folder, "-m", "chrf")]
    assert all("version:" in row[-1] for row in rows)


def test_score_only_prints_bare_numbers(folder: Path) -> None:
    done = tx(
        "score",
        "ref",
        "--score-only",
        "-w",
        "10",
        "--metric",
        "ter",
        "--metric",
        "bleu",
        stdin=text(HYP),
        cwd=folder,
    )
    assert done.stdout == sacrebleu(folder, "-m", "ter") + "\t" + sacrebleu(folder) + "\n"
    words = ["--score-only", "--paired", "none", "--metric", "bleu"]
    several = tx("score", "ref", "-i", "hyp", "-i", "ref2", *words, cwd=folder)
    assert several.stdout == f"hyp\t{float(sacrebleu(folder)):.2f}\nref2\t100.00\n"


def test_json_holds_everything_and_warnings_are_data(folder: Path) -> None:
    done = tx("score", "ref", "--json", "--all", "--confidence", stdin=text([*HYP[:2], ""]), cwd=folder)
    document = json.loads(done.stdout)
    (system,) = document["systems"]
    assert [score["name"] for score in system["scores"]] == ["BLEU", "chrF2", "chrF2++", "TER"]
    assert all(score["ci"] >= 0 and score["signature"] for score in system["scores"])
    assert (document["lines"], document["references"]) == (3, ["ref"])
    assert "line 3" in document["warnings"][0] and "line 3" in done.stderr


def test_several_systems_are_tested_against_the_first(folder: Path) -> None:
    done = tx(
        "score", "ref", "-i", "hyp", "--hyp", "worse", "--n-bootstrap", "50", "--metric", "chrf", cwd=folder
    )
    header, first, second = (line.split("\t") for line in done.stdout.splitlines())
    assert header == ["system", "metric", "score", "mean", "± 95%", "p", "signature"]
    assert (first[0], second[0]) == ("hyp", "worse")
    assert float(first[2]) > float(second[2])
    assert first[5] == "-" and 0 < float(second[5]) <= 1
    assert "bs:50" in second[-1]
    done = tx("score", "ref", "-i", "hyp", "-i", "worse", "--paired", "none", cwd=folder)
    assert [len(line.split("\t")) for line in done.stdout.splitlines()] == [4] * 5
    done = tx(
        "score",
        "ref",
        "-i",
        "hyp",
        "-i",
        "worse",
        "--paired",
        "randomization",
        "--n-bootstrap",
        "9",
        cwd=folder,
    )
    assert all("ar:9|" in line for line in done.stdout.splitlines()[1:])


def test_no_number_is_folded_on_a_narrow_terminal(folder: Path) -> None:
    (folder / "hyp").rename(folder / "a-long-name-for-a-system.hyp")
    words = ["score", "ref", "-i", "a-long-name-for-a-system.hyp", "-i", "worse", "--n-bootstrap", "50"]
    rows = [line.split("\t") for line in tx(*words, cwd=folder).stdout.splitlines()[1:]]
    shown = on_terminal(*words, columns=40, cwd=folder, NO_COLOR="1")
    table = [line.split() for line in shown.split("\n") if not line.startswith(("BLEU|", "chrF2|"))]
    assert max(map(len, shown.split("\n")[:5])) <= 40
    assert {row[2] for row in rows} < {word for line in table for word in line}
    assert {row[5] for row in rows} < {word for line in table for word in line}


def test_the_seed_decides_the_resamples(folder: Path) -> None:
    command = ("score", "ref", "-i", "hyp", "-i", "worse", "-w", "10", "--n-bootstrap", "20")
    first, again, other = (tx(*command, "--seed", seed, cwd=folder).stdout for seed in ("1", "1", "2"))
    assert first == again != other


def test_sentence_prints_one_line_for_each(folder: Path) -> None:
    done = tx("score", "ref", "--sentence", "-w", "10", "--metric", "bleu", stdin=text(HYP), cwd=folder)
    theirs = sacrebleu(folder, "-sl")
    assert done.stdout.strip() == theirs
    done = tx("score", "ref", "--sentence", "--json", stdin=text(HYP), cwd=folder)
    assert [set(json.loads(line)) for line in done.stdout.splitlines()] == [{"BLEU", "chrF2"}] * 3


def test_several_references_gzip_bom_crlf_and_blank_lines(folder: Path) -> None:
    refs = [*REF, "", "End of it all, at last."]
    hyps = [*HYP, "", "End of it all, at long last."]
    (folder / "r1").write_text(text(refs), encoding="utf-8")
    (folder / "r2.gz").write_bytes(gzip.compress(text([*HYP, "", "The end."]).encode()))
    plain = tx("score", "r1", "r2.gz", "-w", "10", stdin=text(hyps), cwd=folder)
    windows = tx(
        "score", "r1", "r2.gz", "-w", "10", stdin=b"\xef\xbb\xbf" + "\r\n".join(hyps).encode(), cwd=folder
    )
    assert plain.returncode == 0 and "nrefs:2" in plain.stdout
    assert windows.stdout == plain.stdout


@pytest.mark.parametrize(
    ("args", "stdin", "status", "words"),
    [
        (
            ["ref"],
            text(HYP[:2]),
            1,
            ["standard input has 2 lines", "ref has 3 lines", "get out of step near line 3"],
        ),
        (
            ["ref"],
            text(HYP[1:]),
            1,
            ["standard input has 2 lines", "ref has 3 lines", "get out of step near line 1"],
        ),
        (["ref", "-i", "short"], "", 1, ["short has 2 lines", "paste short ref | sed -n"]),
        (["ref", "-m", "m", "--all"], "", 2, ["--all does not apply with --model"]),
        (["ref", "-m", "m", "--hyp", "hyp"], "", 2, ["--hyp does not apply with --model"]),
        (["ref", "--json", "--score-only"], text(HYP), 2, ["--score-only"]),
        (["ref"], "", 1, ["standard input is empty"]),
        (["ref"], b"\xff\xfe\xfd\n", 1, ["standard input"]),
        (["missing"], text(HYP), 1, ["missing"]),
        (["ref", "--metric", "blue"], text(HYP), 2, ["'blue'", "'bleu'"]),
        (["ref", "--tokenize", "13b"], text(HYP), 2, ["'13b'", "'13a'"]),
        (["ref", "-i", "hyp", "-i", "hyp"], "", 2, ["hyp is given twice"]),
        (["ref", "ref"], text(HYP), 2, ["ref is given twice"]),
        (["-"], text(HYP), 2, ["standard input is given twice"]),
        (["ref", "-i", "hyp", "-i", "worse", "--sentence"], "", 2, ["--sentence"]),
        (["ref", "--sentence", "--confidence"], text(HYP), 2, ["--sentence"]),
        (["ref", "--seed", "0"], text(HYP), 2, ["seed"]),
        ([], "", 2, ["REF"]),
    ],
)
def test_bad_calls_fail_with_one_sentence(
    folder: Path, args: list[str], stdin: str | bytes, status: int, words: list[str]
) -> None:
    done = tx("score", *args, stdin=stdin, cwd=folder)
    assert (done.returncode, done.stdout) == (status, "")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr.replace("\n", " ")


def test_even_quiet_gives_no_bare_number_for_blank_lines(folder: Path) -> None:
    done = tx("score", "ref", "-q", stdin="\n\n\n", cwd=folder)
    assert done.returncode == 0 and "\nBLEU\t0.00\t" in done.stdout
    assert "3 of 3 lines blank" in done.stderr


def test_a_reader_that_leaves_early_is_no_error(folder: Path) -> None:
    many = text(REF * 7000)
    (folder / "many").write_text(many, encoding="utf-8")
    command = f"'{sys.executable}' -m tx score many --sentence --metric bleu < many | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "100.00\n"


def test_scoring_never_imports_torch(folder: Path) -> None:
    code = (
        "import sys; from tx.cli.app import app\n"
        "heavy = {'torch', 'sentencepiece', 'gensim'}\n"
        "assert 'sacrebleu' not in sys.modules\n"
        "args = ['score', 'ref', '-i', 'hyp', '-i', 'worse', '--all', '--n-bootstrap', '5']\n"
        "app(args, standalone_mode=False)\n"
        "assert 'sacrebleu' in sys.modules\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
