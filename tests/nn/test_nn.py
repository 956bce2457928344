"""The building blocks against plain formulas, torch's own loss, and statistics of what is random."""

import math
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import tx.nn.loss
from tx.nn.cores import n_cores
from tx.nn.device import use_bf16
from tx.nn.dropout import Dropout, scaled_mask
from tx.nn.loss import linear_cross_entropy
from tx.nn.position import sinusoids

# --- positions ---


def interleaved(position: int, i: int, d_model: int) -> float:
    angle = position / 10000 ** (2 * (i // 2) / d_model)
    return math.cos(angle) if i % 2 else math.sin(angle)


def concatenated(position: int, i: int, d_model: int) -> float:
    half = d_model // 2
    angle = position * 10000 ** -(i % half / (half - 1))
    return math.sin(angle) if i < half else math.cos(angle)


@given(
    n=st.integers(1, 40), half=st.integers(2, 20), start=st.integers(0, 1000), first=st.sampled_from([0, 1])
)
def test_sinusoids_are_the_formula(n: int, half: int, start: int, first: int) -> None:
    layout, formula = [("interleaved", interleaved), ("concatenated", concatenated)][first]
    table = sinusoids(n, 2 * half, layout, start)
    assert table.shape == (n, 2 * half) and table.dtype == torch.float32
    for p in range(n):
        for i in range(2 * half):
            assert table[p, i].item() == pytest.approx(formula(start + p, i, 2 * half), abs=2e-7)


def test_both_layouts_know_the_narrowest_model() -> None:
    for layout in ("interleaved", "concatenated"):
        expected = [[math.sin(p), math.cos(p)] for p in range(3)]
        torch.testing.assert_close(sinusoids(3, 2, layout), torch.tensor(expected))


# --- the loss ---


def both_losses(
    hidden: torch.Tensor, weight: torch.Tensor, target: torch.Tensor, smoothing: float
) -> list[list[torch.Tensor]]:
    """Value and gradients of ours and of torch's, through a further product so that the chain is tested."""

    def reference(h: torch.Tensor, w: torch.Tensor, y: torch.Tensor, s: float) -> torch.Tensor:
        return F.cross_entropy(h @ w.T, y, label_smoothing=s, reduction="sum")

    results = []
    for loss_of in (linear_cross_entropy, reference):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        loss = loss_of(h, w, target, smoothing)
        (loss * 0.37).backward()
        assert h.grad is not None and w.grad is not None
        results.append([loss.detach(), h.grad, w.grad])
    return results


@given(
    n=st.integers(1, 17),
    d=st.integers(1, 9),
    vocab_size=st.integers(2, 23),
    rows_in_chunk=st.integers(1, 20),
    smoothing=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_loss_is_torchs(
    n: int, d: int, vocab_size: int, rows_in_chunk: int, smoothing: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = 3 * torch.randn(n, d, generator=generator)
    weight = torch.randn(vocab_size, d, generator=generator)
    target = torch.randint(vocab_size, (n,), generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tx.nn.loss, "CHUNK_BYTES", rows_in_chunk * 4 * vocab_size)
        ours, reference = both_losses(hidden, weight, target, smoothing)
    for a, b in zip(ours, reference, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_loss_of_huge_logits_is_finite() -> None:
    hidden, weight = torch.tensor([[1e4], [-1e4]]), torch.tensor([[1.0], [-1.0], [0.0]])
    ours, reference = both_losses(hidden, weight, torch.tensor([0, 0]), 0.1)
    for a, b in zip(ours, reference, strict=True):
        assert bool(a.isfinite().all())
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("way", ["bf16 states", "autocast"])
def test_loss_in_bf16_is_roughly_that_of_float32(way: str) -> None:
    torch.manual_seed(1)
    hidden, weight = torch.randn(40, 32), torch.randn(100, 32) * 0.2
    target = torch.randint(100, (40,))
    (expected, *grads), _ = both_losses(hidden, weight, target, 0.1)
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"):
        h = (hidden.bfloat16() if way == "bf16 states" else hidden).requires_grad_()
        w = weight.requires_grad_()
        loss = linear_cross_entropy(h, w, target, 0.1)
    (loss * 0.37).backward()
    assert loss.dtype == torch.float32 and w.grad is not None and w.grad.dtype == torch.float32
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-2, atol=0)
    for grad, like in zip((h.grad, w.grad), grads, strict=True):
        assert grad is not None
        assert (grad.float() - like).norm() < 0.02 * like.norm()


def test_loss_without_gradients() -> None:
    hidden, weight, target = torch.randn(5, 4), torch.randn(7, 4), torch.arange(5)
    with torch.no_grad():
        loss = linear_cross_entropy(hidden, weight, target)
    torch.testing.assert_close(loss, F.cross_entropy(hidden @ weight.T, target, reduction="sum"))


# --- dropout ---


@pytest.mark.parametrize("p", [1 / 256, 0.1, 0.3, 0.5, 0.75, 0.99])
@pytest.mark.parametrize("n", [999_999, 1_000_000])
def test_dropout_drops_with_its_probability_and_keeps_the_mean(p: float, n: int) -> None:
    torch.manual_seed(7)
    mask = scaled_mask(torch.empty(n), p).double()
    q = round(p * 256) / 256  # the probability that is really used
    assert abs(q - p) <= 1 / 512
    assert mask.unique().tolist() == [0.0, pytest.approx(1 / (1 - q), rel=1e-6)]
    noise = 5 / math.sqrt(n)  # five standard deviations, each a factor of it
    assert (mask == 0).double().mean().item() == pytest.approx(q, abs=noise * math.sqrt(q * (1 - q)))
    assert mask.mean().item() == pytest.approx(1, abs=noise * math.sqrt(q / (1 - q)))
    assert mask.var().item() == pytest.approx(q / (1 - q), rel=0.1)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_decisions_of_dropout_are_independent(p: float) -> None:
    """Also those of one draw, eight of which share 64 bits."""
    torch.manual_seed(3)
    n = 400_000
    mask = (scaled_mask(torch.empty(n), p) - 1) / math.sqrt(p / (1 - p))  # mean 0, variance about 1
    for distance in (*range(1, 10), 64, 4096):
        assert (mask[:-distance] * mask[distance:]).mean().abs().item() < 5 / math.sqrt(n)
    again = scaled_mask(torch.empty(n), p) - 1
    assert (mask * again).mean().abs().item() < 5 / math.sqrt(n)


def test_dropout_follows_the_seed() -> None:
    x, dropout = torch.randn(50, 60), Dropout(0.4)
    torch.manual_seed(11)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(11)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


def test_dropout_is_nothing_in_evaluation_and_at_zero() -> None:
    x, residual = torch.randn(5, 6), torch.randn(5, 6)
    for dropout in (Dropout(0.5).eval(), Dropout(0.0)):
        assert torch.equal(dropout(x), x)
        assert torch.equal(dropout.add_to(residual, x), residual + x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_gradient_has_the_same_mask(dtype: torch.dtype) -> None:
    dropout = Dropout(0.3)
    x = torch.randn(40, 50, dtype=dtype, requires_grad=True)
    y = dropout(x)
    assert y.dtype == dtype
    y.sum().backward()
    assert x.grad is not None
    assert 0 < (x.grad == 0).sum() < x.numel()
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float32), (torch.float32, torch.bfloat16)])
def test_add_to_is_the_residual_plus_dropout(dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    """A float32 residual and a sublayer's bfloat16 is what autocast makes."""
    dropout = Dropout(0.3)
    values = torch.randn(40, 50, dtype=dtypes[0]), torch.randn(40, 50, dtype=dtypes[1])
    grads, sums = [], []
    for way in ("add_to", "apart"):
        residual, x = (value.clone().requires_grad_() for value in values)
        torch.manual_seed(5)
        total = dropout.add_to(residual, x) if way == "add_to" else residual + dropout(x)
        assert total.dtype == dtypes[0]
        (total * torch.arange(50)).sum().backward()
        assert residual.grad is not None and x.grad is not None
        grads.append((residual.grad, x.grad))
        sums.append(total.detach())
    tolerance = {"rtol": 0.01, "atol": 0.02} if torch.bfloat16 in dtypes else {}
    torch.testing.assert_close(sums[0], sums[1], **tolerance)
    torch.testing.assert_close(grads[0], grads[1], **tolerance)


@pytest.mark.parametrize(
    ("flags", "chosen"), [("avx512f avx512_bf16", True), ("amx_bf16", True), ("avx512f", False)]
)
def test_bf16_is_chosen_where_the_processor_has_it(
    flags: str, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tx.nn.device._cpu_info", lambda: f"flags\t: fpu {flags} sse\n")
    cpu = torch.device("cpu")
    assert [use_bf16(name, cpu) for name in ("auto", "float32", "bf16")] == [chosen, False, True]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_only_the_cores_of_this_process_count() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert n_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert n_cores() == len(before)
