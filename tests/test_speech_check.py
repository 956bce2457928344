"""`tx data check` as people call it, on sets with known faults: what it says, and its exit status."""

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


def told(done: Result) -> TxError:
    assert isinstance(done.exception, TxError), done.output
    return done.exception


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(2):
        write_media(tmp_path / f"{i}.wav", beeps(1.0, (0.2,), pitch=300.0 + 100 * i))
        (tmp_path / f"{i}.srt").write_text(SRT)
    return tmp_path


def test_without_pyav_no_item_is_to_blame(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    done = check(folder)
    assert done.exit_code == 1 and done.stdout == ""
    error = told(done)
    assert (error.message, error.hint) == ("reading audio and video needs PyAV", "pip install 'tx[whisper]'")
