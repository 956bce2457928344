"""Logits processors of Whisper: suppressed tokens and the rules for timestamps, for all rows of a batch.

Timestamps come in pairs (the end of a segment and the start of the next), never decrease, and the first one is near
the start of the window. If all timestamps together are more probable than the most probable text token, the next
token must be a timestamp. The results equal those of transformers' logits processors.

Shape letters: N rows, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tx.speech.whisper_tokenizer import WhisperTokenizer

NEGATIVE_INFINITY = float("-inf")


@dataclass
class TimestampState:
    """The last two tokens and the last timestamp of N rows, -1 where there is none yet."""

    last: Tensor  # [N]
    before_last: Tensor  # [N]
    timestamp: Tensor  # [N]

    @classmethod
    def empty(cls, n_rows: int, device: torch.device) -> "TimestampState":
        return cls(*(torch.full((n_rows,), -1, device=device) for _ in range(3)))

    def add(self, tokens: Tensor, timestamp_begin: int) -> None:
        """Append a token to each row; `tokens` is `[N]`."""
        self.last, self.before_last = tokens, self.last
        self.timestamp = torch.where(tokens >= timestamp_begin, tokens, self.timestamp)

    def reorder(self, index: Tensor) -> None:
        self.last, self.before_last = self.last[index], self.before_last[index]
        self.timestamp = self.timestamp[index]


def mask_first_logits(logits: Tensor, tokenizer: WhisperTokenizer, timestamps: bool) -> Tensor:
    """Set to -inf, in place, the `logits` `[N, V]` of tokens that cannot be the first."""
    logits[:, tokenizer.suppress_tokens + tokenizer.begin_suppress_tokens] = NEGATIVE_INFINITY
    if timestamps:
        logits[:, : tokenizer.timestamp_begin] = NEGATIVE_INFINITY
        logits[:, tokenizer.timestamp_begin + tokenizer.max_initial_timestamp + 1 :] = NEGATIVE_INFINITY
    return logits


def mask_next_logits(
    logits: Tensor, tokenizer: WhisperTokenizer, state: TimestampState, timestamps: bool
) -> Tensor:
    """Set to -inf, in place, the `logits` `[N, V]` of tokens that cannot follow those in `state`."""
    logits[:, tokenizer.suppress_tokens] = NEGATIVE_INFINITY
    if not timestamps:
        return logits
    begin = tokenizer.timestamp_begin
    logits[:, tokenizer.no_timestamps] = NEGATIVE_INFINITY
    rows = zip(state.last.tolist(), state.before_last.tolist(), state.timestamp.tolist(), strict=True)
    for row, (last, before_last, timestamp) in zip(logits, rows, strict=True):
        if last >= begin and (before_last >= begin or before_last < 0):  # start of a segment: text follows
            row[begin:] = NEGATIVE_INFINITY
        elif last >= begin:  # end of a segment: the start of the next one or the end of the text follows
            row[: tokenizer.eot] = NEGATIVE_INFINITY
            row[begin:timestamp] = NEGATIVE_INFINITY
        elif timestamp >= 0:  # a segment does not end when it starts
            row[begin : timestamp + 1] = NEGATIVE_INFINITY
    must_be_timestamp = logits[:, begin:].logsumexp(dim=1) > logits[:, :begin].amax(dim=1)
    if bool(must_be_timestamp.any()):
        logits[:, :begin].masked_fill_(must_be_timestamp[:, None], NEGATIVE_INFINITY)
    return logits
