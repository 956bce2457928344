"""The output layer fused with softmax cross-entropy, which never holds the logits of a whole batch.

The logits of a batch are the largest tensor of a translation model. Here they exist for one chunk of tokens at a
time: the chunk is projected, its loss and its gradients with respect to the hidden states and the output matrix are
computed, and its logits are freed. Label smoothing (Szegedy et al. 2016) is spread over the whole vocabulary.

Shape letters: N tokens, D hidden units, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_BYTES = 32 << 20  # of logits per chunk: large enough for matrix products at full speed


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor, smoothing: float, bias: Tensor | None
    ) -> Tensor:
        n, vocab_size = hidden.size(0), weight.size(0)
        total = hidden.new_zeros((), dtype=torch.float32)
        training = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        if training:
            grad_hidden = torch.empty_like(hidden)
            grad_weight = torch.zeros_like(weight, dtype=torch.float32)
            grad_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        matrix = weight.to(hidden.dtype)
        chunk = max(1, CHUNK_BYTES // (4 * vocab_size))
        for start in range(0, n, chunk):
            rows = slice(start, min(start + chunk, n))
            x, y = hidden[rows], target[rows, None]  # [N, D], [N, 1]
            logits = (x @ matrix.T).float()  # [N, V]
            if bias is not None:
                logits += bias
            logprobs = logits.log_softmax(dim=-1)
            total -= (1 - smoothing) * logprobs.gather(1, y).sum()
            if smoothing:
                total -= smoothing * logprobs.mean(dim=-1).sum()
            if training:
                # d loss / d logits = softmax - (1 - smoothing) at the target - smoothing / V everywhere
                grad = logprobs.exp_()
                if smoothing:
                    grad.sub_(smoothing / vocab_size)
                grad.scatter_add_(1, y, grad.new_full((), smoothing - 1).expand_as(y))
                if grad_bias is not None:
                    grad_bias += grad.sum(dim=0)
                grad = grad.to(hidden.dtype)
                torch.mm(grad, matrix, out=grad_hidden[rows])
                if grad_weight.dtype == grad.dtype:
                    grad_weight.addmm_(grad.T, x)
                else:
                    grad_weight += grad.T @ x
        if training:
            ctx.save_for_backward(grad_hidden, grad_weight.to(weight.dtype), grad_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None, None, Tensor | None]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        hidden, weight = grad_hidden * grad_output.to(grad_hidden.dtype), grad_weight * grad_output
        return hidden, weight, None, None, None if grad_bias is None else grad_bias * grad_output


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, target: Tensor, smoothing: float = 0.0, bias: Tensor | None = None
) -> Tensor:
    """The summed cross-entropy, in nats, of `softmax(hidden @ weight.T + bias)` against `target`.

    `hidden` is `[N, D]`, `weight` `[V, D]`, `target` `[N]` of class indices, `bias` `[V]` float32 or None; the
    result is a float32 scalar.
    Equal to `F.cross_entropy(..., label_smoothing=smoothing, reduction="sum")`.
    """
    return _LinearCrossEntropy.apply(hidden, weight, target, smoothing, bias)  # type: ignore[no-any-return]
