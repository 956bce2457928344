"""Fine-tuning Whisper, held to transformers' own tokenizer, features, encoder and generation, to PEFT's own sums, to
numpy for augmentation, and to itself: a run that was stopped and resumed ends in the same weights.
"""

import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from media import beeps, write_media
from training import fork_tx
from tx.config.schema import SPEECH, FinetuneConfig, RunConfig, defaults
from tx.errors import TxError, UsageError
from tx.package import Package
from tx.speech.datasets import read_set
from tx.speech.subtitles import Cue
from tx.speech.whisper_tokenizer import SMALLEST_MULTILINGUAL
from tx.speech.windows import Labels, Window
from tx.tasks.speech.augment import add_noise, change_speed, hide_bands
from tx.tasks.speech.batch import IGNORED, Collator, Example, Examples, Order, faster, window_for
from tx.tasks.speech.checkpoint import find_checkpoint, load_model, load_processor, transformers
from tx.tasks.speech.data import apart, hold_out, write_table
from tx.tasks.speech.model import learning_rate_for, lift_suppression, lock, merged_weights, prepare, save
from tx.tasks.speech.run import forecast, make_trainer, plan, train_whisper
from tx.tasks.speech.session import open_session
from tx.tasks.speech.trainer import load_progress
from tx.tasks.speech.validate import generate, score
from whisper import byte_tokenizer, write_tiny_whisper

pytest.importorskip("transformers")
BASE = os.environ.get("TX_WHISPER_BASE", "")
RATE = 16_000


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In float16, as the real ones are."""
    folder = write_tiny_whisper(tmp_path_factory.mktemp("tiny") / "whisper", max_length=12)
    weights = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set") / "beeps")


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.trained: list[dict[str, Any]] = []
        self.found: list[tuple[dict[str, Any], bool]] = []

    def info(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)

    def train(self, record: dict[str, Any]) -> None:
        self.trained.append(record)

    def validated(self, record: dict[str, Any], worst: list[dict[str, str]], best: bool) -> None:
        self.found.append((record, best))


def configuration(tiny: Path, speech: Path, **changes: Any) -> RunConfig:
    """Six steps over a set of beeps; keys as in `train_lr`, `finetune_lora`."""
    config = defaults(SPEECH)
    config.arch = "whisper"
    config.data.train = [str(speech)]
    config.finetune.init_from, config.finetune.language = str(tiny), "de"
    config.train.batch_size, config.train.max_steps, config.train.eval_every = 2, 6, 3
    config.train.precision, config.train.log_every, config.train.lr = "float32", 2, 1e-3
    for key, value in changes.items():
        section, _, name = key.partition("_")
        setattr(getattr(config, section), name, value)
    return config


def write_set(folder: Path, n: int = 8, seconds: float = 1.0) -> Path:
    """`n` files of beeps of different pitch and length, with a table of their texts; other noise in other sets."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([n, crc32(folder.name.encode())])
    rows = ["file_name,transcription"]
    for i in range(n):
        length = seconds * (1 + i % 3)
        sound = beeps(length, at=(0.1,), length=length - 0.3, pitch=200.0 + 40 * i)
        sound += 0.01 * rng.standard_normal(len(sound)).astype(np.float32)
        write_media(folder / f"{i}.wav", sound)
        rows.append(f"{i}.wav,beep {'ho' * (i % 4 + 1)} {i}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def window(text: str = "Guten Tag.", seconds: float = 2.0, **more: Any) -> Window:
    return Window(Path("none.wav"), 0.0, seconds, text, **more)


def example(seconds: float, text: str, labels: Labels, **options: bool) -> Example:
    ids, n_prompt = labels.ids(window(text, seconds, previous="Hallo."), **options)
    return Example(beeps(seconds, at=(0.2,)), ids, n_prompt, 0)


# --- what the decoder is fed ---


@pytest.mark.skipif(not BASE, reason="TX_WHISPER_BASE names no folder with the real tokenizer")
def test_the_exact_ids_of_one_sentence() -> None:
    """One start token, and the ids that transformers' tokenizer gives; the numbers are OpenAI's."""
    from transformers import WhisperTokenizer

    tokenizer = WhisperTokenizer.from_pretrained(BASE)
    batch = Collator(80, 50257)([example(2.0, "Guten Tag, wie geht's?", Labels(tokenizer, "de"))])
    inputs, labels = batch["decoder_input_ids"][0].tolist(), batch["labels"][0].tolist()
    assert inputs == [50258, 50261, 50359, 50363, 42833, 11204, 11, 3355, 7095, 311, 30]
    assert labels == [*inputs[1:], 50257]
    tokenizer.set_prefix_tokens(language="de", task="transcribe", predict_timestamps=False)
    assert [*inputs, 50257] == tokenizer(" Guten Tag, wie geht's?").input_ids


def test_one_start_token_and_no_loss_on_padding_and_prompts() -> None:
    tokenizer = byte_tokenizer()
    labels, start = Labels(tokenizer, "de"), tokenizer.token_to_id("<|startoftranscript|>")
    end = tokenizer.token_to_id("<|endoftext|>")
    rows = [example(1.0, "Ja.", labels), example(1.5, "Guten Tag.", labels, previous=True)]
    batch = Collator(80, end)(rows)
    inputs, targets = batch["decoder_input_ids"], batch["labels"]
    assert (inputs == start).sum(1).tolist() == [1, 1]
    assert inputs[0, 0] == start and inputs[1, rows[1].n_prompt] == start
    assert (targets == start).sum() == 0
    for row, one in enumerate(rows):
        n = len(one.ids) - 1
        assert inputs[row, :n].tolist() == one.ids[:-1]
        assert targets[row, one.n_prompt : n].tolist() == one.ids[one.n_prompt + 1 :]
        assert set(targets[row, : one.n_prompt].tolist()) <= {IGNORED}
        assert set(targets[row, n:].tolist()) <= {IGNORED}
        assert targets[row, n - 1] == end


def test_a_fitted_window_has_the_first_features_of_the_whole() -> None:
    from transformers import WhisperFeatureExtractor

    labels, sound = Labels(byte_tokenizer(), "de"), 0.1 * np.random.default_rng(1).standard_normal(3 * RATE)
    one = replace(example(3.0, "Ja.", labels), audio=sound.astype(np.float32))
    features = Collator(80, 0, seconds=0.0)([one])["input_features"]
    whole = WhisperFeatureExtractor()(sound, sampling_rate=RATE, return_tensors="pt")["input_features"]
    assert features.shape == (1, 80, 400)
    torch.testing.assert_close(features, whole[:, :, :400], atol=2e-3, rtol=0)
    assert Collator(80, 0, seconds=30.0)([one])["input_features"].shape == (1, 80, 3000)


def test_windows_are_whole_seconds_and_cut_off_nothing() -> None:
    assert window_for(round(3.2 * RATE)) == 5 * RATE  # with a second of silence
    assert window_for(30 * RATE) == 30 * RATE
    assert window_for(3 * RATE, 10.0) == 10 * RATE
    assert window_for(12 * RATE, 10.0) == 12 * RATE
    assert all(window_for(n, s) % 320 == 0 for n in range(1, 30 * RATE, 7777) for s in (0.0, 7.3))


def test_a_short_window_is_what_a_model_with_a_short_table_hears(tiny: Path) -> None:
    """Held to transformers' own encoder, with the table cut to the window."""
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    model = load_model(find_checkpoint(str(tiny))).eval()
    features, table = torch.randn(2, 80, 200), model.model.encoder.embed_positions.weight.clone()
    cut = WhisperEncoder(type(model.config)(**{**model.config.to_dict(), "max_source_positions": 100})).eval()
    weights = model.model.encoder.state_dict() | {"embed_positions.weight": table[:100]}
    cut.load_state_dict(weights)
    whole, long = model.model.encoder(torch.randn(1, 80, 3000)), torch.randn(1, 80, 3000)
    before = model.model.encoder(long).last_hidden_state
    prepare(model, FinetuneConfig())
    torch.testing.assert_close(
        model.model.encoder(features).last_hidden_state, cut(features).last_hidden_state
    )
    torch.testing.assert_close(model.model.encoder(long).last_hidden_state, before)
    assert whole.last_hidden_state.shape == before.shape
    assert torch.equal(model.model.encoder.embed_positions.weight, table)


# --- order and augmentation ---


def test_an_epoch_has_every_item_once_and_batches_of_one_length() -> None:
    rng = np.random.default_rng(0)
    windows = [window(seconds=float(s)) for s in rng.uniform(1, 29, 1003)]
    order = Order(windows, 10, seed=1)
    first = list(order)
    order.epoch = 1
    second = list(order)
    assert sorted(first) == list(range(1003)) and sorted(second) == list(range(1003, 2006))
    assert [key - 1003 for key in second] != first
    batches = [first[i : i + 10] for i in range(0, 1000, 10)]
    spread = np.mean([np.ptp([windows[i].end for i in batch]) for batch in batches])
    assert spread < 3  # by chance it would be 23
    assert (
        np.ptp([np.mean([windows[i].end for i in batch]) for batch in batches[:20]]) > 10
    )  # not sorted as such


def test_speed_moves_pitch_and_times() -> None:
    fast = change_speed(beeps(2.0, at=(0.0,), length=2.0, pitch=400.0), 1.25)
    assert len(fast) == round(2.0 * RATE / 1.25)
    spectrum = np.abs(np.fft.rfft(fast))
    assert np.argmax(spectrum) * RATE / len(fast) == pytest.approx(500, abs=1)
    assert np.abs(fast).max() == pytest.approx(0.4, rel=0.05)
    slow = faster(window(cues=(Cue(1.0, 2.0, "ja"),), crossing=1.5), 0.5)
    assert (slow.cues[0].start, slow.cues[0].end, slow.crossing, slow.end) == (2.0, 4.0, 3.0, 4.0)


def test_noise_is_as_loud_as_it_should_be() -> None:
    sound = beeps(2.0, at=(0.0,), length=2.0)
    noise = add_noise(sound, 20.0, np.random.default_rng(0)) - sound
    assert 10 * np.log10(np.mean(sound**2) / np.mean(noise**2)) == pytest.approx(20.0, abs=0.01)


def test_hidden_bands_leave_most_of_the_sound_and_all_of_the_silence() -> None:
    mel = np.random.default_rng(0).standard_normal((80, 500)).astype(np.float32)
    hidden = [hide_bands(mel, 300, np.random.default_rng(seed)) for seed in range(50)]
    changed = np.array([one != mel for one in hidden])
    assert all(c[:, :300].mean() + 0.1 > 0.1 and c[:, :300].mean() < 0.8 for c in changed)
    assert changed.any(axis=(1, 2)).mean() > 0.9
    in_silence = changed[:, :, 300:].mean(axis=2)
    assert set(np.unique(in_silence)) <= {0.0, 1.0}  # bands of pitch alone
    assert np.array_equal(hidden[0], hide_bands(mel, 300, np.random.default_rng(0)))


def test_what_is_random_about_an_item_follows_from_seed_epoch_and_item(speech: Path) -> None:
    windows = [replace(window(), media=speech / "0.wav", end=1.0)]
    config = FinetuneConfig(speed=0.1, noise=1.0, timestamps=0.5)
    examples = Examples(windows, Labels(byte_tokenizer(), "de"), config, seed=3)
    again = Examples(windows, Labels(byte_tokenizer(), "de"), config, seed=3)
    for epoch in range(4):
        one, same = examples[epoch], again[epoch]
        assert np.array_equal(one.audio, same.audio) and one.ids == same.ids
    assert len({len(examples[epoch].audio) for epoch in range(4)}) == 4
    times = byte_tokenizer().token_to_id("<|0.00|>")
    assert {times in examples[epoch].ids for epoch in range(12)} == {True, False}


# --- models ---


def test_locked_models_write_german_without_being_asked(tiny: Path, tmp_path: Path) -> None:
    """transformers opens what was saved; its generation starts with German and may write what was suppressed."""
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    folder = find_checkpoint(str(tiny))
    model, processor = load_model(folder), load_processor(folder)
    assert model.dtype == torch.float32  # the folder holds float16
    lock(model, "de", "transcribe")
    lift_suppression(model)
    save(prepare(model, FinetuneConfig()), processor, tmp_path)
    saved = WhisperForConditionalGeneration.from_pretrained(tmp_path)
    suppressed = list(saved.generation_config.suppress_tokens)
    tokenizer = WhisperProcessor.from_pretrained(tmp_path).tokenizer
    seen: list[int] = []
    forward = saved.model.decoder.forward

    def watch(input_ids: torch.Tensor, **more: Any) -> Any:
        seen.extend(input_ids[0].tolist())
        return forward(input_ids=input_ids, **more)

    saved.model.decoder.forward = watch
    saved.generate(input_features=torch.zeros(1, 80, 3000))
    start = ["<|startoftranscript|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>"]
    assert tokenizer.convert_ids_to_tokens(seen[:4]) == start
    before = json.loads((tiny / "generation_config.json").read_text())["suppress_tokens"]
    assert suppressed == [i for i in before if i not in (65, 70)]  # which are text
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"config.json", "generation_config.json", "tokenizer.json", "preprocessor_config.json"}
    assert names >= {"processor_config.json", "model.safetensors"}


@pytest.mark.parametrize("freeze", [False, True])
def test_merged_adapters_give_the_logits_of_the_model_with_adapters(tiny: Path, freeze: bool) -> None:
    model = prepare(
        load_model(find_checkpoint(str(tiny))), FinetuneConfig(lora=4, freeze_encoder=freeze)
    ).eval()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(".lora_" in name for name in trained)
    assert any(".encoder." in name for name in trained) != freeze
    for name, parameter in model.named_parameters():
        if name in trained:
            torch.nn.init.normal_(parameter, std=0.3)
    inputs = {"input_features": torch.randn(1, 80, 400), "decoder_input_ids": torch.tensor([[257, 260, 30]])}
    with torch.no_grad():
        expected, weights = model(**inputs).logits, merged_weights(model)
        merged = load_model(find_checkpoint(str(tiny))).eval()
        untouched = prepare(merged, FinetuneConfig())(**inputs).logits
        merged.load_state_dict(weights)
        torch.testing.assert_close(merged(**inputs).logits, expected)
    assert (untouched - expected).abs().max() > 1e-2


def test_a_frozen_encoder_gets_no_gradient(tiny: Path) -> None:
    model = prepare(
        load_model(find_checkpoint(str(tiny))), FinetuneConfig(freeze_encoder=True, checkpointing=True)
    )
    model.train()
    model(
        input_features=torch.randn(1, 80, 200), decoder_input_ids=torch.tensor([[257, 3]])
    ).logits.sum().backward()
    assert all(p.grad is None for p in model.model.encoder.parameters())
    assert all(p.grad is not None for p in model.model.decoder.layers.parameters())


def test_rates_by_size() -> None:
    assert [learning_rate_for(d) for d in (384, 512, 768, 1024, 1280)] == [
        3.75e-5,
        2.5e-5,
        1.25e-5,
        6.25e-6,
        5e-6,
    ]
    assert learning_rate_for(512, lora=True) == 1e-3


# --- what a run starts from ---


def test_faults_of_a_checkpoint_are_one_sentence(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TX_HOME", str(tmp_path / "home"))
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tiny.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"d_model": 1 << 20}))
    with pytest.raises(TxError, match=r"config\.json says"):
        load_model(find_checkpoint("copy"))
    (copy / "config.json").write_text(json.dumps(config))
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(TxError):
        load_model(find_checkpoint("copy"))
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(TxError, match=r"model\.safetensors"):
        load_model(find_checkpoint("copy"))
    for name in ("nothing", "./nothing", "/no/such/folder"):
        with pytest.raises(TxError, match="there is no folder and no package"):
            find_checkpoint(name)


def test_without_a_network_the_hub_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TX_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TxError, match="the hub cannot be reached for openai/whisper-base") as told:
        find_checkpoint("whisper-base")
    assert told.value.hint and "folder" in told.value.hint


def test_generation_settings_that_are_missing_follow_from_the_tokenizer(speech: Path, tmp_path: Path) -> None:
    """Folders of older fine-tuned models have no generation_config.json: held to what one says."""
    from transformers import GenerationConfig, WhisperForConditionalGeneration

    old = write_tiny_whisper(tmp_path / "old", vocab_size=SMALLEST_MULTILINGUAL)
    settings = json.loads((old / "generation_config.json").read_text())
    (old / "generation_config.json").unlink()
    config = configuration(old, speech, train_max_steps=1)
    train_whisper(config, tmp_path / "mine", resume=False, listener=Heard())
    made = GenerationConfig.from_pretrained(tmp_path / "mine")
    for name in set(settings) - {"suppress_tokens", "begin_suppress_tokens"}:
        assert getattr(made, name) == settings[name], name
    assert (made.language, made.task) == ("de", "transcribe")
    model = WhisperForConditionalGeneration.from_pretrained(tmp_path / "mine")
    assert model.generate(torch.zeros(1, 80, 3000), language="fr", max_new_tokens=3).shape[1] <= 7


def test_wrong_wishes(tiny: Path, speech: Path) -> None:
    with pytest.raises(UsageError, match="klingon"):
        open_session(configuration(tiny, speech, finetune_language="klingon"), Heard())
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        open_session(configuration(tiny, speech, train_precision="fp16", train_device="cpu"), Heard())
    with pytest.raises(TxError, match="which language"):
        open_session(configuration(tiny, speech, finetune_language=""), Heard())


def test_plans() -> None:
    config = defaults(SPEECH)
    assert (plan(config, 80).steps, plan(config, 80).per_epoch) == (
        100,
        10,
    )  # ten epochs of ten batches of eight
    config.train.max_steps, config.train.max_epochs, config.train.grad_accum = 40, 9, 3
    assert (plan(config, 80).steps, plan(config, 80).per_epoch, plan(config, 80).eval_every) == (36, 4, 5)
    config.train.max_steps = config.train.max_epochs = 0
    config.train.max_time = "10m"
    assert plan(config, 80).max_seconds == 600 and plan(config, 80).eval_every == 4


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


def test_what_was_held_out_can_be_read_again(speech: Path, tmp_path: Path) -> None:
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


def test_what_is_validated_on_is_not_trained_on(tiny: Path, speech: Path, tmp_path: Path) -> None:
    """Neither in the same file, nor in a copy with the same text, whether sets or excerpts of them are given."""
    copy, heard = tmp_path / "copy.wav", Heard()
    copy.write_bytes((speech / "1.wav").read_bytes())
    valid = tmp_path / "valid.csv"
    valid.write_text(f"path,text\n{speech}/0.wav,anders\n{copy},beep hoho 1\n")
    also = tmp_path / "also.jsonl"
    also.write_text(
        json.dumps({"path": f"{speech}/../{speech.name}/2.wav", "text": "a", "start": 1, "end": 2})
    )
    config = configuration(tiny, speech, data_valid=[str(valid)], finetune_also_valid=[str(also)])
    data = open_session(config, heard).data
    assert [w.media.name for w in data.train if isinstance(w.media, Path)] == [
        f"{i}.wav" for i in range(3, 8)
    ]
    assert (
        "3 skipped: in a validation set, too" in heard.said and "5 items are left to train on" in heard.said
    )
    assert f"  {speech}/metadata.csv:3: {speech}/1.wav is the same as {copy} in {valid}:3" in heard.said
    config.finetune.strict = True
    valid.write_text(f"path,text\n{speech}/0.wav,anders\n")
    with pytest.raises(TxError, match=r"2 items cannot be used \(2 in a validation set, too\)"):
        open_session(config, heard)
    config.finetune.strict, config.data.valid = False, [str(speech)]  # all of them
    with pytest.raises(TxError, match="all that is to be trained on is to be validated on, too"):
        open_session(config, heard)
    talk = [window(seconds=30.0 * i + 30.0) for i in range(3)]
    talk = [replace(w, start=30.0 * i) for i, w in enumerate(talk)]
    kept, problems = apart(
        talk, [replace(window(), start=29.0, end=40.0), replace(window(), start=61.0, end=62.0)]
    )
    assert kept == talk[:1] and len(problems) == 2


# --- runs ---


def test_a_run_ends_in_a_package_that_every_tool_opens(tiny: Path, speech: Path, tmp_path: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    heard, out, more = Heard(), tmp_path / "mine", write_set(tmp_path / "beeps", n=6)
    config = configuration(tiny, speech, finetune_also_valid=[str(more)], train_lr=1e-2)
    progress = train_whisper(config, out, resume=False, listener=heard)
    held_out = [line for line in heard.said if "held out" in line]
    assert (out / "run/valid.jsonl").exists() == bool(held_out)
    assert progress.finished == "max_steps" and progress.step == 6
    package = Package.open(out, SPEECH)
    assert package.decode == {"language": "de", "task": "transcribe"} and package.arch == "whisper"
    WhisperForConditionalGeneration.from_pretrained(out)
    load_model(find_checkpoint(str(out)))  # a package is a start, too
    log = [json.loads(line) for line in (out / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [0, 2, 3, 4, 6, 6]
    assert all("valid_wer" in row and "also_beeps_cer" in row for row in log if row["step"] in (0, 3))
    losses = [row["loss"] for row in log if "loss" in row]
    assert losses[-1] < losses[0] < 1.1 * np.log(1769) * 1.5
    assert {score["metric"] for score in package.scores} == {"wer", "cer"}
    data = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(TxError, match="SHA-256"):
        Package.open(out, SPEECH)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_model(find_checkpoint(str(folder))).state_dict())


def test_a_run_that_was_stopped_ends_in_the_same_weights(tiny: Path, speech: Path, tmp_path: Path) -> None:
    """Stopped in the middle of an epoch, between two validations."""
    config = configuration(tiny, speech, finetune_speed=0.1, finetune_noise=0.5, train_eval_every=6)
    train_whisper(config, tmp_path / "whole", resume=False, listener=Heard())

    class Impatient(Heard):
        def train(self, record: dict[str, Any]) -> None:
            os.kill(os.getpid(), 2)  # as Ctrl-C does

    stopped = train_whisper(config, tmp_path / "parts", resume=False, listener=Impatient())
    assert stopped.step == 2 and not stopped.finished
    resumed = train_whisper(config, tmp_path / "parts", resume=True, listener=Heard())
    assert resumed.step == 6 and resumed.finished == "max_steps"
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, msg=name)
    logs = [(tmp_path / name / "run/metrics.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    steps = [[json.loads(line)["step"] for line in log] for log in logs]
    assert steps[0] == steps[1] == [0, 2, 4, 6, 6]
    with pytest.raises(TxError, match=r"train\.lr"):
        train_whisper(configuration(tiny, speech, train_lr=0.5), tmp_path / "parts", True, Heard())


@pytest.mark.parametrize("lora", [0, 2])
def test_a_last_validation_that_was_stopped_is_made_up_for(
    lora: int, tiny: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What such a run has left to do is to score the model and to publish it; a higher limit goes on with it."""
    out, heard, calls = tmp_path / "mine", Heard(), []

    def stopped_at_second(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            os.kill(os.getpid(), 2)  # as Ctrl-C does
        return generate(*args)

    config = configuration(tiny, speech, train_max_steps=2, train_eval_every=2, finetune_lora=lora)
    config.finetune.spec_augment, config.finetune.speed, config.finetune.noise = False, 0.05, 0.1
    monkeypatch.setattr("tx.tasks.speech.session.generate", stopped_at_second)
    stopped = train_whisper(config, out, resume=False, listener=heard)
    assert stopped.step == 2 and not stopped.finished and not (out / "model.json").exists()
    assert train_whisper(config, out, resume=True, listener=heard).finished == "max_steps"
    package = Package.open(out, SPEECH)
    assert package.scores[0]["data"] == "validation, step 2"
    n = sum(p.numel() for p in load_model(find_checkpoint(str(tiny))).parameters())
    told = {"parameters": n, "lora": lora, "precision": "float32", "speed": 0.05, "noise": 0.1}
    told |= {"spec_augment": False, "previous_text": 0.0}
    assert told.items() <= package.config.items()
    train_whisper(config, out, resume=True, listener=heard)
    assert "this run is finished" in heard.said[-1]
    config.train.max_steps = 4
    assert train_whisper(config, out, resume=True, listener=heard).step == 4
    log = [json.loads(line) for line in (out / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [0, 2, 2, 4, 4]


def test_the_clock_of_steps_stands_still_meanwhile(tiny: Path, speech: Path, tmp_path: Path) -> None:
    """Validations of a second each are in the seconds of the run, and not in those of its steps."""
    heard = Heard()

    def slow(*args: Any) -> Any:
        time.sleep(1)
        return generate(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tx.tasks.speech.session.generate", slow)
        config = configuration(tiny, speech, train_max_steps=8, train_log_every=3, train_eval_every=2)
        train_whisper(config, tmp_path / "mine", resume=False, listener=heard)
    ends = [0.0, *(row["seconds"] for row in heard.trained)]
    for row, n, start, end in zip(heard.trained, (3, 3, 2), ends[:-1], ends[1:], strict=True):
        assert row["s_per_step"] * n < end - start - 1


def test_two_small_batches_make_the_update_of_one_large(tiny: Path, speech: Path, tmp_path: Path) -> None:
    """Their loss is divided once, by all their tokens, although the texts differ in length."""
    one = configuration(tiny, speech, train_batch_size=4, train_max_steps=1, finetune_audio_window=30.0)
    two = configuration(tiny, speech, train_grad_accum=2, train_max_steps=1, finetune_audio_window=30.0)
    for name, config in (("one", one), ("two", two)):
        config.train.schedule, config.train.warmup_steps = "constant", 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Order, "__iter__", lambda self: iter(range(len(self))))
            train_whisper(config, tmp_path / name, resume=False, listener=Heard())
    first, second, start = (weights_of(folder) for folder in (tmp_path / "one", tmp_path / "two", tiny))
    moved = {name: (weight - start[name]).abs().max() for name, weight in first.items()}
    assert max(moved.values()) > 5e-4
    name = "model.decoder.layers.0.fc1.weight"  # Adam's first step is the sign of the gradient, so few may differ
    assert ((first[name] - second[name]).abs() > 1e-5).float().mean() < 0.01


def test_patience_and_a_warning_where_it_gets_worse(tiny: Path, speech: Path, tmp_path: Path) -> None:
    heard = Heard()
    config = configuration(tiny, speech, train_lr=0.0, train_eval_every=1, train_patience=2)
    config.train.lr = 1e-12
    with pytest.MonkeyPatch.context() as patch:
        texts = iter(["beep hoho 5", "beep", "beep x", "y", "z"])
        patch.setattr("tx.tasks.speech.session.generate", lambda *args: ([next(texts)] * len(args[2]), {}))
        patch.setattr("tx.tasks.speech.run.generate", lambda *args: ([], {}))
        progress = train_whisper(config, tmp_path / "worse", resume=False, listener=heard)
    assert progress.finished == "patience" and progress.best_step == 1 and progress.step == 3
    assert [best for _, best in heard.found] == [False, True, False, False]
    assert heard.warned and "worse than the untouched model" in heard.warned[0]
    assert train_whisper(config, tmp_path / "worse", resume=True, listener=heard).step == 3
    assert "this run is finished" in heard.said[-1]


def test_what_a_model_makes_up_is_shown_in_part_and_counted_in_whole() -> None:
    made_up = ["," * 448, "und so weiter " * 30, "ja " * 66 + "ja"]
    found = score("valid", [window("Ja.")] * 3, made_up, None)
    assert found.raw.insertions == (90 - 1) + (67 - 1)
    assert [pair["hyp"] for pair in found.worst] == [
        "und so weiter " * 14 + "und ...",  # 199 characters and a space
        "ja " * 66 + "ja",
        "," * 200 + " ...",
    ]


def test_media_that_cannot_be_read_are_skipped_or_stop_the_run(tiny: Path, tmp_path: Path) -> None:
    broken = write_set(tmp_path / "broken", 4)
    write_media(broken / "long.wav", beeps(31.0))
    with (broken / "metadata.csv").open("a") as table:
        table.write("long.wav,too long\nnone.wav,not there\n")
    heard = Heard()
    session = open_session(configuration(tiny, broken), heard)
    assert len(session.data.train) + len(session.data.valid["valid"]) == 4
    assert any("over 30 s without times" in line for line in heard.said)
    with pytest.raises(TxError, match=r"metadata\.csv:"):
        open_session(configuration(tiny, broken, finetune_strict=True), Heard())


def cut_short(folder: Path, *numbers: int) -> Path:
    """A set of which some items are cut FLAC files: their headers tell of nothing, and hearing them does."""
    table, rng = write_set(folder) / "metadata.csv", np.random.default_rng(crc32(folder.name.encode()))
    for i in numbers:
        sound = 0.1 * rng.standard_normal(3 * RATE).astype(np.float32)
        file = write_media(folder / f"{i}.flac", sound, codec="flac")
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        table.write_text(table.read_text().replace(f"{i}.wav", f"{i}.flac"))
    return folder


def test_in_place_of_an_unreadable_item_the_next_is_heard(tmp_path: Path) -> None:
    """Whichever process loads it; what is unreadable travels with the batch."""
    found = read_set(str(cut_short(tmp_path / "cut", 2, 3)))
    windows = [Window(i.media, 0.0, 3.0, i.text, origin=i.origin) for i in found.items]
    examples = Examples(windows, Labels(byte_tokenizer(), "de"), FinetuneConfig(), seed=1)
    for workers in (0, 1):
        loader: Any = torch.utils.data.DataLoader(
            examples, batch_size=2, sampler=range(16), collate_fn=Collator(80, 0), num_workers=workers
        )
        batches = list(loader)
        assert [sorted(batch.get("unheard", {})) for batch in batches] == [[], [2, 3], [], []] * 2
        assert all(f"{i}.flac" in reason for i, reason in batches[1]["unheard"].items())
    assert np.array_equal(examples[10].audio, examples[12].audio) and examples[10].ids == examples[12].ids
    most = Examples(windows[2:5], examples.labels, FinetuneConfig(), seed=1)
    assert not most[0].audio.any() and len(most[0].unheard) == 2  # of three, which ends the run


@pytest.mark.parametrize("workers", [0, 1])
def test_items_that_prove_unreadable_are_left_out_of_a_run(
    workers: int, tiny: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut, other, heard = cut_short(tmp_path / "cut", 2, 5), cut_short(tmp_path / "other", 2, 5), Heard()

    def with_workers(*args: Any) -> Any:
        trainer = make_trainer(*args)
        trainer.args.dataloader_num_workers = workers
        return trainer

    monkeypatch.setattr("tx.tasks.speech.run.make_trainer", with_workers)
    config = configuration(tiny, cut, data_valid=[str(other)], train_max_steps=9)
    config.finetune.also_valid = [str(speech)]
    progress = train_whisper(config, tmp_path / "mine", resume=False, listener=heard)
    assert progress.finished == "max_steps"
    assert len(heard.warned) == 4  # each of two, from what is trained on and from what is scored
    assert all("truncated" in line and line.endswith("; it is left out") for line in heard.warned)
    assert sum("2.flac" in line for line in heard.warned) == 2 and len(heard.found) == 4


def test_a_run_stops_where_most_of_it_is_unreadable(tiny: Path, tmp_path: Path) -> None:
    """What was saved before is kept; with `strict`, the first such item stops it before the first step."""
    folder, heard = write_set(tmp_path / "set"), Heard()
    config = configuration(tiny, folder, data_valid=[str(write_set(tmp_path / "valid"))])

    class Unlucky(Heard):
        def train(self, record: dict[str, Any]) -> None:
            for i in range(5):
                (folder / f"{i}.wav").write_bytes(b"")

    config.train.eval_every, config.train.log_every, config.train.max_steps = 2, 4, 12
    with pytest.raises(TxError, match="5 of 8 items cannot be heard"):
        train_whisper(config, tmp_path / "mine", resume=False, listener=Unlucky())
    assert load_progress(tmp_path / "mine/run/last").step == 6
    cut = cut_short(tmp_path / "cut", *range(5))
    with pytest.raises(TxError, match="of 8 items cannot be heard"):
        train_whisper(configuration(tiny, folder, data_valid=[str(cut)]), tmp_path / "b", False, heard)
    with pytest.raises(TxError, match=r"metadata\.csv:2: .*0\.flac is truncated"):
        open_session(configuration(tiny, cut, finetune_strict=True), heard)


def test_a_dry_run_tells_how_long_a_run_would_take(tiny: Path, speech: Path, tmp_path: Path) -> None:
    """Where generation is what takes time, that is the number of validations times that of their batches."""
    heard = Heard()

    def slow(*args: Any) -> Any:
        time.sleep(len(args[2]))
        return generate(*args)

    config = configuration(tiny, speech, data_valid=[str(write_set(tmp_path / "other", 2))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tx.tasks.speech.run.generate", slow)
        forecast(config, heard)
    told = re.fullmatch(
        r"forecast: 6 steps in (\d) s \(1\.5 epochs\); .* per step; 4 steps per epoch; "
        r"about \d\.\d GiB of memory; 2 s a validation",
        heard.said[-1],
    )
    assert told and 4 <= int(told[1]) <= 6, heard.said[-1]  # two validations
    done = fork_tx(
        ["train", "whisper", str(speech), "--init-from", str(tiny), "--language", "de", "--dry-run"]
    )
    assert done.status == 0 and "forecast: 10 steps in" in done.err, done.err


def test_the_command_tells_what_it_does_on_stderr(tiny: Path, speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    words = [
        "train",
        "whisper",
        str(speech),
        "--init-from",
        str(tiny),
        "--language",
        "German",
        "-o",
        str(out),
    ]
    done = fork_tx([*words, "--max-steps", "1", "--batch-size", "2", "--precision", "float32"])
    assert done.status == 0 and done.out == "", done.err
    assert re.search(r"before training  .*: WER", done.err) and "step 1  epoch 0.25  loss" in done.err
    assert f"try: tx transcribe -m {out}" in done.err and "Warning" not in done.err
    again = fork_tx(words)
    assert again.status == 1 and "exists already" in again.err
    resumed = fork_tx(["train", "--resume", "-o", str(out)])
    assert resumed.status == 0 and "this run is finished" in resumed.err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tx.tasks.speech.checkpoint.find_spec", lambda name: name != "peft" or None)
    with pytest.raises(TxError, match="needs peft") as told:
        transformers()
    assert told.value.hint == "pip install 'tx[whisper]'"


def test_subtitles_become_windows_with_times_and_prompts(tiny: Path, tmp_path: Path) -> None:
    """Three cues in 50 s are two windows; the second sees the text of the first as its prompt."""
    talk = tmp_path / "talks"
    talk.mkdir()
    write_media(talk / "talk.wav", beeps(50.0, at=(1.0, 12.0, 35.0)))
    cues = [
        ("00:00:01,000", "00:00:02,000"),
        ("00:00:12,000", "00:00:13,000"),
        ("00:00:35,000", "00:00:36,000"),
    ]
    blocks = [f"{i}\n{start} --> {end}\nSatz {i}.\n" for i, (start, end) in enumerate(cues, 1)]
    (talk / "talk.srt").write_text("\n".join(blocks))
    config = configuration(
        tiny,
        talk,
        data_valid=[str(write_set(tmp_path / "valid"))],
        finetune_timestamps=1.0,
        finetune_previous_text=1.0,
    )
    config.finetune.speed = 0.0
    session = open_session(config, Heard())
    examples = Examples(session.data.train, session.labels, config.finetune, seed=1)

    def decode(ids: list[int]) -> str:
        return str(byte_tokenizer().decode(ids, skip_special_tokens=False))

    first, second = (decode(examples[i].ids) for i in range(2))
    start = "<|startoftranscript|><|de|><|transcribe|>"
    assert first == f"{start}<|0.00|> Satz 1.<|1.00|><|11.00|> Satz 2.<|12.00|><|endoftext|>"
    assert second == f"<|startofprev|> Satz 1. Satz 2.{start}<|0.00|> Satz 3.<|1.00|><|endoftext|>"
    assert decode(examples[1].ids[examples[1].n_prompt :]).startswith(start)


def test_models_that_know_english_alone_and_a_limit_of_time(speech: Path, tmp_path: Path) -> None:
    english = write_tiny_whisper(tmp_path / "english", multilingual=False, max_length=12)
    config = configuration(english, speech, finetune_language="", train_max_steps=0, train_max_time="0.001s")
    progress = train_whisper(config, tmp_path / "mine", resume=False, listener=Heard())
    assert progress.finished == "max_time" and progress.step == 1
    written = json.loads((tmp_path / "mine/generation_config.json").read_text())
    assert not written.get("language") and not written.get("task")
    with pytest.raises(UsageError, match="cannot translate"):
        open_session(configuration(english, speech, finetune_language="", finetune_task="translate"), Heard())
