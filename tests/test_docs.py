"""The documentation: generated pages are up to date, commands that it shows exist, and its internal links work."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
from typer.main import get_command

import tx
from media import beeps, write_media
from training import home, model, shared
from tx.cli.app import app
from tx.config.catalog import recipe_names
from whisper import write_tiny_whisper

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
        ROOT / "benchmarks/README.md",
    ]
)
SCRIPTS = sorted(ROOT.glob("examples/**/*.sh"))
SOURCES = sorted(ROOT.glob("src/tx/**/*.py"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/reference.py as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.delitem(sys.modules, "reference", raising=False)
    import reference

    return reference


def test_the_generated_pages_are_up_to_date(reference: ModuleType) -> None:
    for name, text in reference.pages().items():
        path = ROOT / "docs" / "reference" / name
        assert path.read_text(encoding="utf-8") == text, f"{name}: run python scripts/reference.py"


# --- commands


def code_lines(text: str) -> Iterator[str]:
    """The lines of indented and fenced code blocks, without Python code, and inline code that starts with `tx`."""
    text = text.replace("\\\n", " ")
    fence = None
    for line in text.splitlines():
        if match := re.match(r"\s*```(\w*)", line):
            fence = None if fence is not None else match[1]
        elif fence in ("", "sh", "console") or (fence is None and line.startswith("    ")):
            yield line
        else:
            yield from re.findall(r"`(tx [^`]+)`", line)


def commands(line: str) -> Iterator[list[str]]:
    """The arguments of each call of tx in a line of shell code."""
    if not re.search(r"\btx\s", line):
        return
    lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:  # a quotation mark in a line of output
        return
    call: list[str] = []
    for token in [*tokens, ";"]:
        if token and set(token) <= set("|&;<>()"):
            if call[:1] == ["tx"]:
                yield call[1:]
            call = []
        else:
            call.append(token)


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    for path in PAGES:
        for line in code_lines(path.read_text(encoding="utf-8")):
            yield from ((named(path), call) for call in commands(line))
    for path in SOURCES:  # docstrings, hints and messages
        for line in re.findall(r"`(tx [a-z][^`]*)`", path.read_text(encoding="utf-8")):
            yield from ((named(path), call) for call in commands(line))
    for path in SCRIPTS:
        for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            yield from ((named(path), call) for call in commands(line))


def fault(call: list[str]) -> str | None:
    """What is wrong with the arguments of a call of tx: an unknown command, option or choice; None if nothing is."""
    command = get_command(app)
    context = command.make_context("tx", [], resilient_parsing=True)
    arguments = list(call)
    while hasattr(command, "get_command"):
        if not arguments or arguments[0].startswith("-"):
            break
        name = arguments.pop(0)
        if name.isupper():  # a placeholder, as in `tx COMMAND --help`
            return None
        command = command.get_command(context, name)
        if command is None:
            return f"no command {name}"
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    arguments = [argument for argument in arguments if argument not in ("--help", "-h")]
    context.resilient_parsing = False
    try:
        values, _, _ = command.make_parser(context).parse_args(arguments)
    except Exception as error:
        return str(error)
    for param in command.params:
        value, choices = values.get(param.name), get_args(param.type_descriptor.annotation)
        if (
            isinstance(value, str)
            and choices
            and value not in choices
            and all(isinstance(c, str) for c in choices)
        ):
            return f"{value} is none of {', '.join(choices)}"
    if call[0] == "train" and len(call) > 1 and re.fullmatch(r"[a-z]+-[a-z]+", call[1]):
        return None if call[1] in recipe_names() else f"no recipe {call[1]}"
    return None


def test_every_command_line_that_is_shown_is_valid() -> None:
    calls = list(shown_commands())
    assert len(calls) > 200
    faults = [f"{page}: tx {shlex.join(call)}: {wrong}" for page, call in calls if (wrong := fault(call))]
    assert not faults, "\n".join(faults)


def test_an_invalid_command_line_is_noticed() -> None:
    for line in (
        "tx no-command",
        "head a | tx translate --no-such-option",
        "tx transcribe -f no-format a.mp4",
        "tx train no-recipe a b",
    ):
        [call] = commands(line)
        assert fault(call), line


# --- links


def content(path: Path) -> str:
    """A page with the files that it includes, without its code blocks."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(
        r'^--8<-- "(.+)"$', lambda match: (ROOT / match[1]).read_text(encoding="utf-8"), text, flags=re.M
    )
    return re.sub(r"^```.*?^```|^    .*?$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_every_internal_link_leads_somewhere() -> None:
    faults = []
    for path in PAGES:
        text = content(path)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not file.exists() or (anchor and anchor not in anchors(content(file))):
                faults.append(f"{named(path)}: {target}")
    assert not faults, "\n".join(faults)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for path in ROOT.glob("docs/**/*.md"):
        assert path.relative_to(ROOT / "docs").as_posix() in navigation, path


# --- Python


CONLL = "Anna B-PER\nlives O\nin O\nBerlin B-LOC\n. O\n\n"
TINY_TOML = """
arch = "transformer"
data.vocab_size = 400
model = {d_model = 8, d_ff = 8, n_heads = 2, n_encoder_layers = 1, n_decoder_layers = 1}
train = {max_steps = 2, batch_tokens = 200, threads = 1}
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with tiny data and packages under the names of the examples."""
    for name, value in home().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shared(), "data", ignore=shutil.ignore_patterns("model", "tokenizer"))
    for side in ("en", "de"):
        shutil.copy(f"data/valid.{side}", f"data/test.{side}")
    Path("en-de.toml").write_text(TINY_TOML)
    Path("text").write_text("king queen man woman king man queen woman what say\n" * 200)
    Path("train.conll").write_text(CONLL * 40)
    for name in ("en-de", "de-en"):
        shutil.copytree(model(), name)
    few = {"max_steps": 2, "threads": 1, "quiet": True}
    tx.train("rnn-lm", "text", output="bard", set={"model.d_model": 8, "model.n_layers": 1}, **few)
    tx.train("word2vec", "text", output="vectors", dim=8, epochs=1, engine="gensim", threads=1, quiet=True)
    tx.train("tagger", "train.conll", output="names", set={"data.vocab_size": 300}, **few)
    write_tiny_whisper(Path("my-whisper"))
    write_media(Path("talk.mp4"), beeps(2.0), codec="aac")


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md", "docs/reference/python.md"])
def test_the_python_examples_run(page: str, packages: None) -> None:
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)
