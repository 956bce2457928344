"""A Whisper encoder for windows of any length.

Whisper pads every clip to 30 s, and for clips of a few seconds most of a training step would be spent on padding. The
positions are a table, of which a shorter window uses the first rows; the table, and the saved model, stay whole.

Shape letters: B batch, M mel bins, S audio positions (one for two frames of 10 ms), D d_model.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder


class FittedWindowEncoder(WhisperEncoder):
    """The encoder of transformers for features `[B, M, 2 S]` with any S up to the number of its positions."""

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


def replace_encoder(model: Any) -> None:
    """Replace the encoder of a WhisperForConditionalGeneration by a FittedWindowEncoder with the same weights."""
    with torch.device("meta"):
        encoder = FittedWindowEncoder(model.config)
    encoder.load_state_dict(model.model.encoder.state_dict(), assign=True)
    model.model.encoder = encoder.train(model.training)
