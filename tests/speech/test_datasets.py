"""Speech datasets in every supported form, against the items that were written."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from media import beeps, write_media
from tx.errors import TxError
from tx.speech.datasets import has_split, read_set, read_sets, read_splits, splits
from tx.speech.items import Item, SpeechSet, raise_for_problems, report_problems
from tx.speech.media import RATE, decode

TEXTS = ["Guten Morgen.", 'Er sagte: "Ja", und ging.', "Größe 1,5; Tür\tauf", "Привет мир"]
SRT = "1\n00:00:00,100 --> 00:00:00,900\nGuten\n\n2\n00:00:01,000 --> 00:00:01,500\nMorgen.\n"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sounds")
    return [write_media(folder / f"{i}.wav", beeps(2.0, (0.5,), pitch=200.0 * (i + 1))) for i in range(4)]


@pytest.fixture
def folder(tmp_path: Path, sounds: list[Path]) -> Path:
    (tmp_path / "clips").mkdir()
    for sound in sounds:
        (tmp_path / "clips" / sound.name).write_bytes(sound.read_bytes())
    return tmp_path


def pairs(found: SpeechSet) -> list[tuple[str, str]]:
    return [(Path(str(item.media)).name, item.text) for item in found.items]


def kinds(found: SpeechSet) -> list[tuple[str, str]]:
    return [(problem.origin, problem.kind) for problem in found.problems]


EXPECTED = [(f"{i}.wav", " ".join(text.split())) for i, text in enumerate(TEXTS)]


# --- tables ---


def comma(names: list[str], rows: list[list[str]], **how: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", **how).writerows([names, *rows])  # type: ignore[arg-type]
    return text.getvalue()


def tabbed(names: list[str], rows: list[list[str]]) -> str:
    return "\n".join("\t".join(cell.replace("\t", " ") for cell in row) for row in [names, *rows]) + "\n"


def objects(names: list[str], rows: list[list[str]]) -> str:
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", comma),
        ("a.csv", lambda names, rows: comma(names, rows, delimiter=";")),
        ("a.tsv", tabbed),
        ("a.tsv", lambda names, rows: tabbed(names, rows).replace("\n", "\r\n")),
        ("a.jsonl", objects),
    ],
    ids=["comma", "semicolon", "tab", "windows", "json"],
)
@pytest.mark.parametrize(
    "names", [["path", "text"], ["file_name", "transcription"], ["audio_filepath", "sentence"]]
)
def test_tables_give_back_what_was_written(
    folder: Path, name: str, write: Callable[[list[str], list[list[str]]], str], names: list[str]
) -> None:
    rows = [[f"clips/{i}.wav", text, "de-DE", "x"] for i, text in enumerate(TEXTS)]
    table = folder / name
    table.write_text(write([*names, "locale", "other"], rows), encoding="utf-8", newline="")
    found = read_set(table)
    assert pairs(found) == EXPECTED and not found.problems
    assert [item.origin for item in found.items] == [
        f"{table}:{line}" for line in (range(1, 5) if name.endswith("jsonl") else range(2, 6))
    ]
    assert {item.language for item in found.items} == {"de"}


def test_a_table_without_a_header(folder: Path) -> None:
    (folder / "a.tsv").write_text(
        "".join(f"clips/{i}.wav\t{text}\n" for i, text in enumerate(["a b", "c d"]))
    )
    found = read_set(folder / "a.tsv")
    assert pairs(found) == [("0.wav", "a b"), ("1.wav", "c d")]
    assert found.items[0].origin == f"{folder / 'a.tsv'}:1"


def test_records_over_several_lines_are_named_by_their_first(folder: Path) -> None:
    (folder / "a.csv").write_text('path,text\nclips/0.wav,"zwei\nZeilen"\nclips/9.wav,x\n')
    found = read_set(folder / "a.csv")
    assert pairs(found) == [("0.wav", "zwei Zeilen")]
    assert kinds(found) == [(f"{folder / 'a.csv'}:4", "missing media")]


def test_times_and_cues_of_a_table(folder: Path) -> None:
    rows = [
        {"path": "clips/0.wav", "text": "a", "start": 0.5, "end": 1.0},
        {"audio_filepath": "clips/0.wav", "text": "b", "offset": 1.0, "duration": 0.5},
        {
            "audio": {"path": "clips/1.wav"},
            "sentences": [{"start": 0, "end": 1, "text": "c"}, {"start": 1, "end": 2, "text": "d"}],
        },
        {"path": "clips/2.wav", "text": "e", "start": "soon"},
        {"path": "clips/3.wav", "text": "f", "start": 1.0, "end": 1.0},
    ]
    (folder / "a.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    found = read_set(folder / "a.jsonl")
    assert [(item.text, item.start, item.end) for item in found.items] == [
        ("a", 0.5, 1.0),
        ("b", 1.0, 1.5),
        ("c d", 0.0, None),
    ]
    assert [(cue.start, cue.end, cue.text) for cue in found.items[2].cues] == [(0, 1, "c"), (1, 2, "d")]
    assert kinds(found) == [(f"{folder / 'a.jsonl'}:{line}", "unreadable times") for line in (7, 9)]


def test_problems_are_named_by_file_and_line(folder: Path) -> None:
    (folder / "clips" / "copy.wav").write_bytes((folder / "clips" / "0.wav").read_bytes())
    rows = [
        "path\ttext",
        "clips/0.wav\ta",
        "clips/1.wav\t ",
        "clips/1.wav\t...",
        "clips/9.wav\tb",
        "clips/2.wav",
    ]
    rows += ["clips/2.wav\tx <|endoftext|> y", "clips/0.wav\tz", "clips/copy.wav\ta", "clips/3.wav\ta", "\tc"]
    table = folder / "a.tsv"
    table.write_text("\n".join(rows))
    found = read_set(table)
    assert pairs(found) == [("0.wav", "a"), ("3.wav", "a")]
    assert kinds(found) == [
        (f"{table}:3", "empty text"),
        (f"{table}:4", "empty text"),
        (f"{table}:5", "missing media"),
        (f"{table}:6", "unreadable line"),
        (f"{table}:7", "control token in the text"),
        (f"{table}:8", "duplicate"),
        (f"{table}:9", "duplicate"),
        (f"{table}:11", "no path"),
    ]
    clips = folder / "clips"
    assert [problem.what for problem in found.problems if problem.kind == "duplicate"] == [
        f"{clips / '0.wav'} is also in {table}:2",
        f"{clips / 'copy.wav'} is the same as {clips / '0.wav'} in {table}:2",
    ]
    report = "\n".join(report_problems(found.problems, shown=1))
    assert report.startswith("2 skipped: empty text\n  " + str(table) + ":3: no text\n  and 1 more")
    with pytest.raises(TxError, match="8 items cannot be used") as error:
        raise_for_problems(found.problems)
    assert f"{table}:3" in error.value.message
    raise_for_problems([])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "name,text\nx,y\n", r"a\.csv:1 has no column for the audio: its columns are name, text"),
        ("a.tsv", "path\tlabel\nx\ty\n", r"a\.tsv:1 has no column for the text"),
        ("a.csv", "", "has no items"),
        ("a.csv", 'path,text\nx,"' + "y" * 200_000, r"a\.csv:2 is not CSV"),
        ("a.xlsx", "PK", "is not a speech dataset"),
        ("a.tsv", "path\ttext\nx\t\0", r"a\.tsv:2 contains a NUL byte"),
    ],
)
def test_files_that_are_not_tables_are_refused(folder: Path, name: str, text: str, words: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(TxError, match=words) as error:
        read_set(folder / name)
    assert error.value.hint


def test_lines_that_are_not_json_are_skipped(folder: Path) -> None:
    table = folder / "a.jsonl"
    table.write_text('{"path": "clips/0.wav", "text": "a"}\n{oops\n[1]\n')
    found = read_set(table)
    assert len(found.items) == 1
    assert kinds(found) == [(f"{table}:2", "unreadable line"), (f"{table}:3", "unreadable line")]


# --- folders ---


def media_folder(folder: Path) -> Path:
    clips = folder / "clips"
    (clips / "0.srt").write_text(SRT)
    (clips / "1.txt").write_text("Zwei\nZeilen\n")
    (clips / "2.de.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\ndeutsch\n")
    (clips / "2.en.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nenglish\n")
    (clips / "extra.srt").write_text(SRT)
    (clips / ".hidden.wav").write_text("")
    return folder / "clips"


def test_a_folder_of_media_with_texts_of_the_same_names(folder: Path) -> None:
    clips = media_folder(folder)
    found = read_set(clips, language="de")
    assert pairs(found) == [("0.wav", "Guten Morgen."), ("1.wav", "Zwei Zeilen"), ("2.wav", "deutsch")]
    assert [item.language for item in found.items] == [None, None, "de"]
    assert found.items[0].cue_origins() == [f"{clips / '0.srt'}:2", f"{clips / '0.srt'}:6"]
    assert kinds(found) == [
        (str(clips / "3.wav"), "no text"),
        (str(clips / "extra.srt"), "text without media"),
    ]
    assert (str(clips / "2.wav"), "several languages") in kinds(read_set(clips))
    assert "none in fr" in next(p.what for p in read_set(clips, language="fr").problems)


def test_a_video_and_its_subtitles_in_any_order(folder: Path) -> None:
    video = write_media(folder / "talk.mp4", beeps(2.0), "aac", 44_100, "stereo", "libx264")
    subtitles = folder / "talk.srt"
    subtitles.write_text(SRT)
    for given in ([video], [subtitles], [video, subtitles], [subtitles, video]):
        found = read_sets(given)
        assert pairs(found) == [("talk.mp4", "Guten Morgen.")] and not found.problems
    with pytest.raises(TxError, match=r"lone\.srt has no audio or video"):
        (folder / "lone.srt").write_text(SRT)
        read_set(folder / "lone.srt")
    found = read_set(write_media(folder / "mute.mp4", beeps(1.0), "aac"))
    assert [problem.kind for problem in found.problems] == ["no text"]


def test_unreadable_subtitles_are_problems_with_their_line(folder: Path) -> None:
    clips = folder / "clips"
    (clips / "0.srt").write_bytes("1\n00:00:00,100 --> 00:00:00,900\nfür\n".encode("latin-1"))
    (clips / "1.srt").write_text(SRT + "\n00:00:0x --> 00:00:02,000\nx\n")
    found = read_set(clips)
    assert pairs(found) == [("1.wav", "Guten Morgen.")]
    assert kinds(found)[:2] == [
        (f"{clips / '0.srt'}:3", "unreadable text"),
        (f"{clips / '1.srt'}:9", "unreadable cue"),
    ]
    assert found.problems[0].what.startswith("is not UTF-8")
    converted = f"iconv -f cp1252 -t utf-8 {clips / '0.srt'} > utf8.txt"
    assert str(found.problems[0].hint).endswith(converted)
    assert any(
        line.startswith("  hint: ") and line.endswith(converted) for line in report_problems(found.problems)
    )


def test_an_audiofolder_and_its_splits(folder: Path, sounds: list[Path]) -> None:
    for split, indexes in {"train": (0, 1), "test": (2, 3)}.items():
        place = folder / "data" / split
        place.mkdir(parents=True)
        for i in indexes:
            (place / f"{i}.wav").write_bytes(sounds[i].read_bytes())
        rows = "".join(f"{i}.wav,{'abcd'[i]}\n" for i in indexes)
        (place / "metadata.csv").write_text("file_name,transcription\n" + rows)
    assert list(splits(folder / "data")) == ["test", "train"]
    assert pairs(read_set(folder / "data")) == [("0.wav", "a"), ("1.wav", "b")]
    assert pairs(read_set(folder / "data", split="test")) == [("2.wav", "c"), ("3.wav", "d")]
    assert pairs(read_set(folder / "data" / "test")) == [("2.wav", "c"), ("3.wav", "d")]
    with pytest.raises(TxError, match="has no split for valid: it has test, train"):
        read_set(folder / "data", split="valid")
    assert pairs(read_sets([folder / "data", folder / "data" / "train"])) == [("0.wav", "a"), ("1.wav", "b")]


@pytest.mark.parametrize(
    ("written", "code"),
    [("sv", "sv"), ("sv-SE", "sv"), ("German", "de"), ("deutsch", "de"), ("", None), ("Klingon", "klingon")],
)
def test_the_language_of_a_row_has_many_names(folder: Path, written: str, code: str | None) -> None:
    (folder / "table.csv").write_text(f"path,text,language\n0.wav,a,{written}\n")
    assert [item.language for item in read_set(folder / "table.csv").items] == [code]


def test_a_common_voice_folder(folder: Path) -> None:
    header = "client_id\tpath\tsentence\tup_votes\tlocale\tsegment\n"
    for split, indexes in {"train": (0, 1), "dev": (2,), "test": (3,)}.items():
        rows = "".join(f'x\t{i}.wav\t"{"abcd"[i]}" und\t2\tsv-SE\t\n' for i in indexes)
        (folder / f"{split}.tsv").write_text(header + rows)
    (folder / "clip_durations.tsv").write_text("clip\tduration[ms]\n0.wav\t2000\n")
    assert list(splits(folder)) == ["dev", "test", "train"]
    found = read_set(folder)
    assert pairs(found) == [("0.wav", '"a" und'), ("1.wav", '"b" und')]
    assert found.items[0].language == "sv"
    assert pairs(read_set(folder, split="valid")) == [("2.wav", '"c" und')]
    assert pairs(read_set(folder / "test.tsv")) == [("3.wav", '"d" und')]


def test_common_voice_is_checked_by_its_splits(folder: Path) -> None:
    """Its validated clips repeat those of its splits, and an empty split is not an error."""
    header = "client_id\tpath\tsentence\tlocale\n"
    for table, indexes in {"train": (0, 1), "test": (2,), "validated": (0, 1, 2, 3), "other": (3,)}.items():
        rows = "".join(f"x\t{i}.wav\t{'abcd'[i]}\tde\n" for i in indexes)
        (folder / f"{table}.tsv").write_text(header + rows)
    (folder / "dev.tsv").write_text(header)
    found = read_splits([folder])
    assert [(Path(name).name, len(each.items)) for name, each in found.items()] == [
        ("dev.tsv", 0),
        ("test.tsv", 1),
        ("train.tsv", 2),
    ]
    assert [str(problem) for each in found.values() for problem in each.problems] == [
        f"{folder / 'dev.tsv'} has no items"
    ]
    assert has_split(folder, "test") and not has_split(folder, "valid")
    for name in ("other", "other.tsv"):
        assert pairs(read_set(folder / name)) == [("3.wav", "d")]
        assert [len(each.items) for each in read_splits([folder / name]).values()] == [1]
    with pytest.raises(TxError, match=r"dev\.tsv has no items"):
        read_set(folder, split="valid")
    for table in ("train", "test", "dev"):
        (folder / f"{table}.tsv").unlink()
    assert [len(each.items) for each in read_splits([folder]).values()] == [1, 3]  # all tables


def test_folders_without_media_are_refused(folder: Path) -> None:
    (folder / "nothing").mkdir()
    with pytest.raises(TxError, match="contains no audio or video files"):
        read_set(folder / "nothing")
    with pytest.raises(TxError, match=r"there is no .*elsewhere"):
        read_set(folder / "elsewhere")


# --- datasets saved on disk ---


def test_a_saved_dataset_is_read_without_torchcodec(folder: Path, sounds: list[Path]) -> None:
    code = f"""
import sys
from datasets import Audio, Dataset, DatasetDict, Features, Value
sounds = {[str(sound) for sound in sounds]!r}
held = [dict(bytes=open(sounds[0], "rb").read(), path="0.wav"), dict(bytes=None, path=sounds[1])]
text = Value("string")
raw = Features(path=text, sentence=text, audio=dict(bytes=Value("binary"), path=text))
dataset = Dataset.from_dict(dict(path=["x", "y"], sentence=["a", "b"], audio=held), features=raw)
dataset = dataset.cast_column("audio", Audio())
dataset.save_to_disk("one")
torn = [dict(bytes=b"torn", path="x.wav")] * 2
Dataset.from_dict(dict(path=["x"] * 2, sentence=["a"] * 2, audio=torn), features=raw).cast_column(
    "audio", Audio()).save_to_disk("torn")
DatasetDict(train=dataset, test=dataset.select([1, 0])).save_to_disk("all")
Dataset.from_dict(dict(audio=[sounds[1], "gone.wav"], text=["b", "c"])).save_to_disk("paths")
Dataset.from_dict(dict(audio=[dict(array=[0.0], sampling_rate=16000)], text=["a"])).save_to_disk("decoded")
Dataset.from_dict(dict(sentence=["a"])).save_to_disk("mute")
from tx.speech.media import decode, measure
from tx.speech.datasets import read_set, read_sets
for name in ("one", "all", "paths", "decoded", "mute"):
    try:
        found = read_set(name, split="test")
        print([(str(i.media), i.text, len(decode(i.media)), measure(i.media)) for i in found.items])
        print(*found.problems)
    except Exception as error:
        print(error)
from tx.speech.windows import cut_windows
torn = read_set("torn")
print(cut_windows(torn.items)[1][0])
print(*torn.problems)
twice = read_sets(["one", "./all/test", "mono.tsv"])
print([i.origin for i in twice.items], len(twice.problems), twice.problems[-1])
print(sorted({{"torchcodec", "torch"}} & set(sys.modules)))
"""
    (folder / "mono.tsv").write_text(f"path\ttext\n{sounds[0]}\ta\n{sounds[3]}\tb\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str([("one, row 0", "a", 2 * RATE, 2.0), ("one, row 1", "b", 2 * RATE, 2.0)]),
        "",
        str([("all/test, row 0", "b", 2 * RATE, 2.0), ("all/test, row 1", "a", 2 * RATE, 2.0)]),
        "",
        str([(str(sounds[1]), "b", 2 * RATE, 2.0)]),
        "paths, row 1: neither audio nor the path of an existing file",
        "the column 'audio' of decoded has the fields array, sampling_rate, not encoded audio",
        "mute has no column for the audio: its columns are sentence",
        "torn, row 0 is not an audio or video file, or it is damaged or truncated",
        "torn, row 1 is the same as torn, row 0",
        f"{['one, row 0', 'one, row 1', 'mono.tsv:3']} 3 mono.tsv:2: {sounds[0]} is the same as one, row 0",
        "[]",
    ]


def test_a_damaged_dataset_is_an_error(folder: Path) -> None:
    (folder / "bad").mkdir()
    (folder / "bad" / "state.json").write_text("{")
    with pytest.raises(TxError, match="cannot read the dataset in"):
        read_set(folder / "bad")
    (folder / "worse").mkdir()
    (folder / "worse" / "dataset_dict.json").write_text("[]")
    with pytest.raises(TxError, match=r"dataset_dict\.json"):
        read_set(folder / "worse")


def test_items_can_go_to_other_processes(folder: Path) -> None:
    import pickle

    item = Item(folder / "clips" / "0.wav", "a")
    assert pickle.loads(pickle.dumps(item)) == item
    assert np.array_equal(decode(pickle.loads(pickle.dumps(item)).media), decode(item.media))
