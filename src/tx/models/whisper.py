"""Whisper (Radford et al., 2022, "Robust Speech Recognition via Large-Scale Weak Supervision"), for inference.

A Transformer that encodes the log-mel spectrogram of 30 s of audio and decodes text from it. Modules and weights
have the names of transformers' WhisperForConditionalGeneration, whose logits these are. The encoder runs once for
each window; the decoder caches keys and values. Query, key and value are computed by one matrix product, and the
hypotheses of a window share its audio as several queries of one cross-attention. Cross-attention is written out with
the keys transposed beforehand, since a decoding step is bound by reading memory: on a CPU it takes half the time of
`scaled_dot_product_attention`.

Shape letters: B windows, W hypotheses of each, N = B * W rows, T tokens, S audio positions, M mel bins, D d_model,
H heads, K head size, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from tx.errors import TxError
from tx.models import SkipInit
from tx.package.hf_folder import CONFIG, HfFolder

TASK = "speech"


@dataclass(frozen=True)
class Config:
    """The sizes of a model, under the names that config.json gives them."""

    vocab_size: int
    d_model: int
    num_mel_bins: int
    encoder_layers: int
    encoder_attention_heads: int
    encoder_ffn_dim: int
    max_source_positions: int
    decoder_layers: int
    decoder_attention_heads: int
    decoder_ffn_dim: int
    max_target_positions: int

    @classmethod
    def read(cls, folder: HfFolder) -> "Config":
        """The configuration in config.json. Raises TxError if one of the sizes is missing or is not one."""
        return cls(**{option.name: folder.positive_int(option.name) for option in fields(cls)})


@dataclass
class DecoderState:
    """The cached keys and values of the audio of B windows and of the tokens of N hypotheses, for each layer."""

    cross: list[tuple[Tensor, Tensor]]  # keys [B, H, K, S], divided by sqrt(K); values [B, H, S, K]
    past: list[tuple[Tensor, Tensor]]  # [N, H, capacity, K]
    length: int = 0  # the tokens so far

    def reorder(self, index: Tensor, width: int) -> None:
        """Select the rows `index` `[N']`, in its order; each group of `width` rows shares a window."""
        n_windows = self.cross[0][0].size(0)
        windows = index[::width] // (self.past[0][0].size(0) // n_windows)
        self.past = [(k.index_select(0, index), v.index_select(0, index)) for k, v in self.past]
        if windows.tolist() != list(range(n_windows)):
            self.cross = [(k.index_select(0, windows), v.index_select(0, windows)) for k, v in self.cross]


class Attention(nn.Module):
    """The projections of multi-head attention."""

    fused_weight: Tensor
    fused_bias: Tensor

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.q_proj, self.v_proj = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model)

    def fuse(self, parts: str) -> None:
        """Replace the projections in `parts`, "qkv" or "kv", by one with all of their weights; keys have no bias."""
        projections: list[Any] = [self._modules.pop(f"{part}_proj") for part in parts]
        zero = torch.zeros_like(self.out_proj.bias)
        biases = [zero if p.bias is None else p.bias for p in projections]
        self.register_buffer("fused_weight", torch.cat([p.weight for p in projections]))
        self.register_buffer("fused_bias", torch.cat(biases))

    def project(self, x: Tensor) -> list[Tensor]:
        """The fused projections of `x` `[N, T, D]`, each split into heads `[N, H, T, K]`."""
        n_parts = self.fused_weight.size(0) // self.fused_weight.size(1)
        parts = F.linear(x, self.fused_weight, self.fused_bias).chunk(n_parts, dim=-1)
        return [self.split_heads(part) for part in parts]

    def split_heads(self, x: Tensor) -> Tensor:
        """`[N, T, D]` to `[N, H, T, K]`."""
        return x.view(*x.shape[:-1], self.n_heads, -1).transpose(1, 2)

    def output(self, heads: Tensor) -> Tensor:
        """The output projection of `[N, H, T, K]`, `[N, T, D]`."""
        out: Tensor = self.out_proj(heads.transpose(1, 2).flatten(2))
        return out


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, with layer normalization before each."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int) -> None:
        super().__init__()
        self.self_attn, self.self_attn_layer_norm = Attention(d_model, n_heads), nn.LayerNorm(d_model)
        self.fc1, self.fc2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.final_layer_norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.self_attn.project(self.self_attn_layer_norm(x))
        x = x + self.self_attn.output(F.scaled_dot_product_attention(q, k, v))
        return self.feed_forward(x)

    def feed_forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))  # type: ignore[no-any-return]


class DecoderLayer(EncoderLayer):
    """The same with cross-attention to the audio, one step at a time."""

    def __init__(self, d_model: int, n_heads: int, d_ff: int) -> None:
        super().__init__(d_model, n_heads, d_ff)
        self.encoder_attn, self.encoder_attn_layer_norm = Attention(d_model, n_heads), nn.LayerNorm(d_model)

    def project_audio(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """The keys `[B, H, K, S]`, divided by sqrt(K), and values `[B, H, S, K]` of the audio `[B, S, D]`."""
        keys, values = self.encoder_attn.project(audio)
        return (keys * keys.size(-1) ** -0.5).transpose(2, 3).contiguous(), values.contiguous()

    def step(self, x: Tensor, state: DecoderState, layer: int, end: int) -> Tensor:
        """The output for `x` `[N, T, D]`, the tokens from `state.length` to `end`, which the cache then includes."""
        start = state.length
        keys, values = state.past[layer]
        if end > keys.size(2):  # grow the cache by half, so that few steps copy it
            padding = (0, 0, 0, max(32, end - start, start // 2))
            keys, values = state.past[layer] = F.pad(keys, padding), F.pad(values, padding)
        q, k, v = self.self_attn.project(self.self_attn_layer_norm(x))
        keys[:, :, start:end], values[:, :, start:end] = k, v
        past = keys[:, :, :end], values[:, :, :end]
        heads = F.scaled_dot_product_attention(q, *past, is_causal=end - start > 1)
        x = x + self.self_attn.output(heads)
        keys, values = state.cross[layer]
        q = self.encoder_attn.q_proj(self.encoder_attn_layer_norm(x))
        q = self.encoder_attn.split_heads(q.reshape(keys.size(0), -1, q.size(-1)))  # [B, H, W * T, K]
        x = x + self.encoder_attn.output((q @ keys).softmax(dim=-1) @ values).view_as(x)
        return self.feed_forward(x)


class Encoder(nn.Module):
    """Two convolutions, the second of which halves the number of frames, and the layers."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        d_model = config.d_model
        self.conv1 = nn.Conv1d(config.num_mel_bins, d_model, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(d_model, d_model, kernel_size=3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.max_source_positions, d_model)
        sizes = d_model, config.encoder_attention_heads, config.encoder_ffn_dim
        self.layers = nn.ModuleList(EncoderLayer(*sizes) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(d_model)


class Decoder(nn.Module):
    """Token and position embeddings, and the layers."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.embed_positions = nn.Embedding(config.max_target_positions, config.d_model)
        sizes = config.d_model, config.decoder_attention_heads, config.decoder_ffn_dim
        self.layers = nn.ModuleList(DecoderLayer(*sizes) for _ in range(config.decoder_layers))
        self.layer_norm = nn.LayerNorm(config.d_model)


class Model(nn.Module):
    """A Whisper model: `encode` features, `start` decoding, `decode` tokens to hidden states, and their `logits`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.encoder, self.decoder = config, Encoder(config), Decoder(config)

    @property
    def device(self) -> torch.device:
        return self.decoder.embed_tokens.weight.device

    def encode(self, features: Tensor) -> Tensor:
        """Log-mel features `[B, M, 2 S]` to the audio that the decoder attends to, `[B, S, D]`."""
        encoder = self.encoder
        x = features.to(encoder.conv1.weight)
        x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(x)))).transpose(1, 2)
        x = x + encoder.embed_positions.weight[: x.size(1)]
        layer: Any
        for layer in encoder.layers:
            x = layer(x)
        return encoder.layer_norm(x)  # type: ignore[no-any-return]

    def start(self, audio: Tensor) -> DecoderState:
        """The state of B empty hypotheses for the encoded audio `[B, S, D]`."""
        n_heads = self.config.decoder_attention_heads
        empty = audio.new_empty(audio.size(0), n_heads, 0, self.config.d_model // n_heads)
        layers: Any = self.decoder.layers
        return DecoderState(
            [layer.project_audio(audio) for layer in layers], [(empty, empty) for _ in layers]
        )

    def decode(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """The hidden states `[N, T, D]` after each of `tokens` `[N, T]`, which `state` then includes.

        Several tokens at a time can only be given to an empty state.
        """
        decoder, start, end = self.decoder, state.length, state.length + tokens.size(1)
        x = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[start:end]
        layer: Any
        for i, layer in enumerate(decoder.layers):
            x = layer.step(x, state, i, end)
        state.length = end
        return decoder.layer_norm(x)  # type: ignore[no-any-return]

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits `[..., V]` of the next token, in float32."""
        return F.linear(hidden, self.decoder.embed_tokens.weight).float()


# --- weights ---


def check_weights(folder: HfFolder) -> None:
    """Raise TxError unless the files of `folder` have the weights that its config.json implies; none is read."""
    with _open_weights(folder, _allocate(Config.read(folder))):
        pass


def _allocate(config: Config) -> Model:
    """A model without memory for its weights."""
    with torch.device("meta"), SkipInit():
        return Model(config).requires_grad_(False)


def load(folder: HfFolder, device: torch.device, dtype: torch.dtype) -> Model:
    """The model in `folder`. Raises TxError if it is damaged, or if its weights do not fit its configuration."""
    config = Config.read(folder)
    if folder.config.get("activation_function", "gelu") != "gelu" or folder.config.get("scale_embedding"):
        raise TxError(f"{folder.path / CONFIG} describes an unsupported variant of Whisper")
    if config.d_model % config.encoder_attention_heads or config.d_model % config.decoder_attention_heads:
        raise TxError(f"{folder.path / CONFIG}: d_model is not a multiple of the number of heads")
    model, weights = _allocate(config), dict[str, Tensor]()
    with _open_weights(folder, model) as files:
        for name, (file, key) in files.items():
            weights[name] = file.get_tensor(key).to(device, dtype)
    for name, weight in weights.items():
        if not bool(weight.sum(dtype=torch.float32).isfinite()) and not bool(weight.isfinite().all()):
            hint = "download or train the model again"
            raise TxError(f"{folder.path}: {name} has values that are not finite", hint)
    model.load_state_dict(weights, assign=True)
    for name, module in model.named_modules():
        if isinstance(module, Attention):
            module.fuse("kv" if name.endswith("encoder_attn") else "qkv")
    return model.eval()


@contextmanager
def _open_weights(folder: HfFolder, model: Model) -> Iterator[dict[str, tuple[Any, str]]]:
    """The file of each weight of `model` and its name there. Raises TxError unless all have the right shapes."""
    with ExitStack() as stack:
        files: dict[str, tuple[Any, str]] = {}
        for path in folder.weight_files():
            try:
                file = stack.enter_context(safe_open(path, framework="pt"))
            except (SafetensorError, OSError) as error:
                hint = "download or train the model again"
                raise TxError(f"{path} is not a safetensors file: {error}", hint) from None
            files |= {name.removeprefix("model."): (file, name) for name in file.keys()}  # noqa: SIM118
        weights = model.state_dict()
        for name, weight in weights.items():
            file, key = files.get(name, (None, name))
            shape, found = tuple(weight.shape), tuple(file.get_slice(key).get_shape()) if file else "missing"
            if found != shape:
                raise TxError(
                    f"{folder.path}: the weights do not fit {CONFIG}: {name} is {found}, not {shape}",
                    "download all files of the model again, from one source",
                )
        yield {name: files[name] for name in weights}
