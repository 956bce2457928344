"""The Python API, compared with what the `tx` command prints for the same models and data."""

import json
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import sacrebleu

import tx
from media import beeps
from training import fork_tx, home, model, shared
from whisper import write_tiny_whisper

SENTENCES = ["Der Hund schläft.", "", "Ein Kind isst einen Kuchen."]
CONLL = "Anna B-PER\nlives O\nin O\nBerlin B-LOC\n. O\n\nOtto B-PER\nsleeps O\n. O\n\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in home().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def translator() -> Any:
    return tx.load(model())


@pytest.fixture(scope="module")
def bard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a tiny language model."""
    folder = tmp_path_factory.mktemp("bard")
    (folder / "text").write_text("To be, or not to be, that is the question.\n" * 100)
    tx.train(
        "rnn-lm",
        folder / "text",
        output=folder / "bard",
        max_steps=30,
        batch_size=4,
        seq_len=16,
        threads=1,
        quiet=True,
        set={"model.d_model": 16, "model.n_layers": 1},
    )
    return folder / "bard"


def lines_of(words: list[str], stdin: str = "") -> list[str]:
    done = fork_tx(words, stdin=stdin.encode())
    assert done.status == 0, done.err
    return done.out.split("\n")[:-1]


def test_the_names_are_frozen() -> None:
    assert tx.__all__ == [
        "Entity",
        "Hypothesis",
        "LanguageModel",
        "Recognizer",
        "Tagger",
        "Translator",
        "TxError",
        "WordVectors",
        "__version__",
        "evaluate",
        "load",
        "score",
        "train",
    ]
    assert all(hasattr(tx, name) for name in tx.__all__)
    assert all(getattr(tx, name).__doc__ for name in tx.__all__ if name != "__version__")
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = tx.lode


def test_importing_tx_imports_nothing_heavy() -> None:
    code = (
        "import sys, tx; print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"torch", "numpy", "typer", "rich", "pydantic", "sacrebleu"} == set()


def test_a_str_gives_a_str_and_a_list_gives_a_list(translator: Any) -> None:
    printed = lines_of(["translate", "-m", str(model())], "".join(f"{line}\n" for line in SENTENCES))
    assert translator.translate(SENTENCES) == printed
    assert [translator.translate(line) for line in SENTENCES] == printed
    assert translator.translate([]) == []


def test_hypotheses_have_the_scores_of_the_command(translator: Any) -> None:
    (printed,) = lines_of(["translate", "-m", str(model()), "-n", "3", "--json"], f"{SENTENCES[0]}\n")
    expected = [(each["text"], each["score"]) for each in json.loads(printed)["translations"]]
    found = translator.translate(SENTENCES[0], n_best=3)
    assert [each.text for each in found] == [text for text, _ in expected]
    assert [each.score for each in found] == pytest.approx([score for _, score in expected], abs=1e-4)
    assert translator.translate([SENTENCES[0]], n_best=3) == [found]


def test_options_change_the_search(translator: Any, tmp_path: Path) -> None:
    greedy = lines_of(["translate", "-m", str(model()), "-b", "1"], f"{SENTENCES[0]}\n")
    assert translator.translate(SENTENCES[:1], beam_size=1) == greedy
    sampled = ["translate", "-m", str(model()), "--sample", "--seed", "7", "--json"]
    (drawn,) = json.loads(lines_of(sampled, f"{SENTENCES[0]}\n")[0])["translations"]
    assert translator.translate(SENTENCES[0], sample=True, seed=7) == drawn["text"]
    (tmp_path / "prefix").write_text("Das Haus\n")
    forced = ["translate", "-m", str(model()), "--prefix", str(tmp_path / "prefix")]
    assert translator.translate(SENTENCES[:1], prefix="Das Haus") == lines_of(forced, f"{SENTENCES[0]}\n")


def test_pairs_are_scored_as_by_the_command(translator: Any, tmp_path: Path) -> None:
    src, tgt = SENTENCES[::2], ["The dog sleeps.", "A child."]
    for name, text in (("src", src), ("tgt", tgt)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
    printed = lines_of(["score", "-m", str(model()), str(tmp_path / "src"), str(tmp_path / "tgt")])
    found = translator.score(src, tgt)
    assert found == pytest.approx([float(line.split("\t")[0]) for line in printed], abs=1e-3)
    assert translator.score(src[0], tgt[0]) == pytest.approx(found[0], abs=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.translate("a", n_best=9), "n_best is 9, but must be from 1 to the beam size, 5"),
        (lambda t: t.translate("a", n_best=0), "n_best is 0"),
        (
            lambda t: t.translate("a", n_best=2, sample=True),
            "n_best is 2, but must be from 1 to 1 when sampling",
        ),
        (lambda t: t.translate(["a", 3]), "item 1 is a int, not a str"),
        (lambda t: t.translate(None), "expected text, got a NoneType"),
        (lambda t: t.translate("a", temperature=0.5), "temperature does not apply"),
        (lambda t: t.translate("a", sample=True, temperature=-1), "the temperature is -1"),
        (lambda t: t.translate("a", beam_size=0), "beam_size is 0"),
        (lambda t: tx.evaluate(t, ["a", "b"]), "the model is a Translator"),
        (lambda t: tx.train("bpe", "x", output="y"), "bpe is a kind of tokenizer"),
        (lambda t: tx.score(["a"], ["a"], "wer", normalize="xx"), "no normaliser 'xx'"),
        (lambda t: t.translate(["a"], prefix=["b", "c"]), "2 prefixes for 1 lines"),
        (lambda t: t.score(["a"], []), "1 sources and 0 targets"),
        (lambda t: tx.load("no-such-model"), "no package called 'no-such-model'"),
        (lambda t: tx.train("transformer", [], output="x", batch_tokns=3), "train has no option batch_tokns"),
        (lambda t: tx.evaluate(model(), [shared() / "valid.en"]), "source"),
        (lambda t: tx.evaluate(model(), ["a", "b"], worst=3), "--worst does not apply to translation"),
        (lambda t: tx.score(["a"], ["a", "b"]), "1 line"),
        (lambda t: tx.score(["a"], ["a"], "blue"), "unknown metric 'blue'"),
    ],
)
def test_wrong_calls_are_clear(translator: Any, call: Any, message: str) -> None:
    with pytest.raises(tx.TxError, match=message):
        call(translator)


def test_text_is_generated_as_by_the_command(bard: Path) -> None:
    language_model = tx.load(bard)
    printed = lines_of(["generate", "-m", str(bard), "To be", "--length", "40", "--seed", "5", "--json"])
    text = language_model.generate("To be", length=40, seed=5)
    assert text in "\n".join(printed) or text in json.loads(printed[0])["text"]
    assert "".join(language_model.stream("To be", length=40, seed=5)) == text
    assert text.split("e")[0] == language_model.generate("To be", length=40, seed=5, stop="e")
    words = language_model.next_words("To be, or not to ", n=3)
    assert len(words) == 3 and words[0][1] >= words[1][1] >= words[2][1] > 0


def test_entities_know_their_place(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text(CONLL * 40)
    tagger = tx.train(
        "tagger",
        tmp_path / "train.conll",
        valid=tmp_path / "train.conll",
        output=tmp_path / "names",
        max_steps=40,
        threads=1,
        quiet=True,
        set={"data.vocab_size": 300, "train.lr": 0.01},
    )
    line = "Anna lives in Berlin."
    found = tagger.tag(line)
    printed = json.loads(lines_of(["tag", "-m", str(tmp_path / "names"), "--format", "json"], line + "\n")[0])
    assert [(e.type, e.text, e.start, e.end) for e in found] == [
        (e["type"], e["text"], e["start"], e["end"]) for e in printed["entities"]
    ]
    assert found and all(line[e.start : e.end] == e.text and 0 < e.score <= 1 for e in found)
    assert tagger.tag([line, ""]) == [found, []]


def test_speech_becomes_segments(tmp_path: Path) -> None:
    recognizer = tx.load(write_tiny_whisper(tmp_path / "tiny", multilingual=False))
    segments = recognizer.transcribe(beeps(2.0), activity="none", temperatures=(0.0,))
    assert all(0 <= s.start <= s.end <= 30 and isinstance(s.text, str) for s in segments)
    assert recognizer.transcribe(np.zeros(16000, np.float32)) == []
    with pytest.raises(tx.TxError, match="transcribe has no option beams"):
        recognizer.transcribe(beeps(1.0), beams=3)


def test_training_shows_its_progress_and_returns_the_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = [shared() / "train.de", shared() / "train.en"]
    tiny = {"model.d_model": 8, "model.d_ff": 8, "model.n_heads": 2, "model.n_encoder_layers": 1}
    tiny |= {"model.n_decoder_layers": 1, "data.n_valid": 4, "data.vocab_size": 400}
    translator = tx.train("transformer", data, output=tmp_path / "m", max_steps=2, threads=1, set=tiny)
    assert "finished (max_steps) after 2 steps" in capfd.readouterr().err
    assert isinstance(translator, tx.Translator) and isinstance(translator.translate("Der Hund."), str)
    with pytest.raises(tx.TxError, match="exists already"):
        tx.train("transformer", data, output=tmp_path / "m", max_steps=2)
    tx.train(
        "transformer",
        data,
        output=tmp_path / "m",
        max_steps=2,
        threads=1,
        set=tiny,
        overwrite=True,
        quiet=True,
    )
    assert capfd.readouterr().err == ""


def test_a_run_in_a_thread_can_be_resumed_without_its_data(tmp_path: Path) -> None:
    """Signals belong to the main thread; a run in a notebook's own thread does without them."""
    (tmp_path / "text").write_text("To be, or not to be.\n" * 50)
    tiny = {"model.d_model": 8, "model.n_layers": 1, "train.batch_size": 2, "train.seq_len": 8}
    run = {"output": tmp_path / "m", "threads": 1, "quiet": True}
    thread = Thread(target=lambda: tx.train("rnn-lm", tmp_path / "text", max_steps=2, set=tiny, **run))
    thread.start()
    thread.join()
    tx.train(resume=True, max_steps=4, **run)
    assert json.loads((tmp_path / "m" / "run" / "last" / "state.json").read_text())["step"] == 4


def test_evaluation_is_that_of_the_command() -> None:
    files = [str(shared() / "valid.en"), str(shared() / "valid.de")]
    printed = json.loads(
        "\n".join(lines_of(["evaluate", "-m", str(model()), *files, "--json", "--no-store"]))
    )
    report = tx.evaluate(model(), files)
    assert report.records == printed["scores"]
    assert {record["metric"] for record in report.records} >= {"BLEU", "chrF2"}


def test_scores_are_those_of_sacrebleu() -> None:
    hypotheses, references = ["the cat sat on a mat", "hello"], ["the cat sat on the mat", "hello there"]
    bleu, chrf = tx.score(hypotheses, references)
    assert bleu.value == pytest.approx(sacrebleu.corpus_bleu(hypotheses, [references]).score)
    assert chrf.value == pytest.approx(sacrebleu.corpus_chrf(hypotheses, [references]).score)
    two = tx.score(hypotheses, [references, hypotheses], "bleu")[0]
    assert two.value == pytest.approx(sacrebleu.corpus_bleu(hypotheses, [references, hypotheses]).score)
    assert tx.score(["a b"], ["a c"], "wer")[0].value == 50
    assert tx.score(hypotheses, references, "bleu", n_bootstrap=100)[0].ci is not None
