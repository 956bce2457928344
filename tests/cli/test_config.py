"""`tx config`, and the flags made from the configuration's fields."""

import subprocess
import sys
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from tx.cli.options import collect_flags, config_flags
from tx.config.catalog import recipe_names
from tx.config.schema import has_model, option
from tx.tasks import resolve, translation

throwaway = typer.Typer()


@throwaway.command()
@config_flags
def command(name: Annotated[str, typer.Argument()], **flags: Any) -> None:
    """Print the flags that were given."""
    print(name, collect_flags(flags))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(throwaway, arguments, env={"COLUMNS": "200", "NO_COLOR": "1"})


# Flags


def test_the_list_of_flags_is_kept_short_on_purpose() -> None:
    """Whoever adds a flag changes this list, and thinks twice: `--set` reaches every key."""
    data = ["--tokenizer", "--vocab-size", "--embeddings"]
    optimizer = ["--grad-accum", "--lr", "--schedule", "--warmup-steps"]
    end = ["--max-steps", "--max-epochs", "--max-time", "--eval-every", "--patience"]
    machine = ["--precision", "--device", "--threads", "--tensorboard", "--no-tensorboard"]
    machine += ["--compile", "--no-compile"]
    size = ["--batch-tokens", "--batch-size", "--seq-len", "--seed"]
    words = ["--dim", "--method", "--window", "--negative", "--min-count", "--subsample", "--epochs"]
    words += ["--phrases", "--no-phrases", "--engine"]
    speech = ["--init-from", "--language", "--task", "--also-valid", "--audio-window", "--freeze-encoder"]
    speech += ["--no-freeze-encoder", "--lora", "--strict", "--no-strict"]
    assert [
        name for name, _ in flags_of_the_help_page()
    ] == data + optimizer + end + machine + size + words + speech


def flags_of_the_help_page() -> list[tuple[str, str]]:
    """Each long flag in the panels Data and Training, with its help."""
    page = run("--help").stdout
    lines = [line.strip(" │|") for line in page[page.index("Data") :].split("\n")]
    return [(word, line) for line in lines for word in line.split() if word.startswith("--")]


def test_no_flag_is_nothing_given() -> None:
    assert run("x").stdout == "x {}\n"


def test_flags_that_were_given_have_their_keys_and_types() -> None:
    result = run(
        *("--lr", "3", "x", "--no-compile", "--max-steps", "0", "--seed", "2", "--schedule", "cosine"),
        *("--vocab-size", "90", "--max-time", "90"),
    )
    given = {
        "data.vocab_size": 90,
        "train.lr": 3.0,
        "train.schedule": "cosine",
        "train.max_steps": 0,
        "train.max_time": "90",
        "train.compile": False,
        "seed": 2,
    }
    assert result.stdout == f"x {given}\n"
    assert resolve(flags=given).config.train.max_time == "90"


def test_help_has_the_words_defaults_and_choices_of_the_fields() -> None:
    told = dict(flags_of_the_help_page())
    assert "Peak learning rate (default 0.001)" in told["--lr"]
    assert "inverse-sqrt|cosine|linear|constant" in told["--schedule"]
    assert "(default inverse-sqrt)" in told["--schedule"]
    assert "default" not in told["--max-time"]


def test_what_is_no_number_or_choice_is_wrong_usage() -> None:
    for arguments in (["--lr", "high"], ["--seed", "1.5"], ["--schedule", "cosin"]):
        result = run("x", *arguments)
        assert result.exit_code == 2
        assert arguments[0] in result.output


def test_the_environment_is_left_to_the_resolution() -> None:
    """Typer would read TX_TRAIN_LR for `tx train --lr`, and then it would count as a flag."""
    result = CliRunner().invoke(throwaway, ["x"], auto_envvar_prefix="TX", env={"TX_LR": "7"})
    assert result.stdout == "x {}\n"


def test_making_flags_needs_no_torch() -> None:
    code = "import sys, tx.cli.options, tx.config.resolve; print({'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# The command


@pytest.fixture
def tx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `tx` in an empty folder; a TxError comes back as `.exception`."""
    from tx.cli.app import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(app, ["config", *arguments])


def test_alone_it_lists_the_recipes(tx: Any) -> None:
    header, *rows = (line.split("\t") for line in tx().stdout.split("\n")[:-1])
    assert len(header) == 2
    assert [name for name, _ in rows] == recipe_names()
    assert all(what and not what.startswith("#") for _, what in rows)


@pytest.mark.parametrize("name", [*recipe_names(), "transformer", "rnn-lm"])
def test_what_it_prints_is_the_same_configuration(name: str, tx: Any, tmp_path: Path) -> None:
    """`tx config NAME > run.toml` and then `tx config run.toml`: every key, nothing changed."""
    from tx.models import load_architecture

    first = tx(name)
    assert first.exit_code == 0, first.exception
    (tmp_path / "run.toml").write_text(first.stdout)
    again, direct = resolve("run.toml"), resolve(name)
    if has_model(type(direct.config)):
        architecture = load_architecture(direct.config.arch).Config
        assert again.check_model(architecture) == direct.check_model(architecture)
    assert again.config == direct.config
    assert set(again.origins.values()) == {"run.toml"}
    assert first.stdout.endswith(tx("run.toml").stdout)
    sections = {"translation": {"model", "decode"}, "language-model": {"model"}, "vectors": {"word2vec"}}
    sections |= {"speech": {"finetune"}, "tagging": {"model"}}
    assert set(tomllib.loads(first.stdout)) == {"arch", "seed", "data", "train"} | sections[again.config.task]


def test_set_and_origins(tx: Any) -> None:
    result = tx("transformer-xs", "--set", "train.lr=3e-4", "--set", "model.d_ff=100", "--origins")
    lines = {line.split(" = ")[0]: line.split() for line in result.stdout.split("\n") if " = " in line}
    assert lines["lr"][2:] == ["0.0003", "#", "--set"]
    assert lines["d_ff"][2:] == ["100", "#", "--set"]
    assert lines["arch"][3:] == ["#", "recipe", "transformer-xs"]
    assert lines["beta2"][3:] == ["#", "default"]


def test_unknown_recipes_and_keys(tx: Any) -> None:
    assert tx("transformer-xz").exception.hint == "did you mean 'transformer-xs'?"
    error = tx("transformer-xs", "--set", "model.d_modle=3").exception
    assert error.message == "--set: model.d_modle: no such key; did you mean 'd_model'?"
    assert error.exit_code == 2
    sets = ("model.dmodel=3", "train.lrr=3", "foo=3", "decode.top_k=1")
    error = tx("transformer-xs", *(f"--set={setting}" for setting in sets)).exception
    told = error.message.split("\n")
    assert told[0] == "4 errors in the configuration" and error.exit_code == 2
    assert sorted(line.split(": ")[1] for line in told[1:]) == [
        "decode.top_k",
        "foo",
        "model.dmodel",
        "train.lrr",
    ]
    error = tx("transformer-xs", "--set", "model.dmodel=3", "--set", "arch=transfomer").exception
    assert error.message.startswith("--set: arch: no architecture 'transfomer'")


def test_a_new_field_gets_its_flag_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Extra(translation.TrainConfig):
        warp: int = option(9, "How fast", flag=True)

    @dataclass
    class Config(translation.Config):
        train: Extra = field(default_factory=Extra)

    monkeypatch.setattr("tx.cli.options.TASKS", {"other": replace(translation.TASK, config=Config)})

    @config_flags
    def other(**flags: Any) -> None:
        print(collect_flags(flags))

    app = typer.Typer()
    app.command()(other)
    assert CliRunner().invoke(app, ["--warp", "3"]).stdout == "{'train.warp': 3}\n"
    assert (
        "How fast (translation models only; default 9)"
        in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    )
