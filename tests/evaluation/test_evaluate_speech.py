"""`tx evaluate` and `tx data check` on speech: against jiwer, and on datasets with known faults."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from media import beeps, write_media, write_silent_video
from tx.cli.app import app
from tx.errors import TxError, UsageError
from tx.evaluation.error_rates import align, basic, error_rates
from tx.evaluation.speech import Transcript, score, split_by_cue, word_differences, worst_utterances
from tx.package import Package, add_scores, write_package
from tx.package.hf_folder import open_hf_folder
from tx.speech.items import Item
from tx.speech.subtitles import Cue
from tx.speech.transcribe import Options, Segment
from whisper import write_tiny_whisper


def tx(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    for i, seconds in enumerate((1.0, 2.0, 3.0)):
        write_media(folder / f"{i}.wav", beeps(seconds, (0.2,), pitch=300.0 * (i + 1)))
    (folder / "set.tsv").write_text("path\ttext\n0.wav\tGuten Tag, Welt!\n1.wav\tJa\n2.wav\tnein und nein\n")
    write_tiny_whisper(folder / "bare", language="de", task="transcribe")

    def fill(place: Path) -> None:
        for file in (folder / "bare").iterdir():
            shutil.copy(file, place)

    write_package(folder / "packed", fill, task="speech", arch="whisper", config={})
    return folder


# --- the recogniser on items ---


@dataclass
class StubTranscriber:
    """A transcriber whose transcripts are the durations of the audio."""

    batches: list[tuple[list[float], Options]] = field(default_factory=list)
    tokenizer: Any = field(
        default_factory=lambda: SimpleNamespace(languages={"de": 1}, default_language=None)
    )
    folder: Any = field(default_factory=lambda: SimpleNamespace(has=lambda name: False))

    def transcribe_batch(self, sounds: Sequence[np.ndarray], options: Options) -> list[str]:
        self.batches.append(([len(sound) / 16000 for sound in sounds], options))
        return [f" {len(sound) / 16000:g}  seconds " for sound in sounds]

    def transcribe(self, sound: np.ndarray, options: Options) -> list[Segment]:
        self.batches.append(([len(sound) / 16000], options))
        return [Segment(0, 1, " so", "de"), Segment(1, 2, " long", "de")]


def test_items_are_transcribed_in_batches_of_one_language(folder: Path, tmp_path: Path) -> None:
    long = write_media(tmp_path / "long.wav", beeps(40.0))
    items = [
        Item(folder / "0.wav", "1 seconds", language="de"),
        Item(folder / "1.wav", "zwei Sekunden", language="de", origin="a:2"),
        Item(folder / "1.wav", "1.5 seconds", 0.5, language="fr"),
        Item(tmp_path / "gone.wav", "x", origin="a:4"),
        Item(long, "so long"),
        Item(folder / "2.wav", "3 seconds"),
    ]
    transcriber = StubTranscriber()
    found = score(transcriber, items, Options())  # type: ignore[arg-type]
    assert [one.text for one in found.transcripts] == [
        "1 seconds",
        "2 seconds",
        "1.5 seconds",
        "so long",
        "3 seconds",
    ]
    assert [problem.origin for problem in found.problems] == ["a:4"]
    assert [(lengths, options.language) for lengths, options in transcriber.batches] == [
        ([1.0, 2.0], "de"),
        ([1.5], "fr"),
        ([40.0], None),
        ([3.0], None),
    ]
    assert [options.temperatures[1:] == () for _, options in transcriber.batches] == [True, True, False, True]
    assert (found.raw.wer, found.normalizer) == (pytest.approx(2 / 10), "basic")
    score(transcriber, items[:3], Options(language="de"), batch_size=2)  # type: ignore[arg-type]
    assert [lengths for lengths, _ in transcriber.batches[4:]] == [[1.0, 2.0], [1.5]]
    with pytest.raises(TxError, match="no item could be read: a:4"):
        score(transcriber, items[3:4], Options())  # type: ignore[arg-type]
    assert score(transcriber, items[4:], Options(language="en")).normalizer == "english"  # type: ignore[arg-type]


texts = st.lists(st.sampled_from(["a", "b,", "B", "c", "–"]), max_size=6).map(" ".join)


@given(st.lists(texts.filter(bool), min_size=2, max_size=5), texts)
def test_a_transcript_is_split_where_the_cues_are(refs: list[str], hyp: str) -> None:
    cues = tuple(Cue(i, i + 1, text) for i, text in enumerate(refs))
    item = Item(Path("talk.mp4"), " ".join(refs), cues=cues, origin="talk.srt", lines=tuple(range(len(refs))))
    parts = split_by_cue(Transcript(item, hyp))
    assert [part.item.text for part in parts] == refs
    assert [part.item.origin for part in parts] == [f"talk.srt:{i}" for i in range(len(refs))]
    assert " ".join(part.text for part in parts if part.text) == hyp
    keys = [[basic(word) for word in text.split()] for text in (item.text, hyp)]
    whole = sum(kind != "hit" for kind, _, _ in align(*keys))
    pairs = [
        ([basic(w) for w in part.item.text.split()], [basic(w) for w in part.text.split()]) for part in parts
    ]
    assert sum(kind != "hit" for pair in pairs for kind, _, _ in align(*pair)) == whole


def test_the_worst_utterances_and_word_differences() -> None:
    refs = ["a b c d", "a b", "x", "a b c"]
    rates = error_rates(refs, ["a b c d", "c d", "y z", "a b d"])
    assert worst_utterances(rates, 5) == [2, 1, 3]  # two errors in one word, two in two, one in three
    assert worst_utterances(rates, 1) == [2]
    assert word_differences("Guten Tag – Welt, du!", "guten Abend Welt du da", basic) == [
        ("Guten", "guten", True),
        ("Tag", "Abend", False),
        ("–", "", True),
        ("Welt,", "Welt", True),
        ("du!", "du", True),
        ("", "da", False),
    ]


# --- tx evaluate ---


@pytest.mark.parametrize("name", ["bare", "packed"])
def test_evaluate_gives_jiwers_numbers(folder: Path, name: str) -> None:
    done = tx("evaluate", "-m", folder / name, folder / "set.tsv", "--json", "--no-store")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    refs = [sentence["ref"] for sentence in report["sentences"]]
    hyps = [sentence["hyps"][0] for sentence in report["sentences"]]
    assert refs == ["Guten Tag, Welt!", "Ja", "nein und nein"]
    scores = {(score["metric"], score["text"]): score for score in report["scores"]}
    words, normalized = (
        jiwer.process_words(refs, hyps),
        jiwer.process_words([*map(basic, refs)], [*map(basic, hyps)]),
    )
    assert scores["WER", "raw"]["value"] == pytest.approx(100 * words.wer)
    assert scores["WER", "normalized"]["value"] == pytest.approx(100 * normalized.wer)
    for part in ("substitutions", "deletions", "insertions"):
        assert scores["WER", "raw"][part] == getattr(words, part)
        assert scores["WER", "normalized"][part] == getattr(normalized, part)
    assert scores["CER", "raw"]["value"] == pytest.approx(100 * jiwer.cer(refs, hyps))
    assert all(score["ci"] >= 0 and score["p_value"] is None for score in report["scores"])


def test_evaluate_shows_the_worst_and_stores_the_scores(folder: Path, tmp_path: Path) -> None:
    done = tx(
        "evaluate", "-m", folder / "packed", folder / "set.tsv", "--worst", "2", "-o", tmp_path / "hyps"
    )
    assert done.exit_code == 0, done.output
    rows = [line.split("\t") for line in done.stdout.splitlines()[:5]]
    assert [row[:3] for row in rows] == [
        ["data", "metric", "text"],
        ["set.tsv", "WER", "normalized"],
        ["set.tsv", "WER", "raw"],
        ["set.tsv", "CER", "normalized"],
        ["set.tsv", "CER", "raw"],
    ]
    assert done.stdout.count(" errors in ") == 2 and "[-nein und nein-]" in done.stdout
    assert len((tmp_path / "hyps").read_text().split("\n")) == 4
    stored = {score["metric"]: score for score in Package.open(folder / "packed").scores}
    assert set(stored) == {"WER", "WER as written", "CER", "CER as written"}
    assert stored["WER"]["signature"] == "norm:basic|n:3|beam:1|engine:native|lang:own"


def test_storing_scores_keeps_a_conversion_valid(folder: Path) -> None:
    before = open_hf_folder(folder / "packed").fingerprint()
    add_scores(
        Package.open(folder / "packed"), [{"metric": "WER", "value": 1.0, "signature": "", "data": "other"}]
    )
    assert open_hf_folder(folder / "packed").fingerprint() == before


def test_two_models_are_compared(folder: Path) -> None:
    done = tx(
        "evaluate", "-m", folder / "bare", folder / "set.tsv", "--against", folder / "packed", "--worst", "0"
    )
    header, *rows = (line.split("\t") for line in done.stdout.splitlines())
    assert (header[1], header[6]) == ("model", "p")
    assert [row[1] for row in rows] == ["bare"] * 4 + ["packed"] * 4
    assert [row[6] for row in rows] == ["-"] * 4 + ["1.0000"] * 4  # they are the same
    assert [row[4:6] + row[7:] for row in rows[:4]] == [row[4:6] + row[7:] for row in rows[4:]]


def test_a_second_model_transcribes_the_language_of_the_first(folder: Path, tmp_path: Path) -> None:
    """Otherwise a model that has to detect the language would be at a disadvantage."""
    write_tiny_whisper(tmp_path / "guessing", language=None, task="transcribe")
    words = ("evaluate", "-m", folder / "bare", folder / "set.tsv", "--worst", "0", "--json", "--against")
    alone = json.loads(tx(*words, tmp_path / "guessing").stdout)
    named = json.loads(tx(*words, tmp_path / "guessing", "--language", "de").stdout)
    assert "lang:de" in alone["scores"][0]["signature"] and alone == named


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        (["nothing.tsv"], TxError, "there is no file or folder nothing.tsv"),
        (["set.tsv", "--language", "Germn"], UsageError, "knows no language 'Germn'"),
        (["set.tsv", "--engine", "fast"], UsageError, "no engine 'fast'"),
        (["set.tsv", "--normalize", "both"], UsageError, "no normaliser 'both'"),
        (["set.tsv", "--tokenize", "13a"], UsageError, "--tokenize does not apply to speech"),
        (["set.tsv", "--against", "./none"], TxError, "there is no package at none"),
    ],
)
def test_wrong_usage_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], error: type[TxError], words: str
) -> None:
    monkeypatch.chdir(folder)
    done = tx("evaluate", "-m", "./bare", *args)
    assert isinstance(done.exception, error) and words in done.exception.message


# --- tx data check ---


def test_a_dataset_is_reported_with_its_problems(folder: Path, tmp_path: Path) -> None:
    for i in range(3):
        shutil.copy(folder / f"{i}.wav", tmp_path)
    write_media(tmp_path / "long.wav", beeps(31.0))
    write_silent_video(tmp_path / "silent.mp4")
    data = (folder / "2.wav").read_bytes()
    (tmp_path / "half.wav").write_bytes(data[: len(data) // 2])
    lines = ["path\ttext\tlanguage", "0.wav\tGuten Tag\tde", "1.wav\t \tde", "2.wav\t" + "x" * 450 + "\tde"]
    lines += ["0.wav\tGuten Tag\tde", "long.wav\tlang\tde", "silent.mp4\tstumm\tde", "half.wav\thalb\tde"]
    lines += ["1.wav\tunbekannt\txx"]
    table = tmp_path / "set.tsv"
    table.write_text("\n".join(lines))
    done = tx("data", "check", table, "-m", folder / "bare", "--json")
    assert done.exit_code == 0, done.output
    (report,) = json.loads(done.stdout)["sets"]
    assert {problem["origin"]: problem["kind"] for problem in report["problems"]} == {
        f"{table}:3": "empty text",
        f"{table}:5": "duplicate",
        f"{table}:4": "label too long",
        f"{table}:6": "over 30 s without times",
        f"{table}:7": "media that cannot be read",
        f"{table}:8": "media that cannot be read",
        f"{table}:9": "unknown language",
    }
    assert (report["items"], report["windows"], report["seconds"], report["languages"]) == (
        6,
        1,
        1.0,
        {"de": 1},
    )
    assert (report["unit"], report["labels"]["longest"]) == ("tokens", len(" Guten Tag") + 5)
    assert tx("data", "check", table, "--strict").exit_code == 1
    header, row, *rest = tx("data", "check", table, "--problems", "1").stdout.splitlines()
    assert header.startswith("set\titems\twindows\t")
    assert row.split("\t") == [
        str(table),
        "6",
        "3",
        "0:00:06",
        "1.0",
        "2.0",
        "3.0",
        "9",
        "450",
        "de:2 xx:1",
        "5",
    ]
    assert "2 skipped: media that cannot be read" in rest and "  and 1 more" in rest


def test_splits_have_their_own_reports(folder: Path, tmp_path: Path) -> None:
    for split, i in {"train": 0, "test": 1}.items():
        (tmp_path / split).mkdir()
        shutil.copy(folder / f"{i}.wav", tmp_path / split)
        shutil.copy(folder / "2.wav", tmp_path / split / "both.wav")
        rows = f"file_name,text\n{i}.wav,eins\nboth.wav,zwei\n"
        (tmp_path / split / "metadata.csv").write_text(rows)
    report = json.loads(tx("data", "check", tmp_path, "--json").stdout)["sets"]
    assert [(Path(each["name"]).name, each["windows"]) for each in report] == [("test", 2), ("train", 1)]
    (problem,) = report[1]["problems"]
    assert problem["kind"] == "duplicate" and str(tmp_path / "test" / "both.wav") in problem["what"]
    assert tx("data", "check", tmp_path / "train", "--strict").exit_code == 0
