"""The Transformer against torch's own layers with the same weights: values and gradients."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tx.data.batch import Batch, make_batch
from tx.models.transformer import Config, Transformer
from tx.nn.attention import Attention

V = 23
SMALL = Config(
    V, V, d_model=16, d_ff=40, n_heads=4, n_encoder_layers=2, n_decoder_layers=3, dropout=0.0, max_len=20
)


def build(**changes: object) -> Transformer:
    """A small model with every parameter random: biases and norms must count."""
    model = Transformer(replace(SMALL, **changes))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embedding" not in name and parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


def pairs_batch() -> Batch:
    """Sentences of different lengths on both sides."""
    chance = torch.Generator().manual_seed(4)
    lengths = [(5, 3), (2, 7), (9, 1), (1, 5)]
    src, tgt = (
        [torch.randint(2, V - 1, (n[side],), generator=chance).tolist() for n in lengths] for side in (0, 1)
    )
    return make_batch(src, tgt, V - 1, V - 1)


def copy_linear(ours: nn.Linear, theirs: nn.Linear) -> None:
    theirs.load_state_dict(ours.state_dict())


def copy_attention(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    products = [ours.query, ours.key_value] if ours.cross else [ours.query_key_value]
    theirs.in_proj_weight.data = torch.cat([product.weight.detach() for product in products])
    theirs.in_proj_bias.data = torch.cat([product.bias.detach() for product in products])
    copy_linear(ours.out, theirs.out_proj)


def torchs(model: Transformer) -> nn.Transformer:
    """torch's Transformer with the weights of `model`; a post-norm stack lacks the last norm."""
    config = model.config
    common = {
        "dropout": 0.0,
        "activation": config.activation if config.activation != "silu" else nn.functional.silu,
        "batch_first": True,
        "norm_first": config.norm == "pre",
    }
    sizes = (config.d_model, config.n_heads, config.d_ff)
    layers = [
        nn.TransformerEncoderLayer(*sizes, **common),
        nn.TransformerDecoderLayer(*sizes, **common),
    ]
    reference = nn.Transformer(
        config.d_model,
        config.n_heads,
        custom_encoder=nn.TransformerEncoder(
            layers[0], config.n_encoder_layers, nn.LayerNorm(config.d_model), enable_nested_tensor=False
        ),
        custom_decoder=nn.TransformerDecoder(
            layers[1], config.n_decoder_layers, nn.LayerNorm(config.d_model)
        ),
        batch_first=True,
    )
    for ours, theirs in (
        *zip(model.encoder, reference.encoder.layers, strict=True),
        *zip(model.decoder, reference.decoder.layers, strict=True),
    ):
        copy_attention(ours.self_attention, theirs.self_attn)
        if isinstance(theirs, nn.TransformerDecoderLayer):
            copy_attention(ours.cross_attention, theirs.multihead_attn)
        copy_linear(ours.feed_forward.up, theirs.linear1)
        copy_linear(ours.feed_forward.down, theirs.linear2)
        for i, residual in enumerate(ours.residuals, start=1):
            getattr(theirs, f"norm{i}").load_state_dict(residual.norm.state_dict())
    for ours, theirs in ((model.encoder_norm, reference.encoder), (model.decoder_norm, reference.decoder)):
        if config.norm == "pre":
            theirs.norm.load_state_dict(ours.state_dict())
        else:
            theirs.norm = nn.Identity()
    return reference


def embed(ids: Tensor, weight: Tensor, start: int = 0) -> Tensor:
    """Scaled embeddings plus the paper's positions, in plain Python."""
    d = weight.size(1)
    table = [
        [(math.cos if i % 2 else math.sin)((start + p) / 10000 ** (2 * (i // 2) / d)) for i in range(d)]
        for p in range(ids.size(1))
    ]
    return weight[ids] * math.sqrt(d) + torch.tensor(table)


def reference_logits(model: Transformer, reference: nn.Transformer, weight: Tensor, batch: Batch) -> Tensor:
    padding = batch.src == V - 1
    hidden = reference(
        embed(batch.src, weight),
        embed(batch.tgt_in, weight),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(batch.tgt_in.size(1)),
        src_key_padding_mask=padding.float().masked_fill(padding, float("-inf")),
        memory_key_padding_mask=padding.float().masked_fill(padding, float("-inf")),
    )
    return hidden @ weight[:-1].T


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_logits_are_torchs(norm: str, activation: str) -> None:
    model = build(norm=norm, activation=activation).eval()
    reference, batch = torchs(model).eval(), pairs_batch()
    with torch.no_grad():
        expected = reference_logits(model, reference, model.tgt_embedding.weight, batch)
        torch.testing.assert_close(model(batch), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_gradients_are_torchs(norm: str) -> None:
    """In training mode, of the smoothed loss over real tokens alone, tied embedding included."""
    model, batch = build(norm=norm).train(), pairs_batch()
    reference = torchs(model).train()
    weight = model.tgt_embedding.weight.detach().clone().requires_grad_()
    logits = reference_logits(model, reference, weight, batch).flatten(0, 1)[batch.tgt_positions]
    expected = nn.functional.cross_entropy(logits, batch.tgt_out, label_smoothing=0.1, reduction="sum")
    expected.backward()
    loss, _ = model.loss(batch, 0.1)
    loss.backward()
    torch.testing.assert_close(loss, expected)

    # Copy our gradients into a twin as if they were weights: the mapping of names is then tested already.
    with torch.no_grad():
        twin = build(norm=norm)
        for a, b in zip(twin.parameters(), model.parameters(), strict=True):
            assert b.grad is not None
            a.copy_(b.grad)
    for (name, ours), theirs in zip(torchs(twin).named_parameters(), reference.parameters(), strict=True):
        assert theirs.grad is not None, name
        torch.testing.assert_close(ours, theirs.grad, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert model.tgt_embedding.weight.grad is not None and weight.grad is not None
    torch.testing.assert_close(model.tgt_embedding.weight.grad[:-1], weight.grad[:-1], rtol=1e-4, atol=1e-5)
    assert not model.tgt_embedding.weight.grad[-1].any()  # <pad> is never trained


@pytest.mark.parametrize("positions", ["interleaved", "concatenated", "learned"])
def test_every_kind_of_position_reaches_the_model(positions: str) -> None:
    """Without positions a source and its reverse would be the same."""
    model = build(positions=positions).eval()
    with torch.no_grad():
        there, back = (model.encode(torch.tensor([row]))[0] for row in ([5, 6, 7, 8], [8, 7, 6, 5]))
    assert (there - back.flip(1)).abs().max() > 0.1


@pytest.mark.parametrize("start", [0, 2, 9])
def test_positions_start_where_they_are_told_to(start: int) -> None:
    model = build(position_start=start).eval()
    ids = torch.tensor([[3, 4, 5]])
    weight = model.tgt_embedding.weight
    torch.testing.assert_close(
        model._embed(ids, model.tgt_embedding, model.tgt_positions),
        embed(ids, weight, start),
        atol=1e-5,
        rtol=0,
    )


@given(seed=st.integers(0, 50), p=st.sampled_from([0.1, 0.6]), causal=st.booleans(), padded=st.booleans())
@settings(max_examples=20)
def test_attention_with_dropout_drops_weights_of_the_softmax(
    seed: int, p: float, causal: bool, padded: bool
) -> None:
    """With the identity for values its output is the dropped attention matrix itself."""
    torch.manual_seed(seed)
    b, h, t = 2, 3, 6
    attention = Attention(h * t, h, dropout=p)
    attention.out = nn.Identity()  # type: ignore[assignment]
    q, k = torch.randn(2, b, h, t, 4)
    v = torch.eye(t).expand(b, h, t, t)
    mask = None if causal or not padded else torch.tensor([[1] * 6, [1] * 4 + [0] * 2]).bool()[:, None, None]
    plain = attention.eval().attend(q, k, v, mask, causal)
    dropped = attention.train().attend(q, k, v, mask, causal)
    kept = dropped != 0
    scale = 256 / (256 - round(256 * p))
    torch.testing.assert_close(dropped[kept], plain[kept] * scale)
    possible = int((plain > 0).sum())
    share = 1 - int(kept.sum()) / possible
    assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / possible) + 1 / 512


def test_the_same_seed_gives_the_same_weights() -> None:
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(Transformer(SMALL).state_dict())
    same = [torch.equal(a, b) for a, b in zip(models[0].values(), models[1].values(), strict=True)]
    other = [torch.equal(a, b) for a, b in zip(models[0].values(), models[2].values(), strict=True)]
    assert all(same) and not all(other)


def test_embeddings_enter_with_unit_variance_and_logits_start_small() -> None:
    """The scale that the paper's recipe counts on: a new model is near the uniform distribution."""
    torch.manual_seed(1)
    model = Transformer(replace(SMALL, src_vocab_size=500, tgt_vocab_size=500, d_model=64)).eval()
    scaled = model.tgt_embedding.weight[:-1] * 8
    assert scaled.var().item() == pytest.approx(1, rel=0.05)
    batch = make_batch([[5, 6, 7]] * 4, [[8, 9]] * 4, 499, 499)
    loss, n = model.loss(batch)
    assert loss.item() / n == pytest.approx(math.log(499), rel=0.15)
