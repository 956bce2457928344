"""`tx models`: its output in pipes and on terminals, without loading torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from packages import fill, tokenizer_at, translator
from terminal import on_terminal
from tx.cli import console
from tx.cli.app import main
from tx.package import write_package


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one translator, and a user with one tokenizer."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    write_package(folder / "de-en", fill(1), **translator())
    tokenizer_at(tmp_path / "home" / "models" / "bpe")
    return folder


@pytest.fixture
def tx(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """A function that runs the whole command in this process; it gives stdout and stderr."""

    def run(*arguments: str, status: int = 0) -> tuple[str, str]:
        console.set_quiet(False)  # whatever another test has left
        monkeypatch.setattr(sys, "argv", ["tx", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        assert (caught.value.code or 0) == status, err
        return out, err

    return run


def test_list_is_tab_separated_in_a_pipe(here: Path, tx) -> None:
    size = sum(
        (here / "de-en" / name).stat().st_size for name in ("weights.safetensors", "src.txt", "tgt.txt")
    )
    home = here.parent / "home" / "models" / "bpe"
    tokenizer_size = (home / "tokenizer.txt").stat().st_size
    assert tx("models", "list")[0].split("\n") == [
        "name\ttask\tarch\tsize\tscore\tpath",
        f"de-en\ttranslation\ttransformer\t{size}\tBLEU 31.25 on test.en (nrefs:1|tok:13a)\tde-en",
        f"bpe\ttokenizer\t-\t{tokenizer_size}\t-\t{home}",
        "",
    ]
    listed = json.loads(tx("models", "list", "--json")[0])
    assert [entry["name"] for entry in listed] == ["de-en", "bpe"]
    assert listed[0]["score"]["value"] == 31.25 and listed[1]["score"] is None
    assert Path(listed[0]["path"]) == here / "de-en"


def test_a_narrow_terminal_shows_fewer_columns_and_whole_numbers(here: Path) -> None:
    wide = on_terminal("models", "list", columns=200, NO_COLOR="1").split("\n")
    assert wide[0].split() == ["name", "task", "arch", "size", "score", "path"]
    assert "BLEU 31.25 on test.en " in wide[1] and "nrefs" not in wide[1]
    narrow = on_terminal("models", "list", columns=40, NO_COLOR="1").split("\n")
    assert narrow[0].split() == ["name", "task", "size", "score"]
    size = wide[1].split()[3]
    assert len(narrow) <= 6 and f"  {size} B  " in narrow[1] and max(map(len, narrow)) <= 40


def test_list_warns_of_damaged_packages(here: Path, tx) -> None:
    (here / "de-en" / "model.json").write_text("{")
    out, err = tx("models", "list")
    assert out.split("\n")[1].startswith("bpe\t") and out.count("\n") == 2
    assert "skipped de-en" in err and "damaged" in err


def test_list_reports_that_there_are_no_packages(here: Path, tx, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "empty").mkdir()
    monkeypatch.chdir(here / "empty")
    monkeypatch.setenv("TX_HOME", str(here / "nowhere"))
    out, err = tx("models", "list")
    assert out == "" and "no packages found" in err


def test_show_verifies_and_prints_everything(here: Path, tx) -> None:
    out, _ = tx("models", "show", "de-en")
    rows = [tuple(line.split("\t")) for line in out.splitlines()]
    table = dict(rows)
    assert all(len(row) == 2 for row in rows)
    assert table["name"] == "de-en" and table["path"] == str(here / "de-en")
    assert table["parameters"] == "15"
    assert table["config.d_model"] == "1" and table["data.dropped.empty"] == "1"
    assert table["data.files.1.name"] == "train.de" and table["tokenizers.src.kind"] == "word"
    assert "verified" in table["file weights.safetensors"]
    shown = json.loads(tx("models", "show", "./de-en", "--json")[0])
    manifest = json.loads((here / "de-en" / "model.json").read_text())
    assert {key: shown[key] for key in manifest} == manifest
    assert shown["n_parameters"] == 15
    with (here / "de-en" / "src.txt").open("a") as file:
        file.write("x")
    out, err = tx("models", "show", "de-en", status=1)
    assert out == "" and err.count("\n") == 2 and "src.txt is damaged" in err and "hint:" in err


def test_untrusted_text_has_no_control_characters(here: Path, tx) -> None:
    config = {"x": "a\tb\n\x1b[31mred\u2028"}
    write_package(here / "evil", fill(1), **{**translator(), "arch": "\x1b]0;gone\x07", "config": config})
    for command in (("list",), ("show", "evil")):
        out, _ = tx("models", *command)
        assert not {"\x1b", "\x07", "\u2028"} & set(out)
        assert {line.count("\t") for line in out.split("\n")[:-1]} == {5 if command == ("list",) else 1}


def test_path_prints_one_absolute_path(here: Path, tx) -> None:
    assert tx("models", "path", "de-en")[0] == f"{here / 'de-en'}\n"
    _, err = tx("models", "path", "de-em", status=1)
    assert "no package called 'de-em'" in err and "did you mean 'de-en'?" in err


def test_default_is_set_shown_and_removed(here: Path, tx) -> None:
    out, err = tx("models", "default", "translation")
    assert out == "" and "no default" in err
    tx("models", "default", "translation", "de-en")
    tx("models", "default", "tokenizer", "bpe")
    assert tx("models", "default", "translation")[0] == f"{here / 'de-en'}\n"
    assert tx("models", "default", "tokenizer")[0] == "bpe\n"
    assert "is a tokenizer package" in tx("models", "default", "translation", "bpe", status=1)[1]
    assert tx("models", "default", "translation")[0] == f"{here / 'de-en'}\n"
    tx("models", "default", "translation", "--unset")
    assert tx("models", "default", "translation")[0] == ""
    for words in (["translaton"], ["translaton", "de-en"], ["translaton", "--unset"]):
        err = tx("models", "default", *words, status=2)[1]
        assert "there is no task 'translaton'" in err and "did you mean 'translation'?" in err
    assert "the tasks are translation, " in tx("models", "default", "foo", "de-en", status=2)[1]
    assert "--unset takes no package" in tx("models", "default", "translation", "bpe", "--unset", status=2)[1]


@pytest.mark.parametrize("command", [[], ["list"], ["show"], ["path"], ["default"]])
def test_help_has_examples_and_documents_every_option(tx, command: list[str]) -> None:
    out, err = tx("models", *command, "-h")
    assert out == tx("models", *command, "--help")[0] and err == ""
    if command:
        assert f"tx models {command[0]}" in out


def test_torch_is_not_imported() -> None:
    script = """
import sys, tx.package
print({"torch", "numpy", "typer"} & set(sys.modules))
import tx.cli.app
print({"torch"} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\nset()\n"
