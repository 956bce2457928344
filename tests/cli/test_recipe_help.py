"""`tx train RECIPE --help`, held to what `tx.config.resolve` accepts and to what the recipe's own file says."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tx.cli.app import app
from tx.cli.options import flag_fields
from tx.config.catalog import load_recipe, recipe_names
from tx.config.schema import default_of
from tx.errors import TxError
from tx.tasks import resolve


def page(*words: str) -> str:
    result = CliRunner().invoke(app, ["train", *words, "--help"], env={"COLUMNS": "250", "NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    return result.output


def flags_of(text: str) -> set[str]:
    return set(re.findall(r"^│ --([a-z-]+)", text, re.MULTILINE))


def accepts(recipe: str, key: str, value: Any) -> bool:
    try:
        resolve(recipe, flags={key: value})
    except TxError as error:
        assert "does not apply" in f"{error.message} {error.hint}"
        return False
    return True


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_shows_just_the_flags_that_it_accepts(recipe: str) -> None:
    shown = flags_of(page(recipe))
    for key, option, _ in flag_fields():
        assert (option.name.replace("_", "-") in shown) == accepts(recipe, key, default_of(option)), key


def test_a_recipe_shows_its_own_values() -> None:
    wanted = load_recipe("whisper")["train"]
    text = page("whisper")
    assert f"default {wanted['batch_size']})" in text
    assert f"default {wanted['warmup_steps']})" in text
    assert "default 8000" not in text  # the size of a vocabulary
    assert "tx train whisper videos/" in text and "Fine-tune a pretrained Whisper model" in text
    assert "tx train word2vec" not in text


def test_flags_may_stand_before_the_recipe_and_files_count(tmp_path: Path) -> None:
    assert flags_of(page("-o", "vectors", "word2vec")) == flags_of(page("word2vec"))
    file = tmp_path / "run.toml"
    file.write_text('recipe = "word2vec"\n[word2vec]\ndim = 77\n')
    assert "default 77)" in page(str(file))


def test_a_tokenizer_has_two_flags_of_its_own() -> None:
    text = page("bpe")
    assert flags_of(text) == {"output", "overwrite", "quiet", "help", "vocab-size", "seed"}


def test_without_a_recipe_all_flags_are_shown() -> None:
    assert {option.name.replace("_", "-") for _, option, _ in flag_fields()} <= flags_of(page())
