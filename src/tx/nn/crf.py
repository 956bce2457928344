"""A linear-chain conditional random field (Lafferty et al. 2001) over BIO tags, as in the taggers since Collobert et
al. 2011: the tags of a sentence are predicted jointly, not independently for each word.

A tag sequence y has the score sum_t emissions[t, y_t] + sum_t transitions[y_t, y_t+1]; its probability is the softmax
over all sequences that BIO allows. I-X may only follow B-X or I-X, in training as in decoding.

Shape letters: B sentences, W words, K tags: O, then B and I of each entity type.
"""

from typing import cast

import torch
from torch import Tensor, nn

_FORBIDDEN = -1e4  # negligible in any logsumexp, while its sums stay finite


class LinearChainCRF(nn.Module):
    """Transition scores between the tags of `n_types` entity types; which tags may come first follows from BIO."""

    def __init__(self, n_types: int) -> None:
        super().__init__()
        n_tags = 1 + 2 * n_types
        self.transitions = nn.Parameter(torch.zeros(n_tags, n_tags))  # [from, to]
        inside = torch.arange(2, n_tags, 2)  # the I tag of each type
        forbidden = torch.zeros(n_tags, n_tags)
        forbidden[:, inside] = _FORBIDDEN
        forbidden[inside, inside] = forbidden[inside - 1, inside] = 0.0
        self.register_buffer("forbidden", forbidden, persistent=False)
        self.register_buffer("first", forbidden[0].clone(), persistent=False)  # a sentence starts as after O

    def transition_scores(self) -> Tensor:
        """The score of each transition, `[K, K]`, very low for those that BIO forbids."""
        return self.transitions.float() + cast(Tensor, self.forbidden)

    def forward_scores(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The forward algorithm: the logsumexp of all sequences up to each word that end in each tag, `[B, W, K]`.

        `emissions` is `[B, W, K]` float32, `mask` `[B, W]`, True at words. After the last word the scores stay.
        """
        scores, alpha = self.transition_scores(), emissions[:, 0] + cast(Tensor, self.first)
        alphas = [alpha]
        for t in range(1, emissions.size(1)):
            new = (alpha[:, :, None] + scores).logsumexp(dim=1) + emissions[:, t]
            alpha = torch.where(mask[:, t, None], new, alpha)
            alphas.append(alpha)
        return torch.stack(alphas, dim=1)

    def backward_scores(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The backward algorithm: the logsumexp of all continuations after each word and tag, `[B, W, K]`."""
        scores, beta = self.transition_scores(), torch.zeros_like(emissions[:, 0])
        betas = [beta]
        for t in range(emissions.size(1) - 1, 0, -1):
            new = (scores + (emissions[:, t] + beta)[:, None]).logsumexp(dim=2)
            beta = torch.where(mask[:, t, None], new, beta)
            betas.append(beta)
        return torch.stack(betas[::-1], dim=1)

    def loss(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """The negative log-likelihood of `tags` `[B, W]` in nats, summed over the sentences."""
        scores, real = self.transition_scores(), mask.float()
        score = (emissions.gather(2, tags[:, :, None])[:, :, 0] * real).sum()
        score = score + (scores[tags[:, :-1], tags[:, 1:]] * real[:, 1:]).sum()
        score = score + cast(Tensor, self.first)[tags[:, 0]].sum()
        return self.forward_scores(emissions, mask)[:, -1].logsumexp(dim=1).sum() - score

    def viterbi(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The most probable tags of each sentence, `[B, W]` (Viterbi 1967); those of padding are arbitrary."""
        scores, best = self.transition_scores(), emissions[:, 0] + cast(Tensor, self.first)
        pointers = []
        for t in range(1, emissions.size(1)):
            new, origin = (best[:, :, None] + scores).max(dim=1)
            stay = torch.arange(new.size(1), device=new.device).expand_as(origin)
            pointers.append(torch.where(mask[:, t, None], origin, stay))
            best = torch.where(mask[:, t, None], new + emissions[:, t], best)
        tags = [best.argmax(dim=1)]
        for origin in reversed(pointers):
            tags.append(origin.gather(1, tags[-1][:, None])[:, 0])
        return torch.stack(tags[::-1], dim=1)

    def span_logprob(
        self, emissions: Tensor, forward: Tensor, backward: Tensor, start: int, end: int, type: int
    ) -> float:
        """The log-probability that exactly the words `start` to `end` - 1 are an entity of a type.

        For one sentence without padding: `emissions`, `forward` and `backward` (the results of `forward_scores` and
        `backward_scores`) are `[W, K]`; `type` counts from 0.
        """
        scores, begin, inside = self.transition_scores(), 1 + 2 * type, 2 + 2 * type
        total, last = forward[start, begin], begin
        for t in range(start + 1, end):
            total = total + scores[last, inside] + emissions[t, inside]
            last = inside
        if end < len(emissions):
            continuations = scores[last] + emissions[end] + backward[end]
            continuations[inside] = _FORBIDDEN * 2  # the entity must end here
            total = total + continuations.logsumexp(dim=0)
        return float(total - forward[-1].logsumexp(dim=0))
