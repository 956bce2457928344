"""The native transcriber against transformers: features, logits, masks, and the text of generate, token by token.

With TX_WHISPER_BASE (a folder with whisper-base) and TX_TEST_DATA, also on real speech.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tx.errors import TxError, UsageError
from tx.models.whisper import load
from tx.package.hf_folder import open_hf_folder
from tx.speech.features import log_mel
from tx.speech.languages import language_code
from tx.speech.media import RATE
from tx.speech.transcribe import Options, Segment, open_transcriber
from tx.speech.transcribe.decoding import (
    Batch,
    DecodingResult,
    compression_ratio,
    decode_with_fallback,
    is_silence,
    needs_fallback,
)
from tx.speech.transcribe.logits_processors import TimestampState, mask_first_logits, mask_next_logits
from tx.speech.transcribe.longform import split_segments
from tx.speech.transcribe.transcriber import Transcriber
from tx.speech.whisper_tokenizer import WhisperTokenizer
from whisper import write_tiny_whisper

BASE = os.environ.get("TX_WHISPER_BASE")
DATA = os.environ.get("TX_TEST_DATA")
NOISE = np.random.default_rng(3).normal(0, 0.1, 40 * RATE).astype(np.float32)
UNEVEN = (NOISE * (0.3 + np.abs(np.sin(np.arange(len(NOISE)) * 4 * np.pi / RATE)))).astype(
    np.float32
)  # like speech


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture(scope="module")
def theirs(tiny: Path) -> Any:
    from transformers import WhisperForConditionalGeneration

    return WhisperForConditionalGeneration.from_pretrained(tiny).eval()


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> WhisperTokenizer:
    return WhisperTokenizer(open_hf_folder(tiny))


# --- features, model, masks ---


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("n", [1, 100, 160, 399, 16000, 12345, 30 * RATE - 100, 30 * RATE, 35 * RATE])
def test_features_are_those_of_transformers(n: int, n_mels: int) -> None:
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    expected = extractor(NOISE[:n], sampling_rate=RATE, return_tensors="np").input_features[0]
    assert np.allclose(log_mel(NOISE[:n], n_mels), expected, atol=1e-4)


@torch.inference_mode()
def test_logits_are_those_of_transformers_whether_at_once_or_step_by_step(tiny: Path, theirs: Any) -> None:
    model = load(open_hf_folder(tiny), torch.device("cpu"), torch.float32)
    features = torch.from_numpy(np.stack([log_mel(NOISE[:80000]), log_mel(NOISE[80000:])]))
    ids = torch.randint(0, 250, (2, 60), generator=torch.Generator().manual_seed(1))
    expected = theirs(features, decoder_input_ids=ids).logits
    audio = model.encode(features)
    assert torch.allclose(model.logits(model.decode(ids, model.start(audio))), expected, atol=1e-3)
    state = model.start(audio)
    steps = [model.decode(ids[:, :3], state)] + [model.decode(ids[:, i : i + 1], state) for i in range(3, 60)]
    assert torch.allclose(model.logits(torch.cat(steps, dim=1)), expected, atol=1e-3)


@torch.inference_mode()
def test_reordered_rows_continue_like_the_rows_they_come_from(tiny: Path) -> None:
    model = load(open_hf_folder(tiny), torch.device("cpu"), torch.float32)
    audio = model.encode(torch.from_numpy(np.stack([log_mel(NOISE[i::3][:RATE]) for i in range(3)])))
    state = model.start(audio)
    first, then = torch.tensor([[1, 2], [3, 4], [5, 6]]), torch.tensor([[7], [8], [9], [10]])
    model.decode(first, state)
    state.reorder(torch.tensor([2, 2, 0, 0]), width=2)  # two hypotheses of the third window, two of the first
    got = model.decode(then, state)
    for row, source in enumerate([2, 2, 0, 0]):
        alone = model.start(audio[source : source + 1])
        model.decode(first[source : source + 1], alone)
        assert torch.allclose(got[row], model.decode(then[row : row + 1], alone)[0], atol=1e-4)


token_lists = st.lists(st.one_of(st.integers(0, 255), st.integers(268, 268 + 1500)), max_size=8)


@settings(max_examples=100, deadline=None)
@given(ids=token_lists, seed=st.integers(0, 1000), timed=st.booleans(), sure=st.floats(0, 8))
def test_masks_are_those_of_transformers(
    tokenizer: WhisperTokenizer, theirs: Any, ids: list[int], seed: int, timed: bool, sure: float
) -> None:
    logits = torch.randn(1, tokenizer.size, generator=torch.Generator().manual_seed(seed))
    logits[0, seed % 256] += (
        sure  # otherwise all timestamps together are always more probable than one text token
    )
    config = theirs.generation_config
    prompt = tokenizer.prompt("de", "transcribe", timed)
    spoken = TimestampState.empty(1, torch.device("cpu"))
    for token in ids:
        spoken.add(torch.tensor([token]), tokenizer.timestamp_begin)
    masked = logits.clone()
    got = (
        mask_next_logits(masked, tokenizer, spoken, timed)
        if ids
        else mask_first_logits(masked, tokenizer, timed)
    )
    from transformers.generation import (
        SuppressTokensAtBeginLogitsProcessor,
        SuppressTokensLogitsProcessor,
        WhisperTimeStampLogitsProcessor,
    )

    sequence, begin = torch.tensor([prompt + ids]), len(prompt)
    expected = SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin)(sequence, logits)
    expected = SuppressTokensLogitsProcessor(config.suppress_tokens)(sequence, expected)
    if timed:
        expected = WhisperTimeStampLogitsProcessor(config, begin)(sequence, expected)
    assert torch.equal(got, expected)


# --- text ---


def theirs_tokens(
    model: Any,
    tokenizer: WhisperTokenizer,
    audio: np.ndarray,
    prompt: list[int],
    timestamps: bool,
    beams: int = 1,
) -> list[int]:
    """The tokens that transformers' search finds for one window. (Whisper's `generate` continues after it.)"""
    from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList
    from transformers.generation import (
        SuppressTokensAtBeginLogitsProcessor,
        SuppressTokensLogitsProcessor,
        WhisperTimeStampLogitsProcessor,
    )

    config, begin = model.generation_config, len(prompt)
    processors: list[Any] = [
        SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin),
        SuppressTokensLogitsProcessor(config.suppress_tokens),
    ]
    if timestamps:
        processors.append(WhisperTimeStampLogitsProcessor(config, begin))
    ends = {
        "eos_token_id": tokenizer.eot,
        "pad_token_id": tokenizer.eot,
        "decoder_start_token_id": tokenizer.sot,
    }
    found = GenerationMixin.generate(
        model,
        torch.from_numpy(log_mel(audio))[None],
        decoder_input_ids=torch.tensor([prompt]),
        logits_processor=LogitsProcessorList(processors),
        generation_config=GenerationConfig(
            max_length=model.config.max_target_positions, num_beams=beams, **ends
        ),
    )
    return [token for token in found[0, begin:].tolist() if token != tokenizer.eot]


# With timestamps, transformers' beam search does not normalise the probabilities again after masking.
@pytest.mark.parametrize(("beam_size", "timestamps"), [(1, False), (1, True), (3, False)])
def test_a_window_is_decoded_as_by_generate(
    tiny: Path, theirs: Any, tokenizer: WhisperTokenizer, beam_size: int, timestamps: bool
) -> None:
    transcriber = open_transcriber(tiny)
    windows = [NOISE[at * RATE : (at + 4 + at) * RATE] for at in range(3)]
    prompts = [tokenizer.prompt("de", "transcribe", timestamps)] * len(windows)
    options = Options(temperatures=(0.0,), beam_size=beam_size)
    results = transcriber._engine.decode(Batch(windows, prompts, [0, 1, 2], timestamps), options)
    for window, one in zip(windows, results, strict=True):
        expected = theirs_tokens(theirs, tokenizer, window, prompts[0], timestamps, beam_size)
        assert 0 < len(one.tokens) <= 64 - len(prompts[0])
        assert one.tokens == expected


def test_a_batch_is_decoded_as_its_recordings_one_by_one(tiny: Path) -> None:
    transcriber = open_transcriber(tiny)
    sounds = [NOISE[i * RATE : (2 * i + 1) * RATE] for i in range(5)]
    together = transcriber.transcribe_batch(sounds, Options(temperatures=(0.0,), language="de", batch_size=3))
    alone = [
        transcriber.transcribe_batch([s], Options(temperatures=(0.0,), language="de"))[0] for s in sounds
    ]
    assert together == alone


def test_english_only_models_have_no_language_token(tmp_path: Path) -> None:
    folder = write_tiny_whisper(tmp_path / "english", multilingual=False)
    from transformers import WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    transcriber = open_transcriber(folder)
    tokenizer = transcriber.tokenizer
    assert tokenizer.prompt("en", "transcribe") == [tokenizer.sot]
    found = theirs_tokens(model, tokenizer, NOISE[:RATE], tokenizer.prompt("en", "transcribe", False), False)
    expected = tokenizer.decode(found).strip()
    assert transcriber.transcribe_batch([NOISE[:RATE]]) == [expected]
    with pytest.raises(UsageError, match="is an English-only model and does not know 'de'"):
        transcriber.transcribe_batch([NOISE[:RATE]], Options(language="de"))
    with pytest.raises(TxError, match="cannot translate"):
        transcriber.transcribe_batch([NOISE[:RATE]], Options(task="translate"))


def test_the_language_is_the_default_or_the_most_probable(tiny: Path, tmp_path: Path, theirs: Any) -> None:
    features = torch.from_numpy(log_mel(NOISE[: 5 * RATE]))[None]
    expected = theirs.detect_language(features)[0].item()
    transcriber = open_transcriber(tiny)
    shares = transcriber.detect_language(NOISE[: 5 * RATE])
    assert transcriber.tokenizer.languages[next(iter(shares))] == expected
    assert sum(shares.values()) == pytest.approx(1)
    german = write_tiny_whisper(tmp_path / "german", language="<|de|>", task="transcribe")
    said = list(open_transcriber(german).transcribe(NOISE[: 3 * RATE], Options(temperatures=(0.0,))))
    assert {segment.language for segment in said} <= {"de"}
    assert open_transcriber(german).tokenizer.default_language == "de"


@pytest.mark.parametrize(
    "name", ["de", "German", "<|de|>", " GERMAN ", "deutsch", "DEUTSCH", "de-DE", "de_at"]
)
def test_languages_have_several_names(tokenizer: WhisperTokenizer, name: str) -> None:
    assert tokenizer.language(name) == "de"


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ("Français francais fr-CA", "fr"),
        ("español ESPANOL es_419", "es"),
        ("português portugues pt_BR", "pt"),
        ("русский", "ru"),
        ("中文 zh-Hant-TW", "zh"),
        ("日本語", "ja"),
        ("한국어", "ko"),
        ("polski", "pl"),
        ("Türkçe turkce", "tr"),
        ("हिन्दी", "hi"),
        ("haw yue", None),
        ("xx deu-tsch - german-de", ""),
    ],
)
def test_languages_by_their_own_names_and_regions(names: str, code: str | None) -> None:
    for name in names.split():
        assert language_code(name) == (name if code is None else code or None)


def test_an_unknown_language_gets_the_most_similar_name_as_hint(tokenizer: WhisperTokenizer) -> None:
    with pytest.raises(UsageError) as caught:
        tokenizer.language("germann")
    assert caught.value.hint == "did you mean 'german'?"


# --- thresholds and fallback ---


def result(
    logprob: float = -0.3, no_speech: float = 0.1, ratio: float = 1.5, temperature: float = 0.0
) -> DecodingResult:
    return DecodingResult([1], logprob, no_speech, ratio, temperature)


def test_fallback_and_silence() -> None:
    options = Options()
    assert not needs_fallback(result(), options) and not is_silence(result(), options)
    assert needs_fallback(result(logprob=-1.1), options)
    assert needs_fallback(result(ratio=2.5), options)
    silent = result(logprob=-1.1, no_speech=0.7, ratio=3)
    assert is_silence(silent, options) and not needs_fallback(silent, options)
    assert not is_silence(result(no_speech=0.9), options)  # probable text is not silence


def test_only_low_confidence_windows_are_retried_until_they_pass() -> None:
    asked: list[tuple[list[int], float]] = []

    def attempt(left: list[int], temperature: float) -> list[DecodingResult]:
        asked.append((left, temperature))
        return [
            result(ratio=3.0 if i == 2 or (i == 1 and temperature < 0.4) else 1.0, temperature=temperature)
            for i in left
        ]

    got = decode_with_fallback(attempt, 3, Options(temperatures=(0.0, 0.2, 0.4, 0.6)))
    assert asked == [([0, 1, 2], 0.0), ([1, 2], 0.2), ([1, 2], 0.4), ([2], 0.6)]
    assert [one.temperature for one in got][:2] == [0.0, 0.4]


@pytest.mark.parametrize(
    ("attempts", "best"),
    [
        ({0.0: (-1.2, 1.5), 0.4: (-3.0, 1.5), 1.0: (-6.0, 1.5)}, 0.0),  # the last is not the best
        ({0.0: (-1.9, 1.5), 0.4: (-1.1, 1.5), 1.0: (-6.0, 1.5)}, 0.4),
        ({0.0: (-0.1, 9.0), 0.4: (-1.1, 1.5), 1.0: (-2.0, 1.5)}, 0.4),  # likely, but a loop
        ({0.0: (-0.1, 9.0), 0.4: (-0.3, 8.0), 1.0: (-0.2, 5.0)}, 0.0),  # all loop
    ],
)
def test_if_all_attempts_fail_the_most_probable_is_chosen(
    attempts: dict[float, tuple[float, float]], best: float
) -> None:
    def attempt(left: list[int], temperature: float) -> list[DecodingResult]:
        logprob, ratio = attempts[temperature]
        return [result(logprob, ratio=ratio, temperature=temperature)]

    (got,) = decode_with_fallback(attempt, 1, Options(temperatures=tuple(attempts)))
    assert got.temperature == best


def test_repetition_compresses() -> None:
    assert compression_ratio("") == 0
    assert (
        compression_ratio("Vielen Dank. " * 30)
        > 2.4
        > compression_ratio("Der Zug nach Hannover fährt heute von Gleis 12 ab.")
    )


def test_sampling_depends_only_on_the_seed_and_the_window(tiny: Path) -> None:
    transcriber = open_transcriber(tiny)
    options = Options(temperatures=(0.8,), language="de")
    windows = [NOISE[i * RATE : (i + 2) * RATE] for i in range(3)]
    together = transcriber.transcribe_batch(windows, options)
    assert transcriber.transcribe_batch(windows, options) == together
    assert transcriber.transcribe_batch(windows[:1], options) == together[:1]
    assert (
        transcriber.transcribe_batch(windows, Options(temperatures=(0.8,), language="de", seed=2)) != together
    )


# --- from tokens to segments, as in the Whisper paper, by hand ---


def test_segments_and_where_the_next_window_begins(tokenizer: WhisperTokenizer) -> None:
    def at(seconds: float) -> int:
        return tokenizer.timestamp(seconds)

    assert tokenizer.decode([at(1.0)]) == "" and tokenizer.seconds(at(29.98)) == pytest.approx(29.98)
    a, b, c = [1, 2], [3], [4, 5]
    cases: list[tuple[list[int], bool, list[tuple[float, float, list[int]]], float]] = [
        ([at(0), *a, at(4)], False, [(0, 4, a)], 10),  # a single timestamp: no speech after it
        ([at(0), *a, at(4), at(4), *b, at(6)], False, [(0, 4, a), (4, 6, b)], 10),
        ([at(0), *a, at(4), at(5), *b, at(6), at(6)], False, [(0, 4, a), (5, 6, b)], 6),  # another one starts at 6
        ([at(0), *a, at(4), at(5), *b], False, [(0, 4, a)], 5),  # cut off: decoded again
        ([at(0), *a, at(4), at(5), *b], True, [(0, 4, a), (5, 10, b)], 10),  # a pause follows: it is complete
        ([at(1), *c], False, [(1, 10, c)], 10),
        ([at(0), at(2)], False, [], 10),
        ([], False, [], 10),
    ]  # fmt: skip
    for tokens, is_last, expected, until in cases:
        found, then = split_segments(tokens, 10.0, tokenizer, is_last)
        assert [(pytest.approx(s), pytest.approx(e), ids) for s, e, ids in expected] == found
        assert then == pytest.approx(until)


class ScriptedEngine:
    """An engine that gives scripted answers, and records the windows and prompts that it receives."""

    def __init__(self, answers: list[list[int]]) -> None:
        self.answers, self.asked = answers, list[tuple[list[int], list[int]]]()

    def decode(self, batch: Batch, options: Options) -> list[DecodingResult]:
        pairs = zip(batch.windows, batch.prompts, strict=True)
        self.asked += [(len(window), prompt) for window, prompt in pairs]
        return [DecodingResult(self.answers.pop(0), -0.3, 0.1, 1.0, 0.0) for _ in batch.windows]

    def detect_languages(self, windows: Any) -> list[dict[str, float]]:
        return [{"de": 1.0}] * len(windows)


def scripted(tiny: Path, answers: list[list[int]]) -> tuple[Transcriber, ScriptedEngine]:
    folder = open_hf_folder(tiny)
    engine = ScriptedEngine(answers)
    return Transcriber(folder, WhisperTokenizer(folder), engine), engine


def test_windows_follow_the_last_complete_segment_and_segments_are_streamed(
    tiny: Path, tokenizer: WhisperTokenizer
) -> None:
    t = tokenizer.timestamp
    text = [tokenizer.encode(word) for word in ("eins", "zwei", "drei")]
    answers = [
        [t(0), *text[0], t(20), t(20), *text[1], t(25), t(25)],
        [t(0), *text[2], t(9.5)],
    ]
    transcriber, engine = scripted(tiny, answers)
    said = transcriber.transcribe(NOISE, Options(activity="none", condition_on_previous=True, prompt="Namen"))
    first = next(said)
    assert (first.start, first.end, first.text) == (0, 20, "eins")
    assert len(engine.asked) == 1  # the second window has not been decoded yet
    assert [(s.start, s.end, s.text) for s in said] == [(20, 25, "zwei"), (25, 34.5, "drei")]
    assert [n / RATE for n, _ in engine.asked] == [30, 15]
    named, asked = tokenizer.encode(" Namen"), tokenizer.prompt("de", "transcribe")
    assert engine.asked[0][1] == [tokenizer.sot_prev, *named, *asked]
    assert engine.asked[1][1] == [
        tokenizer.sot_prev,
        *named,
        *answers_of(engine, text, tokenizer),
        *asked,
    ]


def answers_of(engine: ScriptedEngine, text: list[list[int]], tokenizer: WhisperTokenizer) -> list[int]:
    t = tokenizer.timestamp
    return [t(0), *text[0], t(20), t(20), *text[1], t(25), t(25)]


def test_a_window_without_progress_is_skipped(tiny: Path, tokenizer: WhisperTokenizer) -> None:
    t = tokenizer.timestamp
    transcriber, engine = scripted(tiny, [[t(0), t(0)], [t(0), *tokenizer.encode("x"), t(1)]])
    said = list(transcriber.transcribe(NOISE, Options(activity="none")))
    assert [(s.start, s.text) for s in said] == [(30, "x")] and len(engine.asked) == 2


def test_silence_is_not_decoded(tiny: Path) -> None:
    transcriber, engine = scripted(tiny, [])
    assert list(transcriber.transcribe(np.zeros(5 * RATE, np.float32))) == []
    assert list(transcriber.transcribe(np.zeros(0, np.float32))) == []
    assert engine.asked == []


def test_digital_silence_is_skipped_without_voice_activity_detection(
    tiny: Path, tokenizer: WhisperTokenizer
) -> None:
    """Whole windows of digital silence are skipped with activity="none"."""
    t, audio = tokenizer.timestamp, np.zeros(100 * RATE, np.float32)
    audio[70 * RATE : 75 * RATE] = UNEVEN[: 5 * RATE]
    transcriber, engine = scripted(tiny, [[t(0), *tokenizer.encode("a"), t(12)]])
    said = list(transcriber.transcribe(audio, Options(activity="none")))
    assert [(s.start, s.text) for s in said] == [(60, "a")] and len(engine.asked) == 1
    transcriber, engine = scripted(tiny, [])
    assert list(transcriber.transcribe(audio[: 60 * RATE], Options(activity="none"))) == []
    assert engine.asked == []


def test_segments_of_punctuation_are_omitted(tiny: Path, tokenizer: WhisperTokenizer) -> None:
    t = tokenizer.timestamp
    answers = [[t(0), *tokenizer.encode("..."), t(4), t(4), *tokenizer.encode("a ..."), t(8)], [t(0), t(0)]]
    transcriber, _ = scripted(tiny, answers)
    said = list(transcriber.transcribe(NOISE, Options(activity="none")))
    assert [(s.start, s.text) for s in said] == [(4, "a ...")]


def test_a_low_confidence_window_does_not_slow_down_the_rest(tiny: Path, tokenizer: WhisperTokenizer) -> None:
    """A window of music with a timestamp after one second: the next window starts after 10 s, not after 1 s."""
    t = tokenizer.timestamp
    transcriber, engine = scripted(tiny, [])
    tokens = [t(0), *tokenizer.encode("a"), t(1), t(1), *tokenizer.encode("b")]
    asked: list[int] = []

    def decode(batch: Batch, options: Options) -> list[DecodingResult]:
        asked.append(len(batch.windows[0]))
        return [DecodingResult(tokens, -2.0, 0.1, 1.0, 1.0)]

    engine.decode = decode  # type: ignore[method-assign]
    list(transcriber.transcribe(NOISE, Options(activity="none")))
    assert [n / RATE for n in asked] == [30, 30, 20, 10]


def test_tracks_are_decoded_together_and_yielded_in_order(tiny: Path, tokenizer: WhisperTokenizer) -> None:
    t = tokenizer.timestamp
    audio = np.zeros(150 * RATE, np.float32)
    for start in (5, 50, 100):
        audio[start * RATE : (start + 3) * RATE] = UNEVEN[: 3 * RATE]
    answers = [[t(0), *tokenizer.encode(word), t(2)] for word in ("a", "b", "c")]
    transcriber, engine = scripted(tiny, answers)
    said = list(transcriber.transcribe(audio, Options()))
    assert [s.text for s in said] == ["a", "b", "c"]
    assert [s.start for s in said] == [pytest.approx(at, abs=0.3) for at in (5, 50, 100)]
    assert all(3 <= n / RATE < 4 for n, _ in engine.asked)


def test_speech_after_the_last_timestamp_is_decoded_again(tiny: Path, tokenizer: WhisperTokenizer) -> None:
    t, audio = tokenizer.timestamp, np.zeros(40 * RATE, np.float32)
    audio[5 * RATE : 25 * RATE] = UNEVEN[: 20 * RATE]
    words = [tokenizer.encode(word) for word in ("a", "b")]
    answers = [[t(0), *words[0], t(8)], [t(0), *words[1], t(11)]]  # 12 s are missing, then 1 s
    transcriber, engine = scripted(tiny, answers)
    said = list(transcriber.transcribe(audio))
    assert [(s.text, s.start) for s in said] == [("a", pytest.approx(4.8)), ("b", pytest.approx(12.8))]
    assert [n / RATE for n, _ in engine.asked] == pytest.approx([20.4, 12.4], abs=0.03)


# --- folders that are not what they should be ---


def test_faults_of_a_folder_are_reported(tiny: Path, tmp_path: Path) -> None:
    import shutil

    def broken(name: str, **files: str | None) -> Path:
        folder = Path(shutil.copytree(tiny, tmp_path / name))
        for file, text in files.items():
            path = folder / file.replace("__", ".")
            path.unlink() if text is None else path.write_text(text)
        return folder

    cases = {
        "there is no folder": tmp_path / "nowhere",
        "has no config.json": broken("a", config__json=None),
        "is not a Whisper model: its model type is bert": broken("b", config__json='{"model_type": "bert"}'),
        "has no tokenizer.json": broken("c", tokenizer__json=None),
        "is not a tokenizer": broken("d", tokenizer__json="{}"),
        "has no model.safetensors": broken("e", model__safetensors=None),
        "is not a safetensors file": broken("f", model__safetensors="no"),
        "d_model is 'x'": broken("g", config__json='{"model_type": "whisper", "vocab_size": 1769, "d_model": "x"}'),
        "suppresses tokens that do not exist": broken("h", generation_config__json='{"suppress_tokens": [99999]}'),
        "sampling_rate is 8000": broken("i", preprocessor_config__json='{"sampling_rate": 8000}'),
    }  # fmt: skip
    for message, folder in cases.items():
        with pytest.raises(TxError, match=message):
            open_transcriber(folder)


def test_weights_of_another_shape_are_refused_before_they_are_read(tiny: Path, tmp_path: Path) -> None:
    import json
    import shutil

    folder = Path(shutil.copytree(tiny, tmp_path / "shape"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"decoder_ffn_dim": 1 << 20}))
    with pytest.raises(TxError, match=r"do not fit config.json: decoder.layers.0.fc1.weight is \(128, 64\)"):
        open_transcriber(folder)


# --- real speech ---


@pytest.mark.skipif(not (BASE and DATA), reason="needs TX_WHISPER_BASE and TX_TEST_DATA")
def test_real_speech_is_transcribed_as_by_generate() -> None:
    from transformers import WhisperForConditionalGeneration

    from tx.speech.media import decode

    transcriber = open_transcriber(str(BASE))
    model = WhisperForConditionalGeneration.from_pretrained(str(BASE), dtype=torch.float32).eval()
    files = sorted((Path(str(DATA)) / "speech-de" / "audio").glob("thorsten*.flac"))[:3]
    sounds = [decode(file) for file in files]
    got = transcriber.transcribe_batch(sounds, Options(language="de", temperatures=(0.0,)))
    for sound, text in zip(sounds, got, strict=True):
        features = torch.from_numpy(log_mel(sound))[None]
        found = model.generate(features, language="de", task="transcribe")[0].tolist()
        assert text == transcriber.tokenizer.decode(found).strip()
    said: list[Segment] = list(transcriber.transcribe(np.concatenate(sounds)))
    assert {segment.language for segment in said} == {"de"} and len(said) >= 3
