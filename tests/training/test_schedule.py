"""Learning rates against their closed forms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tx.training.schedule import learning_rate

SCHEDULES = ["inverse-sqrt", "cosine", "linear", "constant"]
steps = st.integers(1, 10**7)
shares = st.floats(0, 1)
peaks = st.floats(1e-8, 10)
warmups = st.integers(1, 10**5)


@given(steps, shares, peaks, warmups)
def test_inverse_sqrt_is_the_formula_of_vaswani(step: int, share: float, peak: float, warmup: int) -> None:
    formula = peak * math.sqrt(warmup) * min(step**-0.5, step * warmup**-1.5)
    assert learning_rate("inverse-sqrt", step, share, peak, warmup) == pytest.approx(formula)


@given(steps, shares, peaks, warmups)
def test_after_the_warmup_only_the_share_counts(step: int, share: float, peak: float, warmup: int) -> None:
    step += warmup
    assert learning_rate("linear", step, share, peak, warmup) == pytest.approx(peak * (1 - share))
    half_wave = peak * math.cos(math.pi * share / 2) ** 2
    assert learning_rate("cosine", step, share, peak, warmup) == pytest.approx(half_wave, abs=1e-12 * peak)
    assert learning_rate("constant", step, share, peak, warmup) == peak


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(data=st.data(), peak=peaks, warmup=warmups)
def test_the_warmup_is_a_straight_line_to_the_peak(
    schedule: str, data: st.DataObject, peak: float, warmup: int
) -> None:
    step = data.draw(st.integers(1, warmup))
    assert learning_rate(schedule, step, 0.0, peak, warmup) == pytest.approx(peak * step / warmup)
    assert learning_rate(schedule, warmup, 0.0, peak, warmup) == pytest.approx(peak)


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(step=steps, share=st.floats(0, 2), peak=peaks, warmup=st.integers(0, 10**5))
def test_the_rate_stays_between_zero_and_the_peak(
    schedule: str, step: int, share: float, peak: float, warmup: int
) -> None:
    # a share above 1: a run may go on a little after its last second
    assert 0 <= learning_rate(schedule, step, share, peak, warmup) <= peak * (1 + 1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(step=steps, share=shares, later=shares, peak=peaks, warmup=warmups)
def test_after_the_warmup_the_rate_never_rises(
    schedule: str, step: int, share: float, later: float, peak: float, warmup: int
) -> None:
    share, later = sorted((share, later))
    first = learning_rate(schedule, warmup + step, share, peak, warmup)
    assert learning_rate(schedule, warmup + step + 1, later, peak, warmup) <= first * (1 + 1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@given(peak=peaks, warmup=warmups)
def test_these_end_at_zero(schedule: str, peak: float, warmup: int) -> None:
    assert learning_rate(schedule, warmup + 1, 1.0, peak, warmup) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_warmup_starts_at_the_peak(schedule: str) -> None:
    assert learning_rate(schedule, 1, 0.0, 0.5, 0) == 0.5
