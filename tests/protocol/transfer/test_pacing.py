"""The token bucket keeps its average, whatever is taken when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer.pacing import BURST, TokenBucket


@given(
    st.floats(1e3, 1e9),
    st.lists(st.tuples(st.floats(0, 2), st.integers(1, 1_000_000)), min_size=1, max_size=50),
)
def test_never_more_than_the_rate_and_a_burst(rate: float, steps: list[tuple[float, int]]) -> None:
    bucket = TokenBucket(rate)
    now = first = 100.0
    sent: list[tuple[float, int]] = []
    for pause, cost in steps:
        now = max(now + pause, bucket.ready_at(now + pause))
        # The time that it named is enough, and asking again does not move it.
        assert bucket.ready_at(now) <= now + 1e-9
        bucket.take(cost, now)
        sent.append((now, cost))
        before_last = sum(cost for _, cost in sent[:-1])
        assert before_last <= (now - first) * rate + rate * BURST + len(sent)


def test_unlimited_is_always_ready() -> None:
    bucket = TokenBucket()
    bucket.take(1 << 40, 1.0)
    assert bucket.ready_at(1.0) == 1.0


def test_a_busy_link_is_used_wholly() -> None:
    bucket = TokenBucket(1000.0)
    now, sent = 0.0, 0
    while now < 10.0:
        bucket.take(100, now)
        sent += 100
        now = bucket.ready_at(now)
    assert 10_000 <= sent <= 10_200


def test_a_debt_stays_the_same_time_when_the_rate_changes() -> None:
    bucket = TokenBucket(1000.0)
    bucket.take(1050, 0.0)
    assert bucket.ready_at(0.0) == pytest.approx(1.0)
    bucket.set_rate(10.0, 0.0)
    assert bucket.ready_at(0.0) == pytest.approx(1.0)
    bucket.set_rate(None, 0.0)
    assert bucket.ready_at(0.0) == 0.0


def test_time_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(1000.0)
    bucket.take(550, 10.0)
    ready = bucket.ready_at(10.0)
    bucket.ready_at(5.0)
    assert bucket.ready_at(10.0) == pytest.approx(ready)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_is_positive(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        TokenBucket().set_rate(rate, 0.0)
