"""The training and validation sets of a run, for Common Voice folders and tables made by hand."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from finetuning import Recorder, configuration, window, write_set
from media import beeps, write_media
from tx.errors import TxError, UsageError
from tx.speech.datasets import read_set
from tx.speech.windows import Labels, Window
from tx.tasks.speech.config import Config
from tx.tasks.speech.data import SpeechData, hold_out, read_data, remove_overlap, write_table
from tx.tasks.speech.session import open_session
from whisper import whisper_tokenizer

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


def read(config: Config) -> tuple[SpeechData, list[str]]:
    messages: list[str] = []
    return read_data(config, Labels(whisper_tokenizer(), "de"), "de", messages.append), messages


def numbers(windows: list[Window]) -> list[int]:
    return sorted(int(Path(str(window.media)).stem) for window in windows)


def config_of(*train: str | Path) -> Config:
    config = Config()
    config.data.train = [str(path) for path in train]
    return config


def test_the_splits_of_a_folder_are_used_and_named(folder: Path) -> None:
    data, messages = read(config_of(write_tables(folder, N)))
    assert numbers(data.train) == [0, 1, 2, 3, 4, 5] and numbers(data.valid["valid"]) == [6, 7]
    assert [line.split(",")[0] for line in messages] == [
        f"{folder}/train.tsv: 6 items",
        f"{folder}/dev.tsv: 2 items",
    ]


def test_an_empty_split_stops_nothing_but_training_on_it(folder: Path) -> None:
    data, _ = read(config_of(write_tables(folder, N | {"dev": 0})))
    assert data.held_out and len(data.train) == 5 and not set(numbers(data.valid["valid"])) - set(range(6))
    config = config_of(folder / "train.tsv")
    config.data.valid = [str(folder)]
    assert numbers(read(config)[0].valid["valid"]) == [6, 7, 8]  # of the test set, as there is no other
    write_tables(folder, N | {"train": 0})
    with pytest.raises(TxError, match=r"train\.tsv has no items"):
        read(config_of(folder))


def test_validated_clips_are_those_of_the_test_set_too(folder: Path) -> None:
    config = config_of(write_tables(folder, N) / "validated")
    config.data.valid, config.finetune.also_valid = [str(folder)], [str(folder / "test")]
    data, messages = read(config)
    assert numbers(data.train) == [0, 1, 2, 3, 4, 5] and numbers(data.valid["test"]) == [8, 9, 10]
    assert "5 skipped: in a validation set, too" in messages


def test_held_out_items_are_the_same_for_a_seed_and_share_no_file() -> None:
    single = [replace(window(), media=Path(f"{i}.wav")) for i in range(60)]
    train, valid = hold_out(single, 100, seed=1)
    assert len(valid) == 10 and len(train) == 50
    assert hold_out(single, 100, seed=1) == (train, valid) != hold_out(single, 100, seed=2)
    assert len(hold_out(single, 4, seed=1)[1]) == 4
    long = [replace(window(), media=Path(f"{i % 12}.mp4"), start=i) for i in range(120)]
    train, valid = hold_out(long, 100, seed=1)
    assert 0 < len(valid) <= 20 and not {w.media for w in train} & {w.media for w in valid}
    with pytest.raises(TxError, match="one item"):
        hold_out(single[:1], 1, seed=1)


def test_the_held_out_items_can_be_read_again(speech: Path, tmp_path: Path) -> None:
    """`tx evaluate` reads run/valid.jsonl: the same sound and the same text."""
    files = sorted(speech.rglob("*.wav"))[:2]
    assert len(files) == 2
    held = [
        replace(window(), media=file, start=0.0, end=0.5, text=f"Satz „{i}“") for i, file in enumerate(files)
    ]
    write_table(held, tmp_path / "valid.jsonl")
    items = read_set(str(tmp_path / "valid.jsonl")).items
    assert [(i.media, i.start, i.end, i.text) for i in items] == [
        (w.media, w.start, w.end, w.text) for w in held
    ]


def test_validation_items_are_removed_from_the_training_set(tiny: Path, speech: Path, tmp_path: Path) -> None:
    """Neither in the same file, nor in a copy with the same text, whether sets or excerpts of them are given."""
    copy, listener = tmp_path / "copy.wav", Recorder()
    copy.write_bytes((speech / "1.wav").read_bytes())
    valid = tmp_path / "valid.csv"
    valid.write_text(f"path,text\n{speech}/0.wav,anders\n{copy},beep hoho 1\n")
    also = tmp_path / "also.jsonl"
    also.write_text(
        json.dumps({"path": f"{speech}/../{speech.name}/2.wav", "text": "a", "start": 1, "end": 2})
    )
    config = configuration(tiny, speech, data_valid=[str(valid)], finetune_also_valid=[str(also)])
    data = open_session(config, listener).data
    assert [w.media.name for w in data.train if isinstance(w.media, Path)] == [
        f"{i}.wav" for i in range(3, 8)
    ]
    assert (
        "3 skipped: in a validation set, too" in listener.messages
        and "5 items are left for training" in listener.messages
    )
    assert (
        f"  {speech}/metadata.csv:3: {speech}/1.wav is the same as {copy} in {valid}:3" in listener.messages
    )
    config.finetune.strict = True
    valid.write_text(f"path,text\n{speech}/0.wav,anders\n")
    with pytest.raises(TxError, match=r"2 items cannot be used \(2 in a validation set, too\)"):
        open_session(config, listener)
    config.finetune.strict, config.data.valid = False, [str(speech)]  # all of them
    with pytest.raises(TxError, match="every training item is in a validation set, too"):
        open_session(config, listener)
    talk = [window(seconds=30.0 * i + 30.0) for i in range(3)]
    talk = [replace(w, start=30.0 * i) for i, w in enumerate(talk)]
    kept, problems = remove_overlap(
        talk, [replace(window(), start=29.0, end=40.0), replace(window(), start=61.0, end=62.0)]
    )
    assert kept == talk[:1] and len(problems) == 2


def test_media_that_cannot_be_opened_are_skipped_or_stop_the_run(tiny: Path, tmp_path: Path) -> None:
    broken = write_set(tmp_path / "broken", 4)
    write_media(broken / "long.wav", beeps(31.0))
    with (broken / "metadata.csv").open("a") as table:
        table.write("long.wav,too long\nnone.wav,not there\n")
    listener = Recorder()
    session = open_session(configuration(tiny, broken), listener)
    assert len(session.data.train) + len(session.data.valid["valid"]) == 4
    assert any("over 30 s without times" in line for line in listener.messages)
    with pytest.raises(TxError, match=r"metadata\.csv:"):
        open_session(configuration(tiny, broken, finetune_strict=True), Recorder())


def test_wrong_options(tiny: Path, speech: Path) -> None:
    with pytest.raises(UsageError, match="klingon"):
        open_session(configuration(tiny, speech, finetune_language="klingon"), Recorder())
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        open_session(configuration(tiny, speech, train_precision="fp16", train_device="cpu"), Recorder())
    with pytest.raises(TxError, match="which language"):
        open_session(configuration(tiny, speech, finetune_language=""), Recorder())
