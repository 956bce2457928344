"""What may follow what in Whisper's text: the masks of the paper's decoder, for all rows of a batch.

Times come in pairs (the end of a segment and the start of the next), never go back, and the first is soon after
the start; where all times together are likelier than any single piece of text, a time it is. Equal to
transformers' processors of logits.

Shape letters: N rows, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tx.speech.whisper_tokenizer import Vocabulary

NEVER = float("-inf")


@dataclass
class Spoken:
    """What the rules need to know of N rows: the last two tokens and the last time, -1 where there was none."""

    last: Tensor  # [N]
    before: Tensor  # [N]
    time: Tensor  # [N]

    @classmethod
    def nothing(cls, n_rows: int, device: torch.device) -> "Spoken":
        return cls(*(torch.full((n_rows,), -1, device=device) for _ in range(3)))

    def add(self, tokens: Tensor, first_time: int) -> None:
        """Each row says one more token, `[N]`."""
        self.last, self.before = tokens, self.last
        self.time = torch.where(tokens >= first_time, tokens, self.time)

    def reorder(self, index: Tensor) -> None:
        self.last, self.before, self.time = self.last[index], self.before[index], self.time[index]


def first_mask(logits: Tensor, vocabulary: Vocabulary, timestamps: bool) -> Tensor:
    """Set to -inf, in `logits` `[N, V]` of the first token, what no text begins with."""
    logits[:, vocabulary.suppressed + vocabulary.suppressed_first] = NEVER
    if timestamps:
        logits[:, : vocabulary.first_time] = NEVER
        logits[:, vocabulary.first_time + vocabulary.max_first_time + 1 :] = NEVER
    return logits


def next_mask(logits: Tensor, vocabulary: Vocabulary, spoken: Spoken, timestamps: bool) -> Tensor:
    """Set to -inf, in `logits` `[N, V]` of a later token, what may not follow what was `spoken`."""
    logits[:, vocabulary.suppressed] = NEVER
    if not timestamps:
        return logits
    first = vocabulary.first_time
    logits[:, vocabulary.no_timestamps] = NEVER
    rows = zip(spoken.last.tolist(), spoken.before.tolist(), spoken.time.tolist(), strict=True)
    for row, (last, before, time) in zip(logits, rows, strict=True):
        if last >= first and (before >= first or before < 0):  # the start of a segment: now its text
            row[first:] = NEVER
        elif last >= first:  # the end of one: now the start of the next, or the end of all
            row[: vocabulary.eot] = NEVER
            row[first:time] = NEVER
        elif time >= 0:  # a segment takes time
            row[first : time + 1] = NEVER
    is_time = logits[:, first:].logsumexp(dim=1) > logits[:, :first].amax(dim=1)
    if bool(is_time.any()):
        logits[:, :first].masked_fill_(is_time[:, None], NEVER)
    return logits
