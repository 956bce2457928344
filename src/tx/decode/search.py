"""Beam search, greedy search and sampling with any model that has `start` and `step`.

A hypothesis ends with `</s>`. Its score is its log-probability divided by its length, `</s>` included, to the power
of the length penalty. Finished sentences are removed from the batch, several at a time.

Shape letters: B sentences, W hypotheses of each, N = B * W rows, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tx.decode.sampling import Sampling, draw


class State(Protocol):
    """The state of a decoder with N hypotheses."""

    def reorder(self, index: Tensor, width: int) -> None: ...


class Sources(Protocol):
    """A batch of B sources, for example a `tx.data.batch.Batch`."""

    @property
    def src(self) -> Tensor: ...


class Decodable(Protocol):
    """A model with the interface for decoding: see `tx.models`."""

    def start(self, batch: Any) -> Any: ...

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]: ...


@dataclass
class Hypothesis:
    """A finished target: its ids without `</s>`, its log-probability in nats, and its score."""

    ids: list[int]
    logprob: float
    score: float
    cut: bool = False  # whether the length limit ended it


NEG_INF = float("-inf")
ROWS = 32  # a batch keeps a multiple of this many rows, or of `ROW_MULTIPLE` when fewer are left
ROW_MULTIPLE = 8


class _Limits:
    """The tokens that are forced: a prefix at the start, and `</s>` at the length limit."""

    def __init__(
        self, max_lens: Sequence[int], prefixes: Sequence[Sequence[int]] | None, eos_id: int
    ) -> None:
        self.max_lens, self.eos_id = max_lens, eos_id
        self.prefixes = prefixes or [()] * len(max_lens)
        self.first_limit = min(max_lens)
        self.longest_prefix = max(map(len, self.prefixes))

    def apply(self, logits: Tensor, length: int, sentences: Sequence[int]) -> Tensor:
        """Set all but a forced token to -inf after `length` tokens; `logits` is `[N, V]`, W rows per sentence."""
        if self.longest_prefix <= length < self.first_limit:
            return logits
        width = logits.size(0) // len(sentences)
        for i, sentence in enumerate(sentences):
            prefix, forced = self.prefixes[sentence], None
            if length < len(prefix):
                forced = prefix[length]
            elif length >= self.max_lens[sentence]:
                forced = self.eos_id
            if forced is not None:
                rows = logits[i * width : (i + 1) * width]
                kept = rows[:, forced].clone()
                rows.fill_(NEG_INF)
                rows[:, forced] = kept
        return logits


def _rows_to_keep(is_open: Sequence[bool], row_multiple: int) -> list[int]:
    """The rows to keep: the unfinished ones, and as many finished ones as make their number a multiple.

    Kernels are selected or compiled for each shape, which costs more than computing some finished rows.
    """
    n_open = sum(is_open)
    step = ROWS if n_open > ROWS else row_multiple
    spare = min(-(-n_open // step) * step, len(is_open)) - n_open
    kept = []
    for i, wanted in enumerate(is_open):
        if wanted or spare > 0:
            kept.append(i)
            spare -= not wanted
    return kept


def beam_search(
    model: Decodable,
    batch: Sources,
    *,
    beam_size: int,
    n_best: int = 1,
    length_penalty: float = 1.0,
    max_lens: Sequence[int],
    bos_id: int,
    eos_id: int,
    prefixes: Sequence[Sequence[int]] | None = None,
    row_multiple: int = ROW_MULTIPLE,
) -> list[list[Hypothesis]]:
    """The `n_best` best hypotheses of each sentence, best first, by beam search.

    A sentence is finished when `beam_size` hypotheses have ended and no unfinished one scores better than the
    `n_best`-th of them. `max_lens` are the length limits, `prefixes` forced beginnings, one per sentence.
    """
    state = model.start(batch)
    device, n_sentences = batch.src.device, batch.src.size(0)
    limits = _Limits(max_lens, prefixes, eos_id)
    found: list[list[Hypothesis]] = [[] for _ in range(n_sentences)]
    is_open = [True] * n_sentences
    sentences = list(range(n_sentences))  # those in the batch, in the order of their rows
    width = 1
    tokens = torch.full((n_sentences,), bos_id, device=device)
    total = torch.zeros(n_sentences, 1, device=device)  # [B, W] log-probabilities
    history = torch.empty(n_sentences, 1, 0, dtype=torch.long, device=device)  # [B, W, T]
    length = 0
    while any(is_open):
        logits, state = model.step(tokens, state)
        logprobs = limits.apply(logits.float().log_softmax(dim=-1), length, sentences)
        k = min(2 * beam_size, logprobs.size(-1))
        best, ids = logprobs.topk(k, dim=-1)  # [N, k] candidates are enough for the best 2W of all
        candidates = best.view(-1, width, k) + total[:, :, None]
        total, place = candidates.flatten(1).topk(min(2 * beam_size, width * k), dim=-1)  # [B, 2W], sorted
        tokens = ids.view(-1, width * k).gather(1, place)
        parents = place // k
        length += 1
        ended = tokens == eos_id
        into = [found[n] if is_open[n] else [] for n in sentences]
        _collect(into, ended, total, history, parents, beam_size, length**length_penalty)

        # The best unfinished candidates form the new beam; finished ones rank last.
        new_width = min(beam_size, tokens.size(1))
        rank = (ended | (total == NEG_INF)).to(torch.uint8).argsort(dim=1, stable=True)[:, :new_width]
        ended, total, tokens, parents = (x.gather(1, rank) for x in (ended, total, tokens, parents))
        total = total.masked_fill(ended, NEG_INF)
        for n, top in zip(sentences, total[:, 0].tolist(), strict=True):
            if _finished(found[n], top / length**length_penalty, beam_size, n_best):
                is_open[n] = False
        rows = _rows_to_keep([is_open[n] for n in sentences], row_multiple)
        keep = torch.tensor(rows, dtype=torch.long, device=device)
        if len(rows) < len(sentences):
            sentences = [sentences[i] for i in rows]
            total, tokens, parents = total[keep], tokens[keep], parents[keep]
        history = history[keep[:, None], parents]
        history = torch.cat((history, tokens[:, :, None]), dim=2)
        state.reorder((keep[:, None] * width + parents).flatten(), new_width)
        width, tokens = new_width, tokens.flatten()
    return [sorted(hypotheses, key=lambda h: -h.score)[:n_best] for hypotheses in found]


def _collect(
    found: list[list[Hypothesis]],
    ended: Tensor,
    total: Tensor,
    history: Tensor,
    parents: Tensor,
    beam_size: int,
    norm: float,
) -> None:
    """Add the finished candidates among the `beam_size` best of each sentence to `found`."""
    for i, j in ended[:, :beam_size].nonzero().tolist():
        logprob = float(total[i, j])
        if logprob > NEG_INF:
            ids = history[i, parents[i, j]].tolist()
            found[i].append(Hypothesis(ids, logprob, logprob / norm))


def _finished(hypotheses: list[Hypothesis], open_score: float, beam_size: int, n_best: int) -> bool:
    if open_score == NEG_INF:
        return True
    if len(hypotheses) < beam_size:  # stopping earlier would favour short hypotheses
        return False
    return sorted(h.score for h in hypotheses)[-n_best] >= open_score


def sample_tokens(logits: Tensor, sampling: Sampling, generators: Sequence[np.random.Generator]) -> Tensor:
    """Sample one token per row of `logits` `[N, V]`, each with its own generator: `[N]`."""
    return torch.from_numpy(draw(logits.float().cpu().numpy(), sampling, generators)).to(logits.device)


def greedy_search(
    model: Decodable,
    batch: Sources,
    *,
    sampling: Sampling | None = None,
    length_penalty: float = 1.0,
    max_lens: Sequence[int],
    bos_id: int,
    eos_id: int,
    prefixes: Sequence[Sequence[int]] | None = None,
    lines: Sequence[int] | None = None,
    with_scores: bool = True,
    row_multiple: int = ROW_MULTIPLE,
) -> list[list[Hypothesis]]:
    """One hypothesis per sentence: the most probable token at each step, or with `sampling` a random one.

    The random numbers of a sentence depend only on the seed and its number in `lines`, not on its batch. Without
    `with_scores` log-probabilities are not computed and are 0. A `row_multiple` of 1 removes every finished sentence
    at once, for models in which a row costs more than a new shape.
    """
    state = model.start(batch)
    device, n_sentences = batch.src.device, batch.src.size(0)
    limits = _Limits(max_lens, prefixes, eos_id)
    generators = [sampling.generator(n) for n in lines or range(n_sentences)] if sampling else []
    ids: list[list[int]] = [[] for _ in range(n_sentences)]
    logprobs = [0.0] * n_sentences
    is_open = [True] * n_sentences
    sentences = list(range(n_sentences))  # those in the batch, in the order of their rows
    tokens = torch.full((n_sentences,), bos_id, device=device)
    length = 0
    while any(is_open):
        logits, state = model.step(tokens, state)
        logits = limits.apply(logits.log_softmax(dim=-1) if with_scores else logits, length, sentences)
        if sampling:
            tokens = sample_tokens(logits, sampling, [generators[n] for n in sentences])
        else:
            tokens = logits.argmax(dim=-1)
        if with_scores:
            gained = logits.gather(1, tokens[:, None])[:, 0].tolist()
            for n, value in zip(sentences, gained, strict=True):
                logprobs[n] += value if is_open[n] else 0.0
        length += 1
        for n, token in zip(sentences, tokens.tolist(), strict=True):
            if token == eos_id:
                is_open[n] = False
            elif is_open[n]:
                ids[n].append(token)
        rows = _rows_to_keep([is_open[n] for n in sentences], row_multiple)
        if len(rows) < len(sentences):
            keep = torch.tensor(rows, dtype=torch.long, device=device)
            sentences = [sentences[i] for i in rows]
            tokens = tokens[keep]
            state.reorder(keep, 1)
    return [
        [Hypothesis(row, logprob, logprob / math.pow(len(row) + 1, length_penalty))]
        for row, logprob in zip(ids, logprobs, strict=True)
    ]
