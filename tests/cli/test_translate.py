"""`tx translate` on the command line: options, errors, and one line out for each line in."""

import gzip
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terminal import on_terminal
from training import fork_tx, inside, model, shared
from tx.text.lines import read_lines

SHORT = ["--max-len-ratio", "0", "--max-len-extra", "4", "--threads", "1"]  # it has learned nothing anyway
LINES = ["They will eat a cake.", "", "The child brought five coats yesterday.", "x"]


def translate(*words: str, stdin: bytes = b"", package: Path | None = None) -> Any:
    return fork_tx(["translate", "-m", str(package or model()), *SHORT, *words], stdin=stdin)


def text(*lines: str) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


# -- lines ------------------------------------------------------------------------------------------


def test_a_line_for_each_line_in_order() -> None:
    done = translate(stdin=text(*LINES))
    out = done.out.split("\n")
    assert (done.status, done.err) == (0, "")
    assert len(out) == 5 and out[1] == "" and out[4] == ""
    alone = [translate(stdin=text(line)).out for line in LINES]
    assert done.out == "".join(alone)


@pytest.mark.parametrize(
    ("given", "n_lines", "said"),
    [
        (b"", 0, ""),
        (b"\n\n\n", 3, ""),
        (b"no final newline", 1, ""),
        (b"a\r\nb\r\n", 2, ""),
        ("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\rh\n".encode(), 1, ""),
        (b"a\0b\n\0\n", 2, ""),
        (b"caf\xe9\nna\xefve\nok\n", 3, "line 1 is not valid UTF-8"),
        (b"\xef\xbb\xbfa\n", 1, ""),
        ("\U0001f600 \u202e\u0301 \ud7ff\n".encode(), 1, ""),
        (b"   \t \n", 1, ""),
        (b"word " * 3000 + b"\nshort\n", 2, "line 1 is too long, and was translated in"),
        (b"x" * 5000 + b"\n", 1, "line 1 is too long"),
    ],
)
def test_there_is_a_line_out_for_each_line_in(given: bytes, n_lines: int, said: str) -> None:
    done = translate(stdin=given)
    assert done.status == 0, done.err
    assert done.out.count("\n") == n_lines and (done.out == "" or done.out.endswith("\n"))
    assert len(re.findall("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029\r]", done.out)) == 0
    assert (said in done.err) if said else done.err == ""
    assert translate("-q", stdin=given).err == ""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12)))
def test_any_text_gives_as_many_lines(lines: list[str]) -> None:
    plain = translate("-b", "1", stdin=text(*lines))
    assert plain.status == 0 and plain.out.count("\n") == len(lines)
    for line, out in zip(lines, plain.out.split("\n"), strict=False):
        assert line.strip() or out == ""


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200).filter(lambda data: not data.startswith(b"\x1f\x8b")))  # gzip is refused
def test_any_bytes_give_as_many_lines(data: bytes) -> None:
    done = translate("-b", "1", stdin=data)
    assert done.status == 0, done.err
    assert done.out.count("\n") == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


# -- options ----------------------------------------------------------------------------------------


def test_n_best_gives_n_lines_best_first() -> None:
    done = translate("-n", "3", "--scores", "-b", "4", stdin=text(*LINES))
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert len(rows) == 12 and {len(row) for row in rows} == {2}
    assert rows[3:6] == [["", ""]] * 3, "a blank line has no translations"
    for first in (0, 6, 9):
        scores = [float(score) for score, _ in rows[first : first + 3]]
        assert scores == sorted(scores, reverse=True)
    best = translate("-b", "4", stdin=text(*LINES)).out.splitlines()
    assert best == [row[1] for row in rows[::3]]


def test_json_has_all_translations_and_scores() -> None:
    done = translate("--json", "-n", "2", stdin=text(*LINES, "\u2028 'ü\""))
    found = [json.loads(line) for line in done.out.split("\n")[:-1]]
    assert [entry["src"] for entry in found] == [*LINES, "\u2028 'ü\""]
    assert [len(entry["translations"]) for entry in found] == [2, 0, 2, 2, 2]
    plain = translate(stdin=text(*LINES)).out.split("\n")
    assert [entry["translations"][0]["text"] for entry in found[2:4]] == plain[2:4]
    assert all(
        set(t) == {"text", "score", "logprob", "cut"} for entry in found for t in entry["translations"]
    )


def test_sampling_depends_on_the_seed_alone() -> None:
    once, again = (translate("--sample", "--seed", "3", stdin=text(*LINES * 5)).out for _ in range(2))
    assert once == again
    assert translate("--sample", "--seed", "4", stdin=text(*LINES * 5)).out != once
    assert len(set(once.splitlines()[::4])) > 1, "equal lines are drawn independently"
    cold = translate("--sample", "--top-k", "1", stdin=text(*LINES)).out
    assert cold == translate("-b", "1", stdin=text(*LINES)).out


@pytest.mark.parametrize(
    ("n", "what"),
    [(1, "ends after line 1, before the source"), (9, "has more lines than the source")],
)
def test_prefixes_that_do_not_match_the_source_are_refused(tmp_path: Path, n: int, what: str) -> None:
    prefixes = tmp_path / "prefixes"
    prefixes.write_text("\n" * n)
    done = translate("--prefix", str(prefixes), stdin=text(*LINES))
    assert done.status == 1 and what in done.err and "one line for each line of the source" in done.err


def test_a_prefix_is_how_the_translation_begins(tmp_path: Path) -> None:
    prefixes = tmp_path / "prefixes"
    prefixes.write_text("Sie werden\n\nDas Kind\n\n")
    out = translate("--prefix", str(prefixes), stdin=text(*LINES)).out.splitlines()
    assert out[0].startswith("Sie werden") and out[1] == "" and out[2].startswith("Das Kind")
    assert out[3] == translate(stdin=text(LINES[3])).out.strip("\n")


def test_files_in_and_out(tmp_path: Path) -> None:
    plain, packed, out = tmp_path / "a.txt", tmp_path / "b.txt.gz", tmp_path / "out.gz"
    plain.write_bytes(text(*LINES))
    packed.write_bytes(gzip.compress(text("They will eat a cake.")))
    done = translate(str(plain), str(packed), "-o", str(out))
    assert (done.status, done.out) == (0, "")
    assert list(read_lines(out)) == translate(stdin=text(*LINES, LINES[0])).out.split("\n")[:-1]
    assert translate("-i", str(packed)).out == translate(stdin=text(LINES[0])).out


def test_a_failure_leaves_no_partial_file(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gz"
    bad.write_bytes(gzip.compress(text(*LINES * 9))[:-9])
    done = translate(str(bad), "-o", str(tmp_path / "out"))
    assert done.status == 1 and "damaged" in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["bad.gz"]


# -- what cannot work -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--temperature", "0.5"], 2, "add --sample"),
        (["--seed", "2"], 2, "add --sample"),
        (["--sample", "-n", "2"], 2, "cannot be combined with --n-best or --beam-size"),
        (["--sample", "-b", "4"], 2, "cannot be combined with --n-best or --beam-size"),
        (["--max-len-extra", "0"], 2, "leave no room for a translation"),
        (["-b", "2", "-n", "3"], 2, "--n-best 3 needs a beam size of 3"),
        (["-b", "0"], 2, ""),
        (["a.txt", "-i", "b.txt"], 2, "given twice"),
        (["nowhere.txt"], 1, "there is no file nowhere.txt"),
        (["--prefix", "nowhere.txt"], 1, "there is no file nowhere.txt"),
        (["--device", "gpu"], 1, "there is no device called 'gpu'"),
        (["-o", "/dev/null/x"], 1, "cannot write /dev/null/x: there is no folder /dev/null"),
        (["-o", "/nonexistent/x"], 1, "there is no folder /nonexistent"),
        (["-o", "/tmp"], 1, "cannot write /tmp: it is a folder"),
    ],
)
def test_invalid_options_are_reported(words: list[str], status: int, said: str) -> None:
    refused = translate(*words, stdin=text(*LINES))
    assert refused.status == status and said in refused.err, refused.err
    assert not Path("/nonexistent").exists()
    assert "bug in tx" not in refused.err and "Traceback" not in refused.err


def test_the_model_must_exist_and_be_a_translator() -> None:
    missing = translate(package=Path("nowhere"))
    assert missing.status == 1 and "nowhere" in missing.err
    tokenizer = translate(package=shared() / "tokenizer")
    assert tokenizer.status == 1 and "is a tokenizer package" in tokenizer.err


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "m"
    shutil.copytree(model(), out)
    weights = bytearray((out / "weights.safetensors").read_bytes())
    weights[-100] ^= 1
    (out / "weights.safetensors").write_bytes(weights)
    refused = translate(package=out, stdin=b"a\n")
    assert refused.status == 1 and "is damaged" in refused.err and refused.out == ""


def test_the_note_on_terminal_input_comes_before_the_model_is_loaded() -> None:
    shown = on_terminal("translate", "-m", str(shared() / "tokenizer"))
    told, refused = shown.find("reading lines from the terminal"), shown.find("is a tokenizer package")
    assert 0 <= told < refused, shown


def test_the_only_model_need_not_be_named() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)

        def nameless() -> Any:
            def elsewhere() -> None:
                import os

                os.environ["TX_HOME"] = str(folder / "home")

            with inside(folder):
                return fork_tx(["translate", *SHORT], elsewhere, stdin=text(*LINES))

        none = nameless()
        assert none.status == 1 and "there is no translation package" in none.err
        shutil.copytree(model(), folder / "models" / "one")
        shutil.copytree(shared() / "tokenizer", folder / "models" / "tokenizer")
        only = nameless()
        assert only.status == 0 and only.out == translate(stdin=text(*LINES)).out
        shutil.copytree(model(), folder / "two")
        both = nameless()
        assert both.status == 1 and "models/one" in both.err and "two" in both.err


@pytest.mark.parametrize("command", ["evaluate", "score"])
def test_unequal_files_are_reported_with_the_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "src").write_bytes(text(*LINES))
    (tmp_path / "ref").write_bytes(text(*LINES[1:]))
    with inside(tmp_path):
        refused = fork_tx([command, "-m", str(model()), "src", "ref"])
    assert refused.status == 1
    assert "src has 4 lines but ref has 3 lines; they seem to get out of step near line 2," in refused.err
    assert "hint: compare the lines: paste src ref | sed -n '1,4p'" in refused.err


def test_evaluate_checks_its_output_file_first(tmp_path: Path) -> None:
    (tmp_path / "src").write_bytes(text(*LINES))
    words = ["evaluate", "-m", str(model()), str(tmp_path / "src"), str(tmp_path / "src"), "--no-store"]
    refused = fork_tx([*words, "-o", str(tmp_path / "no" / "out")])
    assert refused.status == 1 and "there is no folder" in refused.err and refused.out == ""
    assert not (tmp_path / "no").exists()
