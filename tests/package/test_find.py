"""Finding a package: by name, by tx.toml, by default, or because there is only one."""

from pathlib import Path

import pytest

from packages import fill, tokenizer_at, translator
from tx.errors import TxError
from tx.package import (
    MANIFEST,
    Package,
    find_package,
    get_default,
    list_packages,
    set_default,
    write_package,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder whose user has no packages."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    return tmp_path / "here"


def test_a_name_is_looked_for_here_before_at_home(here: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "home" / "models", here, here / "models"):
        tokenizer_at(place / "bpe")
        assert find_package("bpe", "tokenizer").resolve() == place / "bpe"
    assert find_package("./bpe", "tokenizer").resolve() == here / "bpe"
    assert (
        find_package(str(tmp_path / "home/models/bpe"), "tokenizer") == tmp_path / "home" / "models" / "bpe"
    )


def test_an_unknown_name_gets_a_suggestion(here: Path) -> None:
    tokenizer_at(here / "models" / "bpe8k")
    with pytest.raises(TxError, match="no package called 'bpe8'") as caught:
        find_package("bpe8", "tokenizer")
    assert caught.value.hint == "did you mean 'bpe8k'?"
    with pytest.raises(TxError, match="the name of the package is empty"):
        find_package("", "tokenizer")
    for name in ("./nowhere", "/nowhere", "a/b", "..x"):
        with pytest.raises(TxError):
            Package.open(find_package(name, "tokenizer"))


def test_the_environment_names_a_package_for_each_task(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        tokenizer_at(here / name)
    (here / "tx.toml").write_text('[defaults]\ntokenizer = "one"\n')
    monkeypatch.setenv("TX_TOKENIZER_MODEL", "two")
    assert find_package(None, "tokenizer") == Path("two")
    assert find_package("one", "tokenizer") == Path("one"), "a name that was given wins"
    monkeypatch.setenv("TX_TOKENIZER_MODEL", "three")
    with pytest.raises(TxError) as caught:
        find_package(None, "tokenizer")
    assert caught.value.hint == "the environment names it in TX_TOKENIZER_MODEL"


def test_without_a_name_only_an_unambiguous_package_is_taken(here: Path, tmp_path: Path) -> None:
    with pytest.raises(TxError, match="there is no tokenizer package"):
        find_package(None, "tokenizer")
    write_package(here / "models" / "de-en", fill(1), **translator())
    tokenizer_at(here / "one")
    assert find_package(None, "tokenizer") == Path("one")
    tokenizer_at(tmp_path / "home" / "models" / "two")
    with pytest.raises(TxError, match=r"there are 2 tokenizer packages: one, .*two"):
        find_package(None, "tokenizer")
    set_default("tokenizer", tmp_path / "home" / "models" / "two")
    assert find_package(None, "tokenizer").name == "two"
    (here / "tx.toml").write_text('[defaults]\ntokenizer = "one"\n')
    assert find_package(None, "tokenizer").resolve() == here / "one"
    set_default("tokenizer", None)
    assert get_default("tokenizer") is None


def test_tx_toml_counts_from_its_own_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer_at(here / "models" / "one")
    (here / "tx.toml").write_text('[defaults]\ntokenizer = "one"\ntranslation = "gone"\ntagging = 3')
    (here / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(here / "deep" / "down")
    assert find_package(None, "tokenizer") == here / "models" / "one"
    with pytest.raises(TxError, match="no package called 'gone'") as caught:
        find_package(None, "translation")
    assert str(here / "tx.toml") in str(caught.value.hint)
    with pytest.raises(TxError, match="is not a name"):
        find_package(None, "tagging")
    for broken in (b"[defaults", b"defaults = 1", b"\xff", b"x = " + b"[" * 10**5):
        (here / "tx.toml").write_bytes(broken)
        with pytest.raises(TxError, match=r"tx\.toml"):
            find_package(None, "tokenizer")


def test_defaults_survive_a_change_of_folder(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_default("tokenizer", Path(tokenizer_at(here / "one").name))
    monkeypatch.chdir(tmp_path)
    assert find_package(None, "tokenizer") == here / "one"
    (tmp_path / "home" / "defaults.json").write_text("{")
    with pytest.raises(TxError, match=r"cannot read .*defaults\.json"):
        find_package(None, "tokenizer")


def test_list_packages_tells_what_it_cannot_read(here: Path) -> None:
    tokenizer_at(here / "good")
    tokenizer_at(here / "bad")
    (here / "bad" / MANIFEST).write_text("{")
    (here / "other").mkdir()
    good, bad = sorted(list_packages(), key=lambda package: package.problem or "")
    assert (good.name, good.task, good.problem, good.bytes) == (
        "good",
        "tokenizer",
        None,
        len(str(here / "good")),
    )
    assert bad.name == "bad" and "is damaged" in str(bad.problem)
    (here / "good" / "tokenizer.txt").unlink()
    assert len(list_packages()) == 2  # model.json alone is read
