"""The configuration: what is read, what wins, what is refused, and that what is written reads back equal."""

import tomllib
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tx.config.catalog import load_recipe, recipe_names
from tx.config.check import check_section
from tx.config.duration import parse_duration
from tx.config.resolve import Resolved
from tx.config.schema import RunConfig, choices, default_of, has_model, option, options, sections
from tx.config.toml import nearest_toml, to_toml
from tx.errors import TxError, UsageError
from tx.tasks import TASKS, language_model, resolve, translation, vectors


@dataclass
class Shape:
    """Stands in for an architecture's `Config`."""

    vocab_size: int = option(0, "set from the tokenizer", derived=True)
    d_model: int = option(512, "width", ge=2)
    dropout: float = option(0.1, "dropout", ge=0, le=0.99)
    norm: Literal["pre", "post"] = option("pre", "where the norm stands")
    tied: bool = option(True, "one matrix")


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Resolve text as a file named run.toml, in a folder and an environment with nothing else."""

    def read(toml: str | bytes, **given: Any) -> Resolved:
        path = tmp_path / "run.toml"
        path.write_bytes(toml if isinstance(toml, bytes) else toml.encode())
        home = {"TX_HOME": str(tmp_path / "home")}
        return resolve(str(path), folder=tmp_path, environ=home | given.pop("environ", {}), **given)

    return read


def message(error: pytest.ExceptionInfo[TxError]) -> str:
    return error.value.message


# Reading and precedence


def test_nothing_given_is_the_defaults(tmp_path: Path) -> None:
    resolved = resolve(folder=tmp_path, environ={"TX_HOME": str(tmp_path)})
    assert resolved.config == translation.Config()
    assert set(resolved.origins.values()) == {"default"}
    assert {"arch", "seed", "train.lr", "data.train", "decode.beam_size"} <= set(resolved.origins)


def test_each_source_beats_the_one_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the sources away from the top: each time the next one shows."""
    monkeypatch.setattr("tx.config.resolve.recipe_names", lambda: ["small"])
    monkeypatch.setattr("tx.config.resolve.recipe_text", lambda name: "[train]\nwarmup_steps = 6\n")
    monkeypatch.setattr("tx.config.resolve.load_recipe", lambda name: {"train": {"warmup_steps": 6}})
    home, inner = tmp_path / "home", tmp_path / "a" / "b"
    home.mkdir()
    inner.mkdir(parents=True)
    (inner / "run.toml").write_text('recipe = "small"\n[train]\nwarmup_steps = 3\n')
    (inner / "bare.toml").write_text('recipe = "small"\n')
    (tmp_path / "a" / "tx.toml").write_text('[defaults]\ntranslation = "x"\n[train]\nwarmup_steps = 4\n')
    (tmp_path / "tx.toml").write_text("[train]\nwarmup_steps = 99\n")  # further away, so never read
    (home / "config.toml").write_text("[train]\nwarmup_steps = 5\n")
    environ = {"TX_HOME": str(home)}
    with_variable = environ | {"TX_TRAIN_WARMUP_STEPS": "2"}
    monkeypatch.chdir(inner)

    def look(**given: Any) -> tuple[int, str]:
        resolved = resolve(**{"name": "run.toml", "environ": environ} | given)
        return resolved.config.train.warmup_steps, resolved.origins["train.warmup_steps"]

    flag = {"train.warmup_steps": 1}
    assert look(environ=with_variable, flags=flag) == (1, "flag --warmup-steps")
    assert look(environ=with_variable, sets=["train.warmup_steps=1"]) == (1, "--set")
    assert look(environ=with_variable) == (2, "environment TX_TRAIN_WARMUP_STEPS")
    assert look() == (3, "run.toml")
    assert look(name="bare.toml") == (4, "tx.toml")
    (tmp_path / "a" / "tx.toml").unlink()
    (tmp_path / "tx.toml").unlink()
    assert look(name="bare.toml") == (5, "user's config")
    (home / "config.toml").unlink()
    assert look(name="bare.toml") == look(name="small") == (6, "recipe small")
    assert look(name=None) == (translation.Config().train.warmup_steps, "default")


def test_sources_merge_key_by_key(read: Any) -> None:
    resolved = read("seed = 7\n[model]\nd_model = 64\n", sets=["model.dropout=0.3", "train.lr=1"])
    assert (resolved.config.seed, resolved.config.train.lr) == (7, 1.0)
    assert resolved.config.model == {"d_model": 64, "dropout": 0.3}
    assert resolved.origins["model.dropout"] == "--set"


def test_the_user_file_is_in_the_xdg_folder(tmp_path: Path) -> None:
    (tmp_path / "tx").mkdir()
    (tmp_path / "tx" / "config.toml").write_text("seed = 9\n")
    assert resolve(folder=tmp_path, environ={"XDG_CONFIG_HOME": str(tmp_path)}).config.seed == 9


def test_the_nearest_tx_toml(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "tx.toml").touch()
    (inner / "tx.toml").mkdir()  # a folder of that name is no file
    assert nearest_toml(inner) == tmp_path / "tx.toml"


def test_windows_files_and_byte_order_marks(read: Any) -> None:
    assert read(b"\xef\xbb\xbfseed = 3\r\n[train]\r\nlr = 1\r\n").config.seed == 3


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_are_sound(name: str, tmp_path: Path) -> None:
    from importlib import import_module

    resolved = resolve(name, folder=tmp_path, environ={"TX_HOME": str(tmp_path)})
    assert load_recipe(name)
    if has_model(type(resolved.config)):
        resolved.check_model(import_module(f"tx.models.{resolved.config.arch}").Config)
    assert f"recipe {name}" in resolved.origins.values()


def test_an_architecture_by_name(tmp_path: Path) -> None:
    resolved = resolve("transformer", folder=tmp_path, environ={"TX_HOME": str(tmp_path)})
    assert resolved.config.arch == "transformer"
    assert resolved.origins["arch"] == "command line"


# Values as text: environment and --set


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("7e-4", "train.lr", 7e-4),
        ("3", "train.lr", 3.0),
        ("cosine", "train.schedule", "cosine"),
        ('"cosine"', "train.schedule", "cosine"),
        ("true", "train.compile", True),
        ("1984", "data.tokenizer", "1984"),
        ("90", "train.max_time", "90"),
        ("a = b", "data.tokenizer", "a = b"),
        ("1\nx = 2", "data.tokenizer", "1\nx = 2"),
        ('["a b", "c"]', "data.train", ["a b", "c"]),
    ],
)
def test_text_becomes_the_type_of_the_key(text: str, key: str, value: Any, read: Any) -> None:
    section, leaf = key.split(".")
    for way in ({"sets": [f"{key}={text}"]}, {"environ": {f"TX_{section}_{leaf}".upper(): text}}):
        got = getattr(getattr(read("", **way).config, section), leaf)
        assert got == value and type(got) is type(value)


def test_variables_of_other_programs_and_empty_ones_are_left_alone(read: Any) -> None:
    resolved = read(
        "", environ={"TX_DEBUG": "1", "TX_TRAIN": "x", "TX_TRAIN_LR": "", "TRAIN_LR": "7", "TX_MODEL": "m"}
    )
    assert set(resolved.origins.values()) == {"default"}


def test_a_set_without_value_is_wrong_usage(read: Any) -> None:
    with pytest.raises(UsageError, match=r"section\.key=value"):
        read("", sets=["train.lr"])
    with pytest.raises(UsageError, match="given twice"):
        read("", sets=["train.lr=1"], flags={"train.lr": 2.0})


# Faults


def test_all_faults_are_told_together_with_their_places(read: Any) -> None:
    toml = """\
seed = "1"      # line 1
lr = 1e-3

[train]
text = '''
lr = 5
'''
batch_tokens = [
  1,
]
"lr" = true
schedule = "cosin"
beam_size = 3
label_smoothing = 1.5
warmup_step = 10
max_time = "soon"
data.x = 1
[decode]
beam_size = 2.0
"""
    with pytest.raises(TxError) as error:
        read(toml, environ={"TX_TRAIN_PATIENCE": "ten"})
    told = message(error).split("\n  ")
    keys = "there are: " + ", ".join(option.name for option in fields(translation.TrainConfig))
    expected = {
        1: 'seed: expected a whole number (>= 0), got "1"',
        2: "lr: no such key here; it belongs in [train]",
        5: f"train.text: no such key; {keys}",
        8: "train.batch_tokens: expected a whole number (>= 1), got [1]",
        11: "train.lr: expected a number (>= 0), got true",
        12: "train.schedule: expected one of inverse-sqrt, cosine, linear, constant, "
        "got \"cosin\"; did you mean 'cosine'?",
        13: "train.beam_size: no such key here; it belongs in [decode]",
        14: "train.label_smoothing: expected a number (0 to 1), got 1.5",
        15: "train.warmup_step: no such key; did you mean 'warmup_steps'?",
        16: 'train.max_time: expected a time such as 90s, 30m or 1h30m, not "soon"',
        17: f"train.data: no such key; {keys}",
        19: "decode.beam_size: expected a whole number (>= 1), got 2.0",
    }
    assert told[0] == f"{len(expected) + 1} errors in the configuration"
    for line, (number, what) in zip(told[1:], expected.items(), strict=False):
        place, _, rest = line.partition("run.toml:")
        assert place.endswith("/") and rest == f"{number}: {what}"
    assert (
        told[-1] == 'environment TX_TRAIN_PATIENCE: train.patience: expected a whole number (>= 0), got "ten"'
    )
    assert error.value.exit_code == 1


def test_a_fault_that_was_typed_is_wrong_usage(read: Any) -> None:
    for way in ({"flags": {"train.lr": -1.0}}, {"sets": ["train.lr=-1"]}):
        with pytest.raises(TxError, match=r"^(flag --lr|--set): train\.lr: expected a number") as error:
            read("", **way)
        assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("toml", "wanted"),
    [
        ("[trian]\nlr = 1", "run.toml:1: trian: no such key; did you mean 'train'?"),
        ("recpie = 'x'", "run.toml:1: recpie: no such key; did you mean 'recipe'?"),
        ("\ntrain = 3", "run.toml:2: train: expected a table, as in [train]"),
        ("[data]\ntrain = 'a.de'", 'data.train: expected a list of texts, as in ["a", "b"], got "a.de"'),
        ("[data]\ntrain = ['a', 1]", "data.train: expected a list"),
        ("[train]\nlr = nan", "train.lr: expected a number"),
        ("[train]\nlr = inf", "train.lr: expected a number"),
        ("[train]\nlr = 1979-05-27", "got 1979-05-27"),
        ("arch = 'transfromer'", "did you mean 'transformer'?"),
        ("recipe = 'transformer-x'", "run.toml: no recipe"),
        ("seed = 1\nlr = high", "run.toml: not valid TOML: Invalid value (at line 2"),
        ("seed = 1\nseed = 2", "not valid TOML"),
        (b"seed = 1\n# caf\xe9\n", "run.toml:2: not UTF-8 text"),
        ("[train]\nlr = " + "9" * 5000, "not valid TOML"),
        ("x = " + "[" * 5000, "not valid TOML"),
    ],
)
def test_faults(toml: str | bytes, wanted: str, read: Any) -> None:
    with pytest.raises(TxError) as error:
        read(toml)
    assert wanted in message(error).replace("run.toml:1: no recipe", "run.toml: no recipe")
    assert error.value.hint


def test_a_file_name_that_is_no_text_is_refused(read: Any) -> None:
    """Such a name cannot stand in run/config.toml; TOML is UTF-8."""
    with pytest.raises(TxError, match="not UTF-8"):
        read("", flags={"data.train": ["b\udc80.de"]})


def test_unknown_names(tmp_path: Path) -> None:
    environ = {"TX_HOME": str(tmp_path)}
    with pytest.raises(TxError) as error:
        resolve("transfromer", folder=tmp_path, environ=environ)
    assert error.value.hint == "did you mean 'transformer'?"
    with pytest.raises(TxError, match=r"cannot read .*gone\.toml: No such file"):
        resolve(str(tmp_path / "gone.toml"), folder=tmp_path, environ=environ)


# The model's own section


def test_the_model_section(read: Any) -> None:
    resolved = read("[model]\nd_model = 64\n", sets=["model.norm=post"], environ={"TX_MODEL_TIED": "false"})
    assert resolved.check_model(Shape) == Shape(d_model=64, norm="post", tied=False)
    assert resolved.config.model == {"d_model": 64, "dropout": 0.1, "norm": "post", "tied": False}
    assert resolved.origins["model.dropout"] == "default"
    assert resolved.origins["model.norm"] == "--set"


def test_faults_in_the_model_section(read: Any) -> None:
    resolved = read("seed = 1\n[model]\nd_modle = 64\nvocab_size = 9\nlr = 1\n", sets=["model.dropout=1"])
    with pytest.raises(TxError) as error:
        resolved.check_model(Shape)
    told = message(error)
    assert "run.toml:3: model.d_modle: no such key; did you mean 'd_model'?" in told
    assert "run.toml:4: model.vocab_size: is derived from the data" in told
    assert "run.toml:5: model.lr: no such key here; it belongs in [train]" in told
    assert "--set: model.dropout: expected a number (0 to 0.99), got 1" in told
    with pytest.raises(TxError, match=r"^\[model\]: model\.d_model: expected"):
        check_section(Shape, {"d_model": "64"})


# Writing


def values_of(owner: type) -> st.SearchStrategy[Any]:
    """Any instance of a section that the checks accept."""
    text = st.text(st.characters(exclude_categories=["Cs"]))
    hints, made = get_type_hints(owner), {}
    for each in [each for each in fields(owner) if not each.metadata["derived"]]:
        hint, low, high = hints[each.name], each.metadata.get("ge"), each.metadata.get("le")
        if choices(hint):
            made[each.name] = st.sampled_from(get_args(hint))
        elif hint is bool:
            made[each.name] = st.booleans()
        elif hint is int:
            made[each.name] = st.integers(None if low is None else int(low), high)
        elif hint is float:
            made[each.name] = st.floats(low, high, allow_nan=False, allow_infinity=False)
        elif each.metadata.get("check"):
            made[each.name] = st.sampled_from(["", "90", "1h30m"])
        else:
            made[each.name] = text if hint is str else st.lists(text)
    return st.builds(owner, **made)


scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
models = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])), st.one_of(scalars, st.lists(scalars))
)


def configs_of(config: type[RunConfig]) -> st.SearchStrategy[RunConfig]:
    made = {name: values_of(owner) for name, owner in sections(config).items() if name}
    return st.builds(config, seed=st.integers(0), **made, **{"model": models} if has_model(config) else {})


@settings(max_examples=60, deadline=None)
@given(
    config=st.one_of(*map(configs_of, (translation.Config, language_model.Config, vectors.Config))),
    comments=st.booleans(),
    with_origins=st.booleans(),
)
def test_what_is_written_reads_back_equal(
    config: Any, comments: bool, with_origins: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    origins = {f"train.{each.name}": "somewhere" for each in fields(config.train)} if with_origins else None
    text = to_toml(config, origins, comments=comments)
    assert tomllib.loads(text) == asdict(config)
    folder = tmp_path_factory.mktemp("written")
    (folder / "config.toml").write_text(text, encoding="utf-8", newline="\n")
    again = resolve(str(folder / "config.toml"), folder=folder, environ={"TX_HOME": str(folder / "home")})
    assert again.config == config


def test_comments_say_what_a_key_means() -> None:
    text = to_toml(translation.Config(model=asdict(Shape())), comments=True, model=Shape)
    assert "# dropout [0 to 0.99]\ndropout = 0.1\n" in text
    assert "# where the norm stands [pre, post]\n" in text
    lines = text.split("\n")
    for before, line in pairwise(lines):
        assert before.startswith("#") or " = " not in line or line.startswith("#"), f"no comment above {line}"


def test_origins_stand_behind_the_values() -> None:
    text = to_toml(translation.Config(), {"seed": "flag --seed", "train.lr": "run.toml"})
    assert [line.split() for line in text.split("\n") if "#" in line] == [
        ["seed", "=", "1", "#", "flag", "--seed"],
        ["lr", "=", "0.001", "#", "run.toml"],
    ]


def test_every_field_explains_itself_within_its_own_limits() -> None:
    for task in TASKS.values():
        owners = sections(task.config)
        for key, each, _ in options(task.config):
            section, _, name = key.rpartition(".")
            assert each.metadata["help"]
            check_section(owners[section], {name: default_of(each)})


# Tasks


def test_a_key_that_means_nothing_for_the_task_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"TX_HOME": str(tmp_path)}
    with pytest.raises(TxError) as typed:
        resolve("rnn-lm", flags={"train.batch_tokens": 4}, environ=environ)
    assert typed.value.message == (
        "flag --batch-tokens: train.batch_tokens: does not apply to language-model"
    )
    assert typed.value.exit_code == 2
    with pytest.raises(TxError) as timed:
        resolve("word2vec", flags={"train.max_time": "1m"}, environ=environ)
    assert "--epochs" in (timed.value.hint or "")
    (tmp_path / "run.toml").write_text('arch = "transformer"\n[train]\nseq_len = 3\n')
    with pytest.raises(TxError, match=r"(?m)^run.toml:3: train.seq_len: does not apply to translation$"):
        resolve("run.toml", environ=environ)


def test_what_stands_for_runs_in_general_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tx.toml or a variable may speak of translators while a language model is trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tx.toml").write_text("[train]\nbatch_tokens = 3\nlr = 0.5\n")
    resolved = resolve("rnn-lm", environ={"TX_HOME": str(tmp_path), "TX_DECODE_BEAM_SIZE": "2"})
    assert resolved.config.train.lr == 0.5 and "train.batch_tokens" not in resolved.origins
    assert not hasattr(resolved.config.train, "batch_tokens")


def test_a_task_has_its_own_defaults(tmp_path: Path) -> None:
    by_task = {
        arch: resolve(arch, folder=tmp_path, environ={"TX_HOME": str(tmp_path)}).config
        for arch in ("transformer", "transformer-lm", "rnn-lm")
    }
    assert [config.task for config in by_task.values()] == ["translation", "language-model", "language-model"]
    assert [config.train.label_smoothing for config in by_task.values()] == [0.1, 0.0, 0.0]
    assert [config.data.tokenizer_kind for config in by_task.values()] == ["unigram", "alphabet", "alphabet"]


# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("45", 45),
        ("1h1m1s", 3661),
        (" 5m ", 300),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "-5", "h", "1h30", "30m1h", "5 m", "nan", "inf", "1d", "٣m", "1e3", "9" * 400]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(TxError, match="expected a time such as 90s"):
        parse_duration(text)
