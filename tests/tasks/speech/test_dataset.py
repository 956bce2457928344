"""Batches for Whisper, held to transformers' tokenizer and features, and augmentation, held to numpy."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finetuning import RATE, Recorder, configuration, window, write_set
from media import beeps, write_media
from tx.package.hf_folder import open_hf_folder
from tx.speech.subtitles import Cue
from tx.speech.whisper_tokenizer import WhisperTokenizer as SpeechTokenizer
from tx.speech.windows import Labels
from tx.tasks.speech.augment import add_noise, change_speed, spec_augment
from tx.tasks.speech.config import FinetuneConfig
from tx.tasks.speech.dataset import (
    IGNORED,
    Collator,
    EpochSampler,
    Example,
    SpeechDataset,
    scale_times,
    window_samples,
)
from tx.tasks.speech.session import open_session
from whisper import byte_tokenizer, whisper_tokenizer

BASE = os.environ.get("TX_WHISPER_BASE", "")


def example(seconds: float, text: str, labels: Labels, **options: bool) -> Example:
    ids, n_prompt = labels.ids(window(text, seconds, previous="Hallo."), **options)
    return Example(beeps(seconds, at=(0.2,)), ids, n_prompt, 0)


@pytest.mark.skipif(not BASE, reason="TX_WHISPER_BASE names no folder with the real tokenizer")
def test_the_exact_ids_of_one_sentence() -> None:
    """One start token, and the ids that transformers' tokenizer gives; the numbers are OpenAI's."""
    from transformers import WhisperTokenizer

    tokenizer = WhisperTokenizer.from_pretrained(BASE)
    german = Labels(SpeechTokenizer(open_hf_folder(BASE)), "de")
    batch = Collator(80, 50257)([example(2.0, "Guten Tag, wie geht's?", german)])
    inputs, labels = batch["decoder_input_ids"][0].tolist(), batch["labels"][0].tolist()
    assert inputs == [50258, 50261, 50359, 50363, 42833, 11204, 11, 3355, 7095, 311, 30]
    assert labels == [*inputs[1:], 50257]
    tokenizer.set_prefix_tokens(language="de", task="transcribe", predict_timestamps=False)
    assert [*inputs, 50257] == tokenizer(" Guten Tag, wie geht's?").input_ids


def test_one_start_token_and_no_loss_on_padding_and_prompts() -> None:
    tokenizer = byte_tokenizer()
    labels, start = Labels(whisper_tokenizer(), "de"), tokenizer.token_to_id("<|startoftranscript|>")
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

    labels, sound = (
        Labels(whisper_tokenizer(), "de"),
        0.1 * np.random.default_rng(1).standard_normal(3 * RATE),
    )
    one = replace(example(3.0, "Ja.", labels), audio=sound.astype(np.float32))
    features = Collator(80, 0, seconds=0.0)([one])["input_features"]
    whole = WhisperFeatureExtractor()(sound, sampling_rate=RATE, return_tensors="pt")["input_features"]
    assert features.shape == (1, 80, 400)
    torch.testing.assert_close(features, whole[:, :, :400], atol=2e-3, rtol=0)
    assert Collator(80, 0, seconds=30.0)([one])["input_features"].shape == (1, 80, 3000)


def test_windows_are_whole_seconds_and_cut_off_nothing() -> None:
    assert window_samples(round(3.2 * RATE)) == 5 * RATE  # with a second of silence
    assert window_samples(30 * RATE) == 30 * RATE
    assert window_samples(3 * RATE, 10.0) == 10 * RATE
    assert window_samples(12 * RATE, 10.0) == 12 * RATE
    assert all(window_samples(n, s) % 320 == 0 for n in range(1, 30 * RATE, 7777) for s in (0.0, 7.3))


def test_an_epoch_has_every_item_once_and_batches_of_one_length() -> None:
    rng = np.random.default_rng(0)
    windows = [window(seconds=float(s)) for s in rng.uniform(1, 29, 1003)]
    sampler = EpochSampler(windows, 10, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == list(range(1003)) and sorted(second) == list(range(1003, 2006))
    assert [key - 1003 for key in second] != first
    batches = [first[i : i + 10] for i in range(0, 1000, 10)]
    spread = np.mean([np.ptp([windows[i].end for i in batch]) for batch in batches])
    assert spread < 3  # by chance it would be 23
    means = [np.mean([windows[i].end for i in batch]) for batch in batches[:20]]
    assert np.ptp(means) > 10  # the batches are not sorted


def test_speed_moves_pitch_and_times() -> None:
    fast = change_speed(beeps(2.0, at=(0.0,), length=2.0, pitch=400.0), 1.25)
    assert len(fast) == round(2.0 * RATE / 1.25)
    spectrum = np.abs(np.fft.rfft(fast))
    assert np.argmax(spectrum) * RATE / len(fast) == pytest.approx(500, abs=1)
    assert np.abs(fast).max() == pytest.approx(0.4, rel=0.05)
    slow = scale_times(window(cues=(Cue(1.0, 2.0, "ja"),), crossing=1.5), 0.5)
    assert (slow.cues[0].start, slow.cues[0].end, slow.crossing, slow.end) == (2.0, 4.0, 3.0, 4.0)


def test_noise_has_the_signal_to_noise_ratio() -> None:
    sound = beeps(2.0, at=(0.0,), length=2.0)
    noise = add_noise(sound, 20.0, np.random.default_rng(0)) - sound
    assert 10 * np.log10(np.mean(sound**2) / np.mean(noise**2)) == pytest.approx(20.0, abs=0.01)


def test_masks_leave_most_of_the_sound_and_all_of_the_silence() -> None:
    mel = np.random.default_rng(0).standard_normal((80, 500)).astype(np.float32)
    masked = [spec_augment(mel, 300, np.random.default_rng(seed)) for seed in range(50)]
    changed = np.array([one != mel for one in masked])
    assert all(c[:, :300].mean() + 0.1 > 0.1 and c[:, :300].mean() < 0.8 for c in changed)
    assert changed.any(axis=(1, 2)).mean() > 0.9
    in_silence = changed[:, :, 300:].mean(axis=2)
    assert set(np.unique(in_silence)) <= {0.0, 1.0}  # masks of frequency alone
    assert np.array_equal(masked[0], spec_augment(mel, 300, np.random.default_rng(0)))


def test_random_choices_follow_from_seed_epoch_and_item(speech: Path) -> None:
    windows = [replace(window(), media=speech / "0.wav", end=1.0)]
    config = FinetuneConfig(speed=0.1, noise=1.0, timestamps=0.5)
    examples = SpeechDataset(windows, Labels(whisper_tokenizer(), "de"), config, seed=3)
    again = SpeechDataset(windows, Labels(whisper_tokenizer(), "de"), config, seed=3)
    for epoch in range(4):
        one, same = examples[epoch], again[epoch]
        assert np.array_equal(one.audio, same.audio) and one.ids == same.ids
    assert len({len(examples[epoch].audio) for epoch in range(4)}) == 4
    times = byte_tokenizer().token_to_id("<|0.00|>")
    assert {times in examples[epoch].ids for epoch in range(12)} == {True, False}


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
    session = open_session(config, Recorder())
    examples = SpeechDataset(session.data.train, session.labels, config.finetune, seed=1)

    def decode(ids: list[int]) -> str:
        return str(byte_tokenizer().decode(ids, skip_special_tokens=False))

    first, second = (decode(examples[i].ids) for i in range(2))
    start = "<|startoftranscript|><|de|><|transcribe|>"
    assert first == f"{start}<|0.00|> Satz 1.<|1.00|><|11.00|> Satz 2.<|12.00|><|endoftext|>"
    assert second == f"<|startofprev|> Satz 1. Satz 2.{start}<|0.00|> Satz 3.<|1.00|><|endoftext|>"
    assert decode(examples[1].ids[examples[1].n_prompt :]).startswith(start)
