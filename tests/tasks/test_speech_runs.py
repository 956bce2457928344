"""Which parts of a set a run of fine-tuning trains on and scores, against Common Voice folders made by hand."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from media import beeps, write_media
from tx.config.schema import SPEECH, RunConfig, defaults
from tx.errors import TxError
from tx.speech.windows import Labels, Window
from tx.tasks.speech.data import Data, read_data
from whisper import byte_tokenizer

N = {"train": 6, "dev": 2, "test": 3, "validated": 11}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for i in range(11):
        write_media(tmp_path / "clips" / f"{i}.wav", beeps(1.0 + 0.1 * i, (0.2,)))
    return tmp_path


def write_tables(folder: Path, n: Mapping[str, int]) -> Path:
    first = 0
    for split, length in n.items():
        first = 0 if split == "validated" else first
        rows = "".join(f"{i}.wav\tSatz {i}\tde\n" for i in range(first, first + length))
        (folder / f"{split}.tsv").write_text("path\tsentence\tlocale\n" + rows)
        first += length
    return folder


def read(config: RunConfig) -> tuple[Data, list[str]]:
    said: list[str] = []
    return read_data(config, Labels(byte_tokenizer(), "de"), "de", said.append), said


def numbers(windows: list[Window]) -> list[int]:
    return sorted(int(Path(str(window.media)).stem) for window in windows)


def configuration(*train: str | Path) -> RunConfig:
    config = defaults(SPEECH)
    config.data.train = [str(path) for path in train]
    return config


def test_the_splits_of_a_folder_are_used_and_named(folder: Path) -> None:
    data, said = read(configuration(write_tables(folder, N)))
    assert numbers(data.train) == [0, 1, 2, 3, 4, 5] and numbers(data.valid["valid"]) == [6, 7]
    assert [line.split(",")[0] for line in said] == [
        f"{folder}/train.tsv: 6 items",
        f"{folder}/dev.tsv: 2 items",
    ]


def test_an_empty_split_stops_nothing_but_training_on_it(folder: Path) -> None:
    data, _ = read(configuration(write_tables(folder, N | {"dev": 0})))
    assert data.held_out and len(data.train) == 5 and not set(numbers(data.valid["valid"])) - set(range(6))
    config = configuration(folder / "train.tsv")
    config.data.valid = [str(folder)]
    assert numbers(read(config)[0].valid["valid"]) == [6, 7, 8]  # of the test set, as there is no other
    write_tables(folder, N | {"train": 0})
    with pytest.raises(TxError, match=r"train\.tsv holds no items"):
        read(configuration(folder))


def test_validated_clips_are_those_of_the_test_set_too(folder: Path) -> None:
    config = configuration(write_tables(folder, N) / "validated")
    config.data.valid, config.finetune.also_valid = [str(folder)], [str(folder / "test")]
    data, said = read(config)
    assert numbers(data.train) == [0, 1, 2, 3, 4, 5] and numbers(data.valid["test"]) == [8, 9, 10]
    assert "5 skipped: in a validation set, too" in said
