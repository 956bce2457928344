"""Wrong options, values and commands give two lines and status 2; NO_COLOR removes all escape sequences."""

import subprocess
import sys

import pytest

from terminal import on_terminal
from tx.cli.app import main


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            "translate --beam-sise 3",
            "`tx translate` has no option --beam-sise",
            "did you mean '--beam-size'?",
        ),
        (
            "translate --qqq",
            "`tx translate` has no option --qqq",
            "`tx translate --help` lists the options",
        ),
        ("translate -b 0", "--beam-size: expected 1 or more, got 0", "`tx translate --help` lists"),
        ("translate -b 2.5", "--beam-size: expected a whole number, got 2.5", "`tx translate --help`"),
        ("translate --temperature 0", "--temperature: expected 0.01 or more, got 0", "--help"),
        ("translate --top-p 2", "--top-p: expected 1 or less, got 2", "--help"),
        ("train --lr abc", "--lr: expected a number, got abc", "`tx train --help`"),
        ("score r --paired x", "--paired: 'x' is not one of 'bootstrap', 'randomization', 'none'", "--help"),
        ("score", "missing reference file", "tx score REF... < HYP"),
        ("translate -b", "-b needs an N", "`tx translate --help`"),
        ("translate --alignments", "--alignments needs a FILE", "`tx translate --help`"),
        ("plot map --side", "--side needs one of src, tgt", "`tx plot map --help`"),
        ("generate --max-tokens 9", "`tx generate` has no option --max-tokens", "did you mean '--length'?"),
        ("transalte", "no such command 'transalte'", "did you mean 'translate'"),
        ("models lst", "no such command 'lst'", "did you mean 'list'?"),
        ("models path a b", "too many arguments: b", "`tx models path --help`"),
    ],
)
def test_wrong_usage_is_an_error_and_a_hint(
    words: str, message: str, hint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["tx", *words.split()])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    first, second, end = err.split("\n")
    assert (first, end) == (f"tx: error: {message}", "")
    assert second.startswith("  hint: ") and hint in second


@pytest.mark.parametrize("words", [(), ("models",)])
def test_without_a_command_the_help_is_printed_and_the_status_is_2(words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", "tx", *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "") and "Usage: " in done.stdout


@pytest.mark.parametrize("words", [("--help",), ("transalte",)])
def test_no_color_means_no_escapes_at_all(words: tuple[str, ...]) -> None:
    assert "\x1b[" in on_terminal(*words)
    plain = on_terminal(*words, NO_COLOR="1")
    assert "translate" in plain and "\x1b" not in plain
