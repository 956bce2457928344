"""Other tools compute what tx does, from the same weights: Transformers, and the engine CTranslate2.

Both are optional here: a test whose tool is not installed is skipped.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tx.data.batch import Batch, make_batch
from tx.decode.search import beam_search
from tx.models.transformer import Config, Transformer

V = 31  # 0 </s>, 1 <unk>, 30 <pad>
PAD = V - 1
SMALL = Config(V, V, d_model=24, d_ff=40, n_heads=3, n_encoder_layers=2, n_decoder_layers=3, max_len=40)
SRC = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15, 16], [29, 2, 28]]
TGT = [[17, 18, 19, 20, 21, 22], [23, 24], [], [2, 3, 29]]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.setitem(os.environ, name, "1")


def build(**changes: Any) -> Transformer:
    """A model in evaluation mode whose biases and norms count."""
    torch.manual_seed(6)
    model = Transformer(replace(SMALL, **changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embedding" not in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def batch() -> Batch:
    return make_batch(SRC, TGT, PAD, PAD)


# --- Transformers ---


def linear(name: str, weight: Tensor, bias: Tensor) -> Iterator[tuple[str, Tensor]]:
    yield f"{name}.weight", weight
    yield f"{name}.bias", bias


def attention(name: str, module: Any, order: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Query, key and value apart; `order` is how the other tool orders the axis of d_model."""
    fused = [module.query, module.key_value] if module.cross else [module.query_key_value]
    weights = torch.cat([product.weight for product in fused])[:, order].chunk(3)
    biases = torch.cat([product.bias for product in fused]).chunk(3)
    for part, weight, bias in zip("qkv", weights, biases, strict=True):
        yield from linear(f"{name}.{part}_proj", weight, bias)
    yield from linear(f"{name}.out_proj", module.out.weight[order], module.out.bias[order])


def stack(side: str, model: Transformer, order: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The weights of the encoder or the decoder under the names of BART and its relatives."""
    for i, layer in enumerate(getattr(model, side)):
        name = f"model.{side}.layers.{i}"
        norms = ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"]
        yield from attention(f"{name}.self_attn", layer.self_attention, order)
        if side == "decoder":
            yield from attention(f"{name}.encoder_attn", layer.cross_attention, order)
        else:
            del norms[1]
        up, down = layer.feed_forward.up, layer.feed_forward.down
        yield from linear(f"{name}.fc1", up.weight[:, order], up.bias)
        yield from linear(f"{name}.fc2", down.weight[order], down.bias[order])
        for norm, residual in zip(norms, layer.residuals, strict=True):
            yield from linear(f"{name}.{norm}", residual.norm.weight[order], residual.norm.bias[order])


def load(theirs: Any, weights: dict[str, Tensor]) -> Any:
    """Give `theirs` our weights; only tied copies, computed positions and a zero bias may be left."""
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert not unexpected
    allowed = ("embed_tokens.weight", "embed_positions.weight", "lm_head.weight", "final_logits_bias")
    assert all(name.endswith(allowed) for name in missing), missing
    theirs.tie_weights()
    return theirs.eval()


def sizes(model: Transformer) -> dict[str, Any]:
    config = model.config
    return {
        "vocab_size": V,
        "d_model": config.d_model,
        "encoder_layers": config.n_encoder_layers,
        "decoder_layers": config.n_decoder_layers,
        "encoder_attention_heads": config.n_heads,
        "decoder_attention_heads": config.n_heads,
        "encoder_ffn_dim": config.d_ff,
        "decoder_ffn_dim": config.d_ff,
        "scale_embedding": True,
        "max_position_embeddings": config.max_len,
        "eos_token_id": 0,
        "bos_token_id": 0,
        "attn_implementation": "eager",
    }


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@torch.inference_mode()
def test_a_post_norm_model_is_a_marian_model(activation: str) -> None:
    """By renaming, and by the order of d_model: Marian's positions have all sines first, in the same spacing."""
    transformers = pytest.importorskip("transformers")
    model = build(norm="post", activation=activation)
    d = model.config.d_model
    order = torch.cat((torch.arange(0, d, 2), torch.arange(1, d, 2)))
    config = transformers.MarianConfig(
        **sizes(model),
        activation_function=activation,
        static_position_embeddings=True,
        pad_token_id=PAD,
        decoder_start_token_id=PAD,
    )
    weights = {"model.shared.weight": model.tgt_embedding.weight[:, order]}
    weights |= dict(stack("encoder", model, order)) | dict(stack("decoder", model, order))
    marian = load(transformers.MarianMTModel(config), weights)
    ours = batch()
    theirs = marian(input_ids=ours.src, attention_mask=ours.src != PAD, decoder_input_ids=ours.tgt_in)
    torch.testing.assert_close(model(ours), theirs.logits[..., :-1], rtol=1e-5, atol=1e-5)
    # Its own greedy search, through its own cache, writes the same.
    found = beam_search(model, ours, beam_size=1, max_lens=[20] * 4, bos_id=PAD, eos_id=0)
    written = marian.generate(
        ours.src,
        attention_mask=ours.src != PAD,
        num_beams=1,
        do_sample=False,
        max_new_tokens=21,
        bad_words_ids=[[PAD]],
        forced_eos_token_id=0,
    )
    for (h,), row in zip(found, written.tolist(), strict=True):
        assert [PAD, *h.ids, 0] == row[: len(h.ids) + 2]


@torch.inference_mode()
def test_a_pre_norm_model_is_an_m2m100_model() -> None:
    """By renaming alone, with tensor2tensor's positions that start at 2."""
    transformers = pytest.importorskip("transformers")
    model = build(norm="pre", positions="concatenated", position_start=2)
    config = transformers.M2M100Config(**sizes(model), activation_function="relu", pad_token_id=1)
    order = torch.arange(model.config.d_model)
    weights = {"model.shared.weight": model.tgt_embedding.weight}
    for side in ("encoder", "decoder"):
        weights |= dict(stack(side, model, order))
        norm = getattr(model, f"{side}_norm")
        weights |= dict(linear(f"model.{side}.layer_norm", norm.weight, norm.bias))
    m2m = load(transformers.M2M100ForConditionalGeneration(config), weights)
    ours = batch()
    # Its padding is 1, and what is padding there has no position; our <pad> is a token like others to it.
    src = ours.src.masked_fill(ours.src == PAD, 1)
    theirs = m2m(input_ids=src, attention_mask=src != 1, decoder_input_ids=ours.tgt_in)
    torch.testing.assert_close(model(ours), theirs.logits[..., :-1], rtol=1e-5, atol=1e-5)


# --- CTranslate2 ---


def numpy(value: Tensor) -> Any:
    return value.detach().clone().numpy()  # a copy: the engine's converter changes arrays in place


def fill_linear(spec: Any, *modules: Any) -> None:
    spec.weight = numpy(torch.cat([module.weight for module in modules]))
    spec.bias = numpy(torch.cat([module.bias for module in modules]))


def fill_norm(spec: Any, norm: Any) -> None:
    spec.gamma, spec.beta = numpy(norm.weight), numpy(norm.bias)


def fill_stack(spec: Any, model: Transformer, side: str) -> None:
    spec.position_encodings.encodings = numpy(model.src_positions)
    if model.config.norm == "pre":
        fill_norm(spec.layer_norm, getattr(model, f"{side}_norm"))
    for theirs, ours in zip(spec.layer, getattr(model, side), strict=True):
        fill_linear(theirs.self_attention.linear[0], ours.self_attention.query_key_value)
        fill_linear(theirs.self_attention.linear[1], ours.self_attention.out)
        norms = [theirs.self_attention.layer_norm, theirs.ffn.layer_norm]
        if side == "decoder":
            cross = (ours.cross_attention.query, ours.cross_attention.key_value, ours.cross_attention.out)
            for linear_spec, module in zip(theirs.attention.linear, cross, strict=True):
                fill_linear(linear_spec, module)
            norms.insert(1, theirs.attention.layer_norm)
        fill_linear(theirs.ffn.linear_0, ours.feed_forward.up)
        fill_linear(theirs.ffn.linear_1, ours.feed_forward.down)
        for norm_spec, residual in zip(norms, ours.residuals, strict=True):
            fill_norm(norm_spec, residual.norm)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("positions", ["interleaved", "concatenated", "learned"])
@torch.inference_mode()
def test_ctranslate2_scores_and_translates_the_same(norm: str, positions: str, tmp_path: Path) -> None:
    """<pad> is left out: the engine starts from a zero vector by itself, which is what its row holds."""
    engine = pytest.importorskip("ctranslate2")
    model = build(norm=norm, positions=positions)
    if positions == "learned":
        model.tgt_positions.copy_(model.src_positions)
    spec = engine.specs.TransformerSpec.from_config((2, 3), num_heads=3, pre_norm=norm == "pre")
    spec.decoder.start_from_zero_embedding = True
    for side in ("encoder", "decoder"):
        fill_stack(getattr(spec, side), model, side)
    matrix = model.tgt_embedding.weight[:-1]
    spec.encoder.embeddings[0].weight, spec.decoder.embeddings.weight = numpy(matrix), numpy(matrix)
    spec.decoder.projection.weight = numpy(matrix)
    words = ["</s>", "<unk>", *(str(i) for i in range(2, PAD))]
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.bos_token = spec.config.decoder_start_token = spec.config.eos_token = "</s>"
    spec.validate()
    spec.optimize()
    spec.save(str(tmp_path))
    translator = engine.Translator(str(tmp_path), device="cpu", compute_type="float32", intra_threads=1)

    src = [[*(words[i] for i in row), "</s>"] for row in SRC]
    tgt = [[words[i] for i in row] for row in TGT]
    logprobs = model(batch()).log_softmax(dim=-1)
    for i, scored in enumerate(translator.score_batch(src, tgt)):
        expected = [float(logprobs[i, t, token]) for t, token in enumerate([*TGT[i], 0])]
        assert scored.log_probs == pytest.approx(expected, abs=1e-5)

    # Greedy: of beams each tool has its own rule when to stop.
    found = beam_search(model, batch(), beam_size=1, max_lens=[20] * 4, bos_id=PAD, eos_id=0)
    results = translator.translate_batch(src, beam_size=1, max_decoding_length=20)
    for (h,), result in zip(found, results, strict=True):
        assert [words[i] for i in h.ids] == result.hypotheses[0]
