"""A linear-chain conditional random field (Lafferty et al. 2001) over tags in BIO, as taggers have it since Collobert
et al. 2011: the tags of a sentence are one choice, not one for each word.

A path of tags y has the score sum_t emissions[t, y_t] + sum_t transitions[y_t, y_t+1]; its probability is the softmax
over all paths that BIO allows, so that I-X follows B-X and I-X alone, in learning as in decoding.

Shape letters: B sentences, W words, K tags: O, then B and I of each type.
"""

from typing import cast

import torch
from torch import Tensor, nn

_NEVER = -1e4  # a score beside which all others vanish, and whose sums stay numbers


class LinearChainCRF(nn.Module):
    """Scores of tags in a row: transitions from tag to tag, and what a sentence may begin with."""

    def __init__(self, n_types: int) -> None:
        super().__init__()
        n_tags = 1 + 2 * n_types
        self.transitions = nn.Parameter(torch.zeros(n_tags, n_tags))  # from, to
        inside = torch.arange(2, n_tags, 2)  # the I of each type
        forbidden = torch.zeros(n_tags, n_tags)
        forbidden[:, inside] = _NEVER
        forbidden[inside, inside] = forbidden[inside - 1, inside] = 0.0
        self.register_buffer("forbidden", forbidden, persistent=False)
        self.register_buffer("first", forbidden[0].clone(), persistent=False)  # as after O

    def scores(self) -> Tensor:
        """The score of each step from tag to tag, `[K, K]`."""
        return self.transitions.float() + cast(Tensor, self.forbidden)

    def forwards(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The log of the sum over all paths up to each word that end in each tag, `[B, W, K]`.

        `emissions` is `[B, W, K]` float32, `mask` `[B, W]`, True at words. Behind the last word its sums stay.
        """
        scores, sums = self.scores(), emissions[:, 0] + cast(Tensor, self.first)
        found = [sums]
        for t in range(1, emissions.size(1)):
            new = (sums[:, :, None] + scores).logsumexp(dim=1) + emissions[:, t]
            sums = torch.where(mask[:, t, None], new, sums)
            found.append(sums)
        return torch.stack(found, dim=1)

    def backwards(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The log of the sum over all ways to go on after each word in each tag, `[B, W, K]`; 0 after the last."""
        scores, sums = self.scores(), torch.zeros_like(emissions[:, 0])
        found = [sums]
        for t in range(emissions.size(1) - 1, 0, -1):
            new = (scores + (emissions[:, t] + sums)[:, None]).logsumexp(dim=2)
            sums = torch.where(mask[:, t, None], new, sums)
            found.append(sums)
        return torch.stack(found[::-1], dim=1)

    def loss(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Minus the log-probability of `tags` `[B, W]`, summed over the sentences."""
        scores, real = self.scores(), mask.float()
        score = (emissions.gather(2, tags[:, :, None])[:, :, 0] * real).sum()
        score = score + (scores[tags[:, :-1], tags[:, 1:]] * real[:, 1:]).sum()
        score = score + cast(Tensor, self.first)[tags[:, 0]].sum()
        return self.forwards(emissions, mask)[:, -1].logsumexp(dim=1).sum() - score

    def best(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The most probable tags of each sentence, `[B, W]` (Viterbi 1967); behind a sentence they mean nothing."""
        scores, sums = self.scores(), emissions[:, 0] + cast(Tensor, self.first)
        origins = []
        for t in range(1, emissions.size(1)):
            new, origin = (sums[:, :, None] + scores).max(dim=1)
            stay = torch.arange(new.size(1), device=new.device).expand_as(origin)
            origins.append(torch.where(mask[:, t, None], origin, stay))
            sums = torch.where(mask[:, t, None], new + emissions[:, t], sums)
        tags = [sums.argmax(dim=1)]
        for origin in reversed(origins):
            tags.append(origin.gather(1, tags[-1][:, None])[:, 0])
        return torch.stack(tags[::-1], dim=1)

    def span_logprob(
        self, emissions: Tensor, forwards: Tensor, backwards: Tensor, start: int, end: int, type: int
    ) -> float:
        """The log-probability that the words `start` to before `end` are an entity, no word more and none less.

        Of one sentence without padding: `emissions`, `forwards` and `backwards` are `[W, K]`; `type` counts from 0.
        """
        scores, begin, inside = self.scores(), 1 + 2 * type, 2 + 2 * type
        total, last = forwards[start, begin], begin
        for t in range(start + 1, end):
            total = total + scores[last, inside] + emissions[t, inside]
            last = inside
        if end < len(emissions):
            ways = scores[last] + emissions[end] + backwards[end]
            ways[inside] = _NEVER * 2  # the entity must not go on
            total = total + ways.logsumexp(dim=0)
        return float(total - forwards[-1].logsumexp(dim=0))
