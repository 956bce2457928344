"""`tx data check` on datasets with known faults: its report and its exit status."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from media import beeps, write_media
from tx.cli.app import app
from tx.errors import TxError

SRT = "1\n00:00:00,100 --> 00:00:00,900\nGuten Morgen.\n"


def check(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["data", "check", *map(str, args)])


def error_of(done: Result) -> TxError:
    assert isinstance(done.exception, TxError), done.output
    return done.exception


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(2):
        write_media(tmp_path / f"{i}.wav", beeps(1.0, (0.2,), pitch=300.0 + 100 * i))
        (tmp_path / f"{i}.srt").write_text(SRT)
    return tmp_path


def test_without_pyav_the_error_is_not_a_problem_of_an_item(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    done = check(folder)
    assert done.exit_code == 1 and done.stdout == ""
    error = error_of(done)
    assert (error.message, error.hint) == ("reading audio and video needs PyAV", "pip install 'tx[whisper]'")


def test_other_files_of_a_shell_pattern_are_problems(folder: Path) -> None:
    (folder / "lone.srt").write_text(SRT)
    (folder / "notes.docx").write_bytes(b"PK")
    given = sorted(folder.glob("*"))
    done = check(*given)
    assert done.exit_code == 0, done.output
    assert "2 skipped: no speech" in done.stdout
    assert f"  {folder / 'lone.srt'} has no audio or video file of the same name" in done.stdout
    assert f"  {folder / 'notes.docx'} is not a speech dataset" in done.stdout
    assert check(*given, "--strict").exit_code == 1
    for stray in ("lone.srt", "notes.docx"):
        assert str(folder / stray) in error_of(check(folder / stray)).message
    assert "lone.srt" in error_of(check(folder / "lone.srt", folder / "notes.docx")).message
    assert "there is no" in error_of(check(*given, folder / "typo.wav")).message


def test_a_dataset_without_usable_items_is_an_error(folder: Path) -> None:
    table = folder / "set.tsv"
    table.write_text("path\ttext\ngone.wav\ta\n")
    done = check(table)
    assert done.exit_code == 1 and "1 skipped: missing media" in done.stdout
    assert error_of(done).message == f"no usable items in {table}"


def test_an_unknown_language_is_an_error(folder: Path) -> None:
    error = error_of(check(folder, "--language", "xx"))
    assert error.exit_code == 2 and error.message == "Whisper knows no language 'xx'"
    assert error_of(check(folder, "--language", "deutsh")).hint == "did you mean 'deutsch'?"
    assert check(folder, "--language", "de_DE").exit_code == 0
