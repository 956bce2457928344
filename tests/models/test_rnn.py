"""The recurrent translator against torch's own bidirectional layers and against the papers' equations in numpy."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tx.data.batch import make_batch
from tx.errors import TxError
from tx.models.rnn import Config, EncoderDecoder, Scores

V = 23
PAD = V - 1


def model_of(**changes: Any) -> EncoderDecoder:
    torch.manual_seed(5)
    settings = {"d_embedding": 6, "d_model": 8, "n_layers": 2, "dropout": 0.0, "cell": "gru"} | changes
    return EncoderDecoder(Config(V, V, **settings)).eval()  # type: ignore[arg-type]


def rows(seed: int, lengths: list[int]) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(2, PAD, n).tolist() for n in lengths]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_the_encoder_is_torchs_packed_bidirectional_stack(cell: str, lengths: list[int], seed: int) -> None:
    model = model_of(cell=cell)
    made = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell](
        6, 4, 2, batch_first=True, bidirectional=True
    )
    with torch.no_grad():
        for number, ways in enumerate(model.encoder.layers):
            for suffix, way in zip(("", "_reverse"), ways, strict=True):  # type: ignore[arg-type]
                for name, parameter in way.layers[0].named_parameters():
                    getattr(made, name.replace("_l0", f"_l{number}") + suffix).copy_(parameter)
    batch = make_batch(rows(seed, lengths), None, PAD, PAD)
    x = model.src_embedding(batch.src) * 6**0.5
    sizes = torch.tensor(lengths) + 1
    packed, last = made(pack_padded_sequence(x, sizes, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    memory, found = model.encoder(x, sizes)
    for row, size in enumerate(sizes.tolist()):
        torch.testing.assert_close(memory[row, :size], expected[row, :size], rtol=1e-4, atol=1e-5)
    hidden = last[0] if cell == "lstm" else last
    hidden = hidden.view(2, 2, len(lengths), 4).transpose(1, 2).flatten(2)  # [L, B, both directions]
    torch.testing.assert_close(found, hidden, rtol=1e-4, atol=1e-5)


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: parameter.detach().double().numpy() for name, parameter in module.named_parameters()}


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def gru(w: dict[str, np.ndarray], x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """One step of a GRU in torch's form."""
    a, b = w["weight_ih_l0"] @ x + w["bias_ih_l0"], w["weight_hh_l0"] @ h + w["bias_hh_l0"]
    d = len(h)
    r, z = (1 / (1 + np.exp(-(a[i : i + d] + b[i : i + d]))) for i in (0, d))
    return (1 - z) * np.tanh(a[2 * d :] + r * b[2 * d :]) + z * h  # type: ignore[no-any-return]


def by_hand(model: EncoderDecoder, memory: np.ndarray, first: np.ndarray, tgt: list[int]) -> np.ndarray:
    """The decoder's logits for one sentence, position by position, from the equations of the papers."""
    w, config = arrays(model), model.config
    layer = arrays(model.decoder.layers[0])
    s, fed, logits = first, np.zeros(config.d_embedding), []

    def energies(query: np.ndarray) -> np.ndarray:
        if model.scores.kind == "concat":
            v, a, u = w["scores.energy.weight"][0], w["scores.query.weight"], w["scores.key.weight"]
            return np.array([v @ np.tanh(a @ query + w["scores.query.bias"] + u @ h) for h in memory])
        return np.array([query @ (w["scores.key.weight"] @ h) for h in memory])

    for token in tgt:
        x = w["tgt_embedding.weight"][token] * config.d_embedding**0.5
        if config.attention == "bahdanau":
            context = softmax(energies(s)) @ memory
            s = gru(layer, np.concatenate((x, context)), s)
        else:
            s = gru(layer, np.concatenate((x, fed)) if config.input_feeding else x, s)
            context = softmax(energies(s)) @ memory
        fed = np.tanh(w["readout.weight"] @ np.concatenate((context, s)) + w["readout.bias"])
        logits.append(w["tgt_embedding.weight"][:-1] @ fed)
    return np.array(logits)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": "bahdanau"},
        {"attention": "luong"},
        {"attention": "luong", "luong_score": "concat"},
        {"attention": "luong", "input_feeding": True},
    ],
    ids=str,
)
def test_the_decoder_is_the_papers_equations(changes: dict[str, Any]) -> None:
    model = model_of(n_layers=1, **changes).double()
    src, tgt = rows(1, [5, 2]), rows(2, [4, 6])
    batch = make_batch(src, tgt, PAD, PAD)
    source, first = model.encode(batch.src)
    logits = model(batch).detach()
    for row in range(2):
        size = len(src[row]) + 1
        memory, start = source.memory[row, :size].detach().numpy(), first[0][0, row].detach().numpy()
        expected = by_hand(model, memory, start, [PAD, *tgt[row]])
        np.testing.assert_allclose(logits[row, : len(tgt[row]) + 1].numpy(), expected, atol=1e-9)


def test_dot_needs_no_weights_and_is_the_product_of_states() -> None:
    scores = Scores("dot", 4)
    query, keys = torch.rand(2, 3, 4), torch.rand(2, 5, 4)
    assert not list(scores.parameters())
    torch.testing.assert_close(scores(query, scores.key(keys)), torch.einsum("btd,bsd->bts", query, keys))


def test_without_attention_the_last_state_is_all_that_is_known() -> None:
    model = model_of(attention="none")
    batch = make_batch(rows(3, [6]), rows(4, [3]), PAD, PAD)
    source, first = model.encode(batch.src)
    plain = model.decode(batch.tgt_in, source, first)
    source.memory = torch.rand_like(source.memory)
    torch.testing.assert_close(model.decode(batch.tgt_in, source, first), plain, rtol=0, atol=0)


def test_a_reversed_source_is_read_from_its_end() -> None:
    def first(model: EncoderDecoder, line: list[int]) -> Tensor:
        ids = torch.tensor([line])
        return model.encode(ids)[1][0]

    turned, plain = (model_of(attention="none", bidirectional=False, reverse_source=r) for r in (True, False))
    plain.load_state_dict(turned.state_dict())
    torch.testing.assert_close(first(turned, [5, 9, 0]), first(plain, [0, 9, 5]))
    assert not torch.allclose(first(turned, [5, 9, 0]), first(plain, [5, 9, 0]))


@pytest.mark.parametrize(
    "changes",
    [
        {"d_model": 7},
        {"attention": "bahdanau", "input_feeding": True},
        {"attention": "luong", "context_at_each_step": True},
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TxError):
        model_of(**changes)
