"""`tx` in pipelines: real processes, real pipes, and their exit codes."""

import os
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from training import home, model

TX = f"{shlex.quote(sys.executable)} -m tx"
FAST = "--threads 1 -b 1 --max-len-ratio 0 --max-len-extra 4"


def environment() -> dict[str, str]:
    return os.environ | home() | {"OMP_NUM_THREADS": "1"}


def shell(line: str) -> Any:
    """Run a line of bash with $tx standing for the command, and $m for a model."""
    variables = environment() | {"tx": TX, "m": str(model())}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=variables)


def start(*words: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tx", "translate", "-m", str(model()), *FAST.split(), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment())


def answer(process: "subprocess.Popen[bytes]", question: bytes) -> bytes:
    """Write lines, and read as many before anything else is written; waits until they come."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(question)
    process.stdin.flush()
    received = b""
    while received.count(b"\n") < question.count(b"\n") and (
        chunk := os.read(process.stdout.fileno(), 1 << 16)
    ):
        received += chunk
    return received


def test_each_line_is_answered_before_the_next_is_sent_and_ctrl_c_ends_it() -> None:
    process = start()
    for question in (b"They will eat a cake.\n", b"\n", "Größe\n".encode(), b"one\ntwo\n"):
        assert answer(process, question).count(b"\n") == question.count(b"\n"), process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")


def test_a_pipe_closed_by_head_is_silent() -> None:
    done = shell(
        f'yes "They will eat a cake." | head -2000 | $tx translate -m $m {FAST} | head -1; echo "${{PIPESTATUS[@]}}"'
    )
    assert done.stderr == ""
    first, statuses = done.stdout.splitlines()
    assert statuses.split()[2] == "0" and "\x1b" not in first


def test_a_closed_or_full_standard_stream_is_an_error() -> None:
    lines = [f"echo a | $tx translate -m $m {FAST} {end}" for end in (">&-", "<&-", "> /dev/full")]
    with ThreadPoolExecutor() as pool:
        no_output, no_input, full = pool.map(shell, lines)
    assert no_output.returncode == 1 and "standard output is closed" in no_output.stderr
    assert no_input.returncode == 1 and "standard input is closed" in no_input.stderr
    assert no_input.stdout == ""
    if Path("/dev/full").exists():
        assert full.returncode == 1 and "cannot write standard output: No space left" in full.stderr
        assert full.stderr.count("\n") == 2, "an error and its hint, and nothing when Python exits"


def test_commands_form_a_pipeline_without_colours() -> None:
    done = shell(
        f"export FORCE_COLOR=1; printf 'They will eat a cake.\\n\\nx' | $tx translate -m $m {FAST}"
        " | tee /dev/stderr | $tx tokenize -m $m | tee /dev/stderr | wc -l"
    )
    assert done.stdout.strip() == "3"
    assert done.stderr.count("\n") == 6 and "\x1b" not in done.stderr


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from tx.cli.app import main
for words in (["--help"], ["train", "--help"], ["translate", "-h"], ["train", "--helf"]):
    sys.argv = ["tx", *words]
    try:
        main()
    except SystemExit:
        pass
print("HEAVY", *sorted({"torch", "sentencepiece", "sacrebleu", "numpy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--max-time" in done.stdout and "--n-best" in done.stdout
    assert done.stdout.splitlines()[-1] == "HEAVY"
