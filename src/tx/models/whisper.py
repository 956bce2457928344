"""Whisper for inference: the encoder once for each window, the decoder token by token with its keys and values kept.

The weights keep the names of transformers' WhisperForConditionalGeneration, whose logits these are. Query, key
and value are one product; the hypotheses of a window share its audio, as several queries of one attention. Of that
attention a step is mostly reading memory: written out, with the keys laid ready, it takes half the time of
PyTorch's own on a CPU.

Shape letters: B windows, W hypotheses of each, N = B * W rows, T tokens, S audio positions, M mel bins, D d_model,
H heads, K head size, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from tx.errors import TxError
from tx.package.hf_folder import CONFIG, Folder

TASK = "speech"
EPS = 1e-5
Weights = dict[str, Tensor]


@dataclass
class Memory:
    """The audio of B windows and the text of N hypotheses so far, as the decoder's layers see them."""

    cross: list[
        tuple[Tensor, Tensor]
    ]  # of each layer keys [B, H, K, S], divided by sqrt(K); values [B, H, S, K]
    past: list[tuple[Tensor, Tensor]]  # of each layer [N, H, capacity, K]
    length: int = 0

    @property
    def n_windows(self) -> int:
        return self.cross[0][0].size(0)

    def reorder(self, index: Tensor, width: int) -> None:
        """Keep the rows `index` `[N']`, in its order; they come in groups of `width` that share a window."""
        old_width = self.past[0][0].size(0) // self.n_windows
        windows = index[::width] // old_width
        self.past = [_select(pair, index) for pair in self.past]
        if windows.tolist() != list(range(self.n_windows)):
            self.cross = [_select(pair, windows) for pair in self.cross]


def _select(pair: tuple[Tensor, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
    return pair[0].index_select(0, index), pair[1].index_select(0, index)


class Network:
    """A Whisper model: `encode` features, then `start` and `read` tokens."""

    def __init__(self, folder: Folder, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.d_model = folder.number("d_model")
        self.n_heads = folder.number("decoder_attention_heads")
        self.encoder_heads = folder.number("encoder_attention_heads")
        self.max_len = folder.number("max_target_positions")
        self.n_mels, self.n_frames = folder.n_mels, 2 * folder.number("max_source_positions")
        if folder.config.get("activation_function", "gelu") != "gelu" or folder.config.get("scale_embedding"):
            raise TxError(f"{folder.path / CONFIG} describes a variant of Whisper that tx does not know")
        if self.d_model % self.n_heads or self.d_model % self.encoder_heads:
            raise TxError(f"{folder.path / CONFIG}: d_model is no multiple of the number of heads")
        weights = _load(folder, device, dtype)
        self.encoder = [
            _Layer(weights, f"encoder.layers.{i}") for i in range(folder.number("encoder_layers"))
        ]
        self.decoder = [
            _Layer(weights, f"decoder.layers.{i}") for i in range(folder.number("decoder_layers"))
        ]
        self.weights = weights

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (self.d_model,), *_pair(self.weights, f"{name}.layer_norm"), EPS)

    def encode(self, features: Tensor) -> Tensor:
        """Log-mel features `[B, M, 2 S]` to the audio as the decoder looks at it, `[B, S, D]`."""
        w = self.weights
        x = features.to(self.device, self.dtype)
        x = F.gelu(F.conv1d(x, *_pair(w, "encoder.conv1"), padding=1))
        x = F.gelu(F.conv1d(x, *_pair(w, "encoder.conv2"), padding=1, stride=2)).transpose(1, 2)
        x = x + w["encoder.embed_positions.weight"][: x.size(1)]
        for layer in self.encoder:
            q, k, v = (_heads(part, self.encoder_heads) for part in layer.qkv(x))
            x = x + layer.out(F.scaled_dot_product_attention(q, k, v))
            x = layer.feed(x)
        return self._norm(x, "encoder")

    def start(self, audio: Tensor) -> Memory:
        """The memory of hypotheses that have read nothing; `audio` is `[B, S, D]`."""
        empty = audio.new_empty(audio.size(0), self.n_heads, 0, self.d_model // self.n_heads)
        cross, scale = [], (self.d_model // self.n_heads) ** -0.5
        for layer in self.decoder:
            k, v = (_heads(part, self.n_heads) for part in layer.look_kv(audio))
            cross.append(((k * scale).transpose(2, 3).contiguous(), v.contiguous()))  # or each step copies
        return Memory(cross, [(empty, empty) for _ in self.decoder])

    def read(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Append `tokens` `[N, T]` to their hypotheses: the hidden states `[N, T, D]` that predict each next one.

        More than one token at a time only at the start.
        """
        w, begin, end = self.weights, memory.length, memory.length + tokens.size(1)
        x = (
            F.embedding(tokens, w["decoder.embed_tokens.weight"])
            + w["decoder.embed_positions.weight"][begin:end]
        )
        for i, layer in enumerate(self.decoder):
            keys, values = memory.past[i]
            if end > keys.size(2):
                more = (0, 0, 0, max(32, end - begin, begin // 2))
                keys, values = memory.past[i] = F.pad(keys, more), F.pad(values, more)
            q, k, v = (_heads(part, self.n_heads) for part in layer.qkv(x))
            keys[:, :, begin:end], values[:, :, begin:end] = k, v
            seen = keys[:, :, :end], values[:, :, :end]
            x = x + layer.out(F.scaled_dot_product_attention(q, *seen, is_causal=end - begin > 1))
            x = x + self._look(layer, x, memory.cross[i])
            x = layer.feed(x)
        memory.length = end
        return self._norm(x, "decoder")

    def _look(self, layer: "_Layer", x: Tensor, cross: tuple[Tensor, Tensor]) -> Tensor:
        """What the hypotheses of a window hear in it: their W * T positions are queries of one attention."""
        keys, values = cross
        q = _heads(layer.look_q(x).reshape(keys.size(0), -1, self.d_model), self.n_heads)  # [B, H, W * T, K]
        return layer.look_out((q @ keys).softmax(dim=-1) @ values).view_as(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """The scores of every token, `[..., V]`, in float32."""
        return F.linear(hidden, self.weights["decoder.embed_tokens.weight"]).float()


class _Layer:
    """The products of one layer, of the encoder or the decoder."""

    def __init__(self, weights: Weights, name: str) -> None:
        self._w, self._name = weights, name

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = _pair(self._w, f"{self._name}.{name}")
        return F.layer_norm(x, weight.shape, weight, bias, EPS)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, *_pair(self._w, f"{self._name}.{name}"))

    def qkv(self, x: Tensor) -> tuple[Tensor, ...]:
        return self._linear(self._norm(x, "self_attn_layer_norm"), "self_attn.qkv").chunk(3, dim=-1)

    def out(self, heads: Tensor) -> Tensor:
        return self._linear(_joined(heads), "self_attn.out_proj")

    def look_kv(self, audio: Tensor) -> tuple[Tensor, ...]:
        return self._linear(audio, "encoder_attn.kv").chunk(2, dim=-1)

    def look_q(self, x: Tensor) -> Tensor:
        return self._linear(self._norm(x, "encoder_attn_layer_norm"), "encoder_attn.q_proj")

    def look_out(self, heads: Tensor) -> Tensor:
        return self._linear(_joined(heads), "encoder_attn.out_proj")

    def feed(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self._linear(self._norm(x, "final_layer_norm"), "fc1"))
        return x + self._linear(hidden, "fc2")


def _heads(x: Tensor, n_heads: int) -> Tensor:
    """`[B, T, D]` to `[B, H, T, K]`."""
    return x.view(*x.shape[:-1], n_heads, -1).transpose(1, 2)


def _joined(heads: Tensor) -> Tensor:
    """`[B, H, T, K]` to `[B, T, D]`."""
    return heads.transpose(1, 2).flatten(2)


def _pair(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


# --- weights ---


def expected_shapes(folder: Folder) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight that the configuration implies."""
    d, m = folder.number("d_model"), folder.n_mels
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.conv1.weight": (d, m, 3),
        "encoder.conv1.bias": (d,),
        "encoder.conv2.weight": (d, d, 3),
        "encoder.conv2.bias": (d,),
        "encoder.embed_positions.weight": (folder.number("max_source_positions"), d),
        "decoder.embed_positions.weight": (folder.number("max_target_positions"), d),
        "decoder.embed_tokens.weight": (folder.number("vocab_size"), d),
    }
    norms = ["encoder.layer_norm", "decoder.layer_norm"]
    for side in ("encoder", "decoder"):
        d_ff = folder.number(f"{side}_ffn_dim")
        for i in range(folder.number(f"{side}_layers")):
            layer = f"{side}.layers.{i}"
            attentions = ["self_attn", "encoder_attn"] if side == "decoder" else ["self_attn"]
            for attention in attentions:
                for part in "qkv":
                    shapes[f"{layer}.{attention}.{part}_proj.weight"] = (d, d)
                    if part != "k":
                        shapes[f"{layer}.{attention}.{part}_proj.bias"] = (d,)
                shapes |= {
                    f"{layer}.{attention}.out_proj.weight": (d, d),
                    f"{layer}.{attention}.out_proj.bias": (d,),
                }
            norms += [f"{layer}.{name}_layer_norm" for name in (*attentions, "final")]
            shapes |= {f"{layer}.fc1.weight": (d_ff, d), f"{layer}.fc1.bias": (d_ff,)}
            shapes |= {f"{layer}.fc2.weight": (d, d_ff), f"{layer}.fc2.bias": (d,)}
    return shapes | {f"{norm}.{part}": (d,) for norm in norms for part in ("weight", "bias")}


def _load(folder: Folder, device: torch.device, dtype: torch.dtype) -> Weights:
    """The weights, compared with the configuration before they are read. Raises TxError where they do not fit."""
    shapes = expected_shapes(folder)
    with ExitStack() as stack:
        where: dict[str, tuple[Any, str]] = {}
        for path in folder.weight_files():
            try:
                file = stack.enter_context(safe_open(path, framework="pt"))
            except (SafetensorError, OSError) as error:
                raise TxError(
                    f"{path} is no safetensors file: {error}", "get or train the model again"
                ) from None
            where |= {name.removeprefix("model."): (file, name) for name in file.keys()}  # noqa: SIM118
        for name, shape in shapes.items():
            found = (
                tuple(where[name][0].get_slice(where[name][1]).get_shape()) if name in where else "missing"
            )
            if found != shape:
                raise TxError(
                    f"{folder.path}: the weights do not fit {CONFIG}: {name} is {found}, not {shape}",
                    "get the model again, all of its files from one place",
                )
        weights = {name: where[name][0].get_tensor(where[name][1]).to(device, dtype) for name in shapes}
    for name, value in weights.items():
        if not bool(value.sum(dtype=torch.float32).isfinite()) and not bool(value.isfinite().all()):
            raise TxError(f"{folder.path}: {name} holds values that are not finite", "get or train it again")
    return _fused(weights)


def _fused(weights: Weights) -> Weights:
    """Query, key and value of an attention as one matrix; of the audio, key and value. Keys have no bias."""
    for attention in list(_attentions(weights)):
        parts = "kv" if attention.endswith("encoder_attn") else "qkv"
        found = [weights.pop(f"{attention}.{part}_proj.weight") for part in parts]
        zero = torch.zeros_like(weights[f"{attention}.v_proj.bias"])
        biases = [weights.pop(f"{attention}.{part}_proj.bias", zero) for part in parts]
        weights[f"{attention}.{parts}.weight"] = torch.cat(found)
        weights[f"{attention}.{parts}.bias"] = torch.cat(biases)
    return weights


def _attentions(weights: Weights) -> Iterator[str]:
    return (name.removesuffix(".k_proj.weight") for name in list(weights) if name.endswith(".k_proj.weight"))
