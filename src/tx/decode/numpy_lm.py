"""The language models of `tx.models` in numpy, for generating one text token by token without torch.

For a single row eager PyTorch spends most of its time between operations, and its matrix-vector products may repack
the matrix in every call. Here a step is a handful of numpy calls, and a one-hot input or an embedding is a look-up.
The tests check that the logits equal those of `tx.models` up to rounding.

Shape letters: T positions, D d_model, H heads, K head size, V vocabulary (<pad>, the last, is never predicted).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tx.errors import TxError
from tx.package import WEIGHTS, Package
from tx.package.arrays import map_tensor

Array = NDArray[np.float32]


class IncrementalLM(Protocol):
    """A language model after some tokens of one text."""

    activations: list[Array]  # of the hidden units of each layer for the last token

    def feed(self, ids: Sequence[int]) -> Array:
        """Read `ids`, at least one; the logits of the next token, `[V - 1]`."""

    def copy(self) -> Self:
        """An independent copy."""


class Weights:
    """The tensors of a package by name; the shape of each is checked when it is taken."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._left = dict(package.tensors)

    def take(self, name: str, *shape: int) -> Array:
        """The tensor `name` in memory, as float32. Raises TxError unless it has this shape and is finite."""
        found = self._left.pop(name, None)
        if found is None or found.shape != shape:
            raise self._misfit(name, "missing" if found is None else found.shape, shape)
        array = map_tensor(self._package.file(WEIGHTS), found).astype(np.float32)
        if not np.isfinite(array).all():
            raise TxError(f"{self._package.path}: {name} in {WEIGHTS} has values that are not finite")
        return array

    def finish(self) -> None:
        """Raise TxError if a tensor has not been taken."""
        for name, tensor in self._left.items():
            raise self._misfit(name, tensor.shape, "nothing")

    def _misfit(self, name: str, found: object, expected: object) -> TxError:
        return TxError(
            f"{self._package.path}: {WEIGHTS} does not fit the config: {name} is {found}, "
            f"and {expected} was expected",
            "the files come from different models; copy, download or train the package again",
        )


# -- recurrent -------------------------------------------------------------------------------------


def _sigmoid(x: Array) -> Array:
    return np.tanh(x * 0.5) * 0.5 + 0.5  # type: ignore[no-any-return]


class _Layer:
    """A recurrent layer with G gates: `inputs` is W x + b, `recurrent` is U h + c; biases are `[GD]`."""

    def __init__(self, weights: Weights, number: int, cell: str, d_input: int, d: int) -> None:
        n_gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]

        def take(name: str, *shape: int) -> Array:
            return weights.take(f"recurrent.layers.{number}.{name}_l0", n_gates * d, *shape)

        self.W, self.U = take("weight_ih", d_input), take("weight_hh", d)
        self.b, self.c = take("bias_ih"), take("bias_hh")
        if cell != "gru":  # its reset gate comes between the two
            self.b += self.c
        self.step: Callable[..., tuple[Array, ...]] = getattr(self, f"_{cell}")
        self.n_states = 2 if cell == "lstm" else 1

    def _rnn(self, inputs: Array, h: Array) -> tuple[Array, ...]:
        h = np.tanh(inputs + self.U @ h)
        return h, h

    def _gru(self, inputs: Array, h: Array) -> tuple[Array, ...]:
        d = len(h)
        recurrent = self.U @ h + self.c
        gates = _sigmoid(inputs[: 2 * d] + recurrent[: 2 * d])
        r, z = gates[:d], gates[d:]
        n = np.tanh(inputs[2 * d :] + r * recurrent[2 * d :])
        h = n + z * (h - n)
        return h, h

    def _lstm(self, inputs: Array, h: Array, c: Array) -> tuple[Array, ...]:
        d = len(h)
        inputs = inputs + self.U @ h
        gates = _sigmoid(inputs)  # i, f, g, o; the sigmoid of g, which is not a gate, is not used
        c = gates[d : 2 * d] * c + gates[:d] * np.tanh(inputs[2 * d : 3 * d])
        cell = np.tanh(c)
        return cell, gates[3 * d :] * cell, c


class NumpyRecurrentLM:
    """`tx.models.rnn_lm`. The activations are the hidden states, for an LSTM the tanh of its cell states."""

    def __init__(self, config: Mapping[str, Any], weights: Weights) -> None:
        d, width, v = config["d_model"], config["d_embedding"], config["vocab_size"]
        embedding = weights.take("embedding.weight", v, width) if width else None
        self._layers = [
            _Layer(weights, n, config["cell"], d if n else width or v, d) for n in range(config["n_layers"])
        ]
        self._embedding = embedding
        if config["tie_embeddings"]:
            assert embedding is not None
            self._output = embedding[:-1]
        else:
            self._output = weights.take("output.weight", v - 1, d)
        self._output_bias = weights.take("output_bias", v - 1)
        self._inputs: dict[int, Array] = {}  # W x + b of the first layer by token, as a cache
        zeros = np.zeros(d, np.float32)
        self._states = [(zeros,) * layer.n_states for layer in self._layers]
        self.activations: list[Array] = []

    def _input(self, id: int) -> Array:
        found = self._inputs.get(id)
        if found is None:
            first = self._layers[0]
            x = first.W[:, id] if self._embedding is None else first.W @ self._embedding[id]
            found = self._inputs[id] = x + first.b
        return found

    def feed(self, ids: Sequence[int]) -> Array:
        for id in ids:
            x, self.activations = self._input(id), []
            for number, layer in enumerate(self._layers):
                if number:
                    x = layer.W @ x + layer.b
                unit, *states = layer.step(x, *self._states[number])
                self._states[number] = tuple(states)
                self.activations.append(unit)
                x = states[0]
        return self._output @ x + self._output_bias

    def copy(self) -> Self:
        other = copy(self)
        other._states = list(self._states)  # the arrays in it are never changed
        return other


# -- feed-forward ----------------------------------------------------------------------------------


class NumpyNPLM:
    """`tx.models.nplm`."""

    def __init__(self, config: Mapping[str, Any], weights: Weights) -> None:
        n, e, d, v = config["order"] - 1, config["d_embedding"], config["d_model"], config["vocab_size"]
        self._embedding = weights.take("embedding.weight", v, e)
        self._hidden = weights.take("hidden.weight", d, n * e), weights.take("hidden.bias", d)
        width = d + n * e if config["direct"] else d
        self._output = weights.take("output.weight", v - 1, width), weights.take("output.bias", v - 1)
        self._direct = config["direct"]
        self._context = [v - 1] * n  # <pad> where there is no token
        self.activations: list[Array] = []

    def feed(self, ids: Sequence[int]) -> Array:
        self._context = [*self._context, *ids][-len(self._context) :]
        x = self._embedding[self._context].ravel()
        weight, bias = self._hidden
        h = np.tanh(weight @ x + bias)
        self.activations = [h]
        weight, bias = self._output
        return weight @ (np.concatenate((h, x)) if self._direct else h) + bias  # type: ignore[no-any-return]

    def copy(self) -> Self:
        return copy(self)


# -- Transformer -----------------------------------------------------------------------------------


def _erf(x: Array) -> Array:
    """The error function to 1.5e-7: Abramowitz and Stegun 1964, formula 7.1.26."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = (((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592
    return np.copysign(1 - series * t * np.exp(-x * x), x)  # type: ignore[no-any-return]


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (0.5 + 0.5 * _erf(x * math.sqrt(0.5))),
    "silu": lambda x: x * _sigmoid(x),
}


class _Norm:
    """Layer normalisation over the last axis."""

    def __init__(self, weights: Weights, name: str, d: int) -> None:
        self.scale, self.shift = weights.take(f"{name}.weight", d), weights.take(f"{name}.bias", d)
        self.mean = np.full(d, 1 / d, np.float32)  # a matrix product; np.mean is slower

    def __call__(self, x: Array) -> Array:
        x = x - (x @ self.mean)[..., None]
        deviation: Array = np.sqrt(x * x @ self.mean + np.float32(1e-5))
        return x * (self.scale / deviation[..., None]) + self.shift


class _Block:
    """A Transformer layer: causal self-attention over cached keys and values `[H, max_len, K]`, and feed-forward."""

    def __init__(self, weights: Weights, number: int, config: Mapping[str, Any]) -> None:
        d, f = config["d_model"], config["d_ff"]
        prefix = f"layers.{number}"

        def linear(name: str, n_in: int, n_out: int) -> tuple[Array, Array]:
            matrix = weights.take(f"{prefix}.{name}.weight", n_out, n_in)
            return matrix.T, weights.take(f"{prefix}.{name}.bias", n_out)

        self.n_heads, self.activation = config["n_heads"], _ACTIVATIONS[config["activation"]]
        self.query_key_value = linear("self_attention.query_key_value", d, 3 * d)
        self.out = linear("self_attention.out", d, d)
        self.up, self.down = linear("feed_forward.up", d, f), linear("feed_forward.down", f, d)
        self.norms = [_Norm(weights, f"{prefix}.residuals.{i}.norm", d) for i in range(2)]

    def feed(self, x: Array, cache: tuple[Array, Array], start: int) -> tuple[Array, Array]:
        """`x` `[T, D]` from position `start` on to the output `[T, D]`, and the activations of the last position."""
        weight, bias = self.query_key_value
        heads = (self.norms[0](x) @ weight + bias).reshape(len(x), 3, self.n_heads, -1)
        q, k, v = heads.transpose(1, 2, 0, 3)  # [H, T, K] each
        end = start + len(x)
        keys, values = cache
        keys[:, start:end], values[:, start:end] = k, v
        scores = q * q.shape[-1] ** -0.5 @ keys[:, :end].transpose(0, 2, 1)  # [H, T, end]
        if len(x) > 1:
            scores[:, ~np.tri(len(x), end, start, dtype=bool)] = -np.inf
        chances = np.exp(scores - scores.max(axis=-1, keepdims=True))
        chances /= chances.sum(axis=-1, keepdims=True)
        context = (chances @ values[:, :end]).transpose(1, 0, 2).reshape(x.shape)
        weight, bias = self.out
        x = x + (context @ weight + bias)
        weight, bias = self.up
        units = self.activation(self.norms[1](x) @ weight + bias)
        weight, bias = self.down
        return x + (units @ weight + bias), units[-1]


class NumpyTransformerLM:
    """`tx.models.transformer_lm` with cached keys and values. The activations are those of the feed-forward layers.

    It reads at most `max_len` tokens; see `tx.decode.generate.Context`.
    """

    def __init__(self, config: Mapping[str, Any], weights: Weights) -> None:
        d, v, n = config["d_model"], config["vocab_size"], config["max_len"]
        self._embedding = weights.take("embedding.weight", v, d)
        learned = config["positions"] == "learned"
        if learned:
            self._positions = weights.take("positions", n, d)
        else:
            from tx.nn.position import sinusoids  # imports torch

            self._positions = sinusoids(n, d).numpy()
        self._output = (
            self._embedding[:-1] if config["tie_embeddings"] else weights.take("output.weight", v - 1, d)
        )
        self._scale = 1.0 if learned else math.sqrt(d)
        self._layers = [_Block(weights, number, config) for number in range(config["n_layers"])]
        self._norm = _Norm(weights, "norm", d)
        heads = config["n_heads"], n, d // config["n_heads"]
        self._caches = [(np.empty(heads, np.float32), np.empty(heads, np.float32)) for _ in self._layers]
        self._length = 0
        self.activations: list[Array] = []

    def feed(self, ids: Sequence[int]) -> Array:
        end = self._length + len(ids)
        x = self._embedding[ids] * self._scale + self._positions[self._length : end]
        self.activations = []
        for layer, cache in zip(self._layers, self._caches, strict=True):
            x, units = layer.feed(x, cache, self._length)
            self.activations.append(units)
        self._length = end
        return self._output @ self._norm(x[-1])

    def copy(self) -> Self:
        other = copy(self)
        other._caches = [
            (_head(keys, self._length), _head(values, self._length)) for keys, values in self._caches
        ]
        return other


def _head(cache: Array, length: int) -> Array:
    """A copy of `cache` of the same size, with its first `length` positions."""
    other = np.empty_like(cache)
    other[:, :length] = cache[:, :length]
    return other


NUMPY_MODELS: dict[str, Callable[[Mapping[str, Any], Weights], IncrementalLM]] = {
    "rnn_lm": NumpyRecurrentLM,
    "nplm": NumpyNPLM,
    "transformer_lm": NumpyTransformerLM,
}


def load_numpy_model(package: Package) -> IncrementalLM:
    """The model of a package, of an architecture in NUMPY_MODELS. Raises TxError if the package is damaged."""
    weights = Weights(package)
    try:
        reader = NUMPY_MODELS[str(package.arch)](package.config, weights)
    except (KeyError, TypeError, ValueError, ArithmeticError, AssertionError, MemoryError) as error:
        raise TxError(f"{package.path}: its config does not describe a {package.arch}: {error}") from error
    weights.finish()
    return reader
