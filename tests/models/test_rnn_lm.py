"""The vanilla RNN beside its twin in numpy: forward and back-propagation through time from the equations."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tx.data.stream import StreamBatch
from tx.models.rnn_lm import Config, RecurrentLM

V, D, B, T = 7, 5, 3, 6  # <pad> is 6, and never predicted
Floats = NDArray[np.float64]


class Twin:
    """h = tanh(W_hh h + W_xh x + b_h), o = W_hy h + b_o, x one-hot; the loss is the sum of -log softmax(o)."""

    def __init__(self, weights: dict[str, Floats]) -> None:
        self.w = weights

    def forward(self, x: Any, y: Any, h: Floats) -> tuple[float, list[Floats], list[Floats]]:
        """`x` and `y` `[B, T]`, `h` `[B, D]`: the loss, the hidden states h_0 ... h_T, softmax at each position."""
        hs, ps, loss = [h], [], 0.0
        for t in range(x.shape[1]):
            onehot = np.eye(V)[x[:, t]]  # [B, V]
            h = np.tanh(hs[-1] @ self.w["W_hh"].T + onehot @ self.w["W_xh"].T + self.w["b_h"])
            o = h @ self.w["W_hy"].T + self.w["b_o"]
            p = np.exp(o - o.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            loss -= np.log(p[np.arange(len(x)), y[:, t]]).sum()
            hs.append(h)
            ps.append(p)
        return loss, hs, ps

    def backward(self, x: Any, y: Any, hs: list[Floats], ps: list[Floats]) -> dict[str, Floats]:
        """The gradient of the loss by every parameter: back from the last position to the first."""
        grads = {name: np.zeros_like(value) for name, value in self.w.items()}
        dh_next = np.zeros_like(hs[0])
        for t in reversed(range(x.shape[1])):
            do = ps[t] - np.eye(V - 1)[y[:, t]]  # [B, V - 1]
            grads["W_hy"] += do.T @ hs[t + 1]
            grads["b_o"] += do.sum(axis=0)
            dh = do @ self.w["W_hy"] + dh_next
            da = dh * (1 - hs[t + 1] ** 2)  # through tanh
            grads["W_hh"] += da.T @ hs[t]
            grads["W_xh"] += da.T @ np.eye(V)[x[:, t]]
            grads["b_h"] += da.sum(axis=0)
            dh_next = da @ self.w["W_hh"]
        return grads


@pytest.fixture
def model() -> RecurrentLM:
    torch.manual_seed(0)
    return RecurrentLM(Config(vocab_size=V, cell="rnn", d_model=D, n_layers=1)).double()


def twin_of(model: RecurrentLM) -> Twin:
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}
    layer = "recurrent.layers.0."
    return Twin(
        {
            "W_xh": w[f"{layer}weight_ih_l0"].copy(),
            "W_hh": w[f"{layer}weight_hh_l0"].copy(),
            "b_h": w[f"{layer}bias_ih_l0"] + w[f"{layer}bias_hh_l0"],  # torch keeps it in two parts
            "W_hy": w["output.weight"].copy(),
            "b_o": w["output_bias"].copy(),
        }
    )


def batch_of(seed: int = 1) -> tuple[StreamBatch, Any, Any]:
    chance = np.random.default_rng(seed)
    x, y = chance.integers(V - 1, size=(2, B, T))
    return StreamBatch(torch.from_numpy(x), torch.from_numpy(y)), x, y


def gradients(model: RecurrentLM) -> dict[str, Floats]:
    g = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    layer = "recurrent.layers.0."
    assert np.allclose(g[f"{layer}bias_ih_l0"], g[f"{layer}bias_hh_l0"])
    return {
        "W_xh": g[f"{layer}weight_ih_l0"],
        "W_hh": g[f"{layer}weight_hh_l0"],
        "b_h": g[f"{layer}bias_ih_l0"],
        "W_hy": g["output.weight"],
        "b_o": g["output_bias"],
    }


def test_the_forward_pass_is_the_twins(model: RecurrentLM) -> None:
    batch, x, y = batch_of()
    twin = twin_of(model)
    loss, _, ps = twin.forward(x, y, np.zeros((B, D)))
    ours, n, _ = model.loss(batch)
    assert n == B * T and abs(ours.item() - loss) < 1e-6 * loss
    found = model(batch)[0].softmax(-1).detach().numpy()
    assert np.abs(found - np.stack(ps, axis=1)).max() < 1e-9


def test_the_gradients_are_the_twins(model: RecurrentLM) -> None:
    batch, x, y = batch_of()
    twin = twin_of(model)
    _, hs, ps = twin.forward(x, y, np.zeros((B, D)))
    expected = twin.backward(x, y, hs, ps)
    model.loss(batch)[0].backward()
    for name, found in gradients(model).items():
        assert np.abs(found - expected[name]).max() < 1e-6, name


def test_the_twins_gradients_are_the_finite_differences(model: RecurrentLM) -> None:
    _, x, y = batch_of()
    twin, h, step = twin_of(model), np.zeros((B, D)), 1e-5
    _, hs, ps = twin.forward(x, y, h)
    for name, expected in twin.backward(x, y, hs, ps).items():
        weight = twin.w[name]
        for place in np.ndindex(weight.shape):
            kept = weight[place]
            weight[place] = kept + step
            above = twin.forward(x, y, h)[0]
            weight[place] = kept - step
            below = twin.forward(x, y, h)[0]
            weight[place] = kept
            assert abs((above - below) / (2 * step) - expected[place]) < 1e-6, f"{name}{place}"


def test_back_propagation_is_cut_between_batches_and_the_state_is_not(model: RecurrentLM) -> None:
    """Truncated BPTT: the second batch begins in the first one's last state, and its gradients end there."""
    (first, x1, y1), (second, x2, y2) = batch_of(1), batch_of(2)
    twin = twin_of(model)
    loss, _, state = model.loss(first)
    loss.backward()
    model.zero_grad()
    model.loss(second, state=state)[0].backward()
    _, hs, _ = twin.forward(x1, y1, np.zeros((B, D)))
    _, hs, ps = twin.forward(x2, y2, hs[-1])
    for name, expected in twin.backward(x2, y2, hs, ps).items():
        assert np.abs(gradients(model)[name] - expected).max() < 1e-6, name


def test_one_hot_input_is_a_column_of_the_matrix(model: RecurrentLM) -> None:
    """An embedding of full width, the identity, is the same model."""
    torch.manual_seed(0)
    embedded = RecurrentLM(Config(vocab_size=V, cell="rnn", d_model=D, n_layers=1, d_embedding=V)).double()
    weights = model.state_dict() | {"embedding.weight": torch.eye(V, dtype=torch.double)}
    embedded.load_state_dict(weights)
    batch, _, _ = batch_of()
    assert torch.allclose(embedded(batch)[0], model(batch)[0], atol=1e-12)


def test_stacked_layers_read_the_layer_below() -> None:
    """Against torch's own stack of layers."""
    for cell, kind in (("rnn", torch.nn.RNN), ("gru", torch.nn.GRU), ("lstm", torch.nn.LSTM)):
        torch.manual_seed(0)
        model = RecurrentLM(Config(vocab_size=V, cell=cell, d_model=D, n_layers=3, d_embedding=4))  # type: ignore[arg-type]
        stack: Any = kind(4, D, 3, batch_first=True)
        with torch.no_grad():
            for number, layer in enumerate(model.recurrent.layers):
                for name, value in layer.named_parameters():
                    getattr(stack, name.replace("l0", f"l{number}")).copy_(value)
        batch, _, _ = batch_of()
        assert model.embedding is not None
        expected, state = stack(model.embedding(batch.tokens))
        found, states = model.hidden(batch.tokens)
        torch.testing.assert_close(found, expected)
        for ours, theirs in zip(states, state if cell == "lstm" else (state,), strict=True):
            torch.testing.assert_close(ours, theirs)
