"""The model of fine-tuning, held to transformers' encoder and generation and to PEFT's sums, and its source."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from finetuning import Recorder, configuration, train
from tx.errors import TxError
from tx.speech.whisper_tokenizer import SMALLEST_MULTILINGUAL
from tx.tasks.speech.config import FinetuneConfig
from tx.tasks.speech.model import (
    default_learning_rate,
    merged_weights,
    prepare_model,
    save,
    set_language_and_task,
    unsuppress_text,
)
from tx.tasks.speech.pretrained import find_pretrained, import_transformers, load_model, load_processor
from whisper import write_tiny_whisper


def test_a_short_window_gives_what_a_model_with_a_short_table_gives(tiny: Path) -> None:
    """Held to transformers' own encoder, with the table cut to the window."""
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    model = load_model(find_pretrained(str(tiny))).eval()
    features, table = torch.randn(2, 80, 200), model.model.encoder.embed_positions.weight.clone()
    cut = WhisperEncoder(type(model.config)(**{**model.config.to_dict(), "max_source_positions": 100})).eval()
    weights = model.model.encoder.state_dict() | {"embed_positions.weight": table[:100]}
    cut.load_state_dict(weights)
    whole, long = model.model.encoder(torch.randn(1, 80, 3000)), torch.randn(1, 80, 3000)
    before = model.model.encoder(long).last_hidden_state
    prepare_model(model, FinetuneConfig())
    torch.testing.assert_close(
        model.model.encoder(features).last_hidden_state, cut(features).last_hidden_state
    )
    torch.testing.assert_close(model.model.encoder(long).last_hidden_state, before)
    assert whole.last_hidden_state.shape == before.shape
    assert torch.equal(model.model.encoder.embed_positions.weight, table)


def test_a_saved_model_writes_its_language_by_default(tiny: Path, tmp_path: Path) -> None:
    """transformers opens what was saved; its generation starts with German and may write what was suppressed."""
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    folder = find_pretrained(str(tiny))
    model, processor = load_model(folder), load_processor(folder)
    assert model.dtype == torch.float32  # the folder holds float16
    set_language_and_task(model, "de", "transcribe")
    unsuppress_text(model)
    save(prepare_model(model, FinetuneConfig()), processor, tmp_path)
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
    model = prepare_model(
        load_model(find_pretrained(str(tiny))), FinetuneConfig(lora=4, freeze_encoder=freeze)
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
        merged = load_model(find_pretrained(str(tiny))).eval()
        untouched = prepare_model(merged, FinetuneConfig())(**inputs).logits
        merged.load_state_dict(weights)
        torch.testing.assert_close(merged(**inputs).logits, expected)
    assert (untouched - expected).abs().max() > 1e-2


def test_a_frozen_encoder_gets_no_gradient(tiny: Path) -> None:
    model = prepare_model(
        load_model(find_pretrained(str(tiny))), FinetuneConfig(freeze_encoder=True, checkpointing=True)
    )
    model.train()
    model(
        input_features=torch.randn(1, 80, 200), decoder_input_ids=torch.tensor([[257, 3]])
    ).logits.sum().backward()
    assert all(p.grad is None for p in model.model.encoder.parameters())
    assert all(p.grad is not None for p in model.model.decoder.layers.parameters())


def test_default_learning_rates_by_size() -> None:
    assert [default_learning_rate(d) for d in (384, 512, 768, 1024, 1280)] == [
        3.75e-5,
        2.5e-5,
        1.25e-5,
        6.25e-6,
        5e-6,
    ]
    assert default_learning_rate(512, lora=True) == 1e-3


def test_faults_of_a_pretrained_model_are_one_sentence(
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
    with pytest.raises(TxError, match=r"do not fit config\.json"):
        load_model(find_pretrained("copy"))
    (copy / "config.json").write_text(json.dumps(config))
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(TxError):
        load_model(find_pretrained("copy"))
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(TxError, match=r"model\.safetensors"):
        load_model(find_pretrained("copy"))
    for name in ("nothing", "./nothing", "/no/such/folder"):
        with pytest.raises(TxError, match="there is no folder and no package"):
            find_pretrained(name)


def test_without_a_network_the_hub_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TX_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TxError, match="the hub cannot be reached for openai/whisper-base") as error:
        find_pretrained("whisper-base")
    assert error.value.hint and "folder" in error.value.hint


def test_generation_settings_that_are_missing_follow_from_the_tokenizer(speech: Path, tmp_path: Path) -> None:
    """Folders of older fine-tuned models have no generation_config.json: held to what one says."""
    from transformers import GenerationConfig, WhisperForConditionalGeneration

    old = write_tiny_whisper(tmp_path / "old", vocab_size=SMALLEST_MULTILINGUAL)
    settings = json.loads((old / "generation_config.json").read_text())
    (old / "generation_config.json").unlink()
    config = configuration(old, speech, train_max_steps=1)
    train(config, tmp_path / "mine", listener=Recorder())
    made = GenerationConfig.from_pretrained(tmp_path / "mine")
    for name in set(settings) - {"suppress_tokens", "begin_suppress_tokens"}:
        assert getattr(made, name) == settings[name], name
    assert (made.language, made.task) == ("de", "transcribe")
    model = WhisperForConditionalGeneration.from_pretrained(tmp_path / "mine")
    assert model.generate(torch.zeros(1, 80, 3000), language="fr", max_new_tokens=3).shape[1] <= 7


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tx.tasks.speech.pretrained.find_spec", lambda name: name != "peft" or None)
    with pytest.raises(TxError, match="needs peft") as error:
        import_transformers()
    assert error.value.hint == "pip install 'tx[whisper]'"
