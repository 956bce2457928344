"""An encoder that hears as much as it is given, not always 30 seconds.

Whisper pads every clip to 30 s, and the encoder works on the padding as on speech: for clips of a few seconds that is
most of a training step. Its positions are a table, so a shorter window is its first rows; the table itself stays
whole, and so does what is saved.

Shape letters: B batch, M mel bins, S audio positions (one for two frames of 10 ms), D d_model.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder


class FittedEncoder(WhisperEncoder):
    """transformers' encoder for features `[B, M, 2 S]` with any S up to the length of its table of positions."""

    def forward(
        self, input_features: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutput:
        x = nn.functional.gelu(self.conv1(input_features))
        x = nn.functional.gelu(self.conv2(x)).transpose(1, 2)  # [B, S, D]
        x = x + self.embed_positions.weight[: x.size(1)]
        x = nn.functional.dropout(x, p=self.dropout, training=self.training)
        for layer in self.layers:
            if not (self.training and self.layerdrop and torch.rand(()) < self.layerdrop):
                x = layer(x, None)
        return BaseModelOutput(last_hidden_state=self.layer_norm(x))


def fit_windows(model: Any) -> None:
    """Let the encoder of a WhisperForConditionalGeneration take windows of any length up to its own."""
    model.model.encoder.__class__ = FittedEncoder
