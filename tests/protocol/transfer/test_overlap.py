"""What fits through several limits at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.overlap import Limit, room

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86_400.0


def limit(window: str = "", rate: float | None = None) -> Limit:
    return Limit("x", calendar.parse(window) if window else (), rate)


def test_without_a_limit_it_is_there_at_once() -> None:
    assert room([], NOON, NOON + 10, 10**12).done == NOON
    assert room([limit()], NOON, NOON + 10, 10**12).done == NOON


def test_the_least_rate_counts_and_says_when_it_is_done() -> None:
    found = room([limit(rate=100), limit(rate=10)], NOON, NOON + HOUR, 1000)
    assert (found.done, found.seconds) == (NOON + 100, 100)
    short = room([limit(rate=100), limit(rate=10)], NOON, NOON + 60, 1000)
    assert (short.done, short.size, short.seconds) == (None, 600, 60)


def test_only_while_all_are_open() -> None:
    evening, late = limit("daily 18:00-20:00 utc"), limit("daily 19:00-22:00 at 100 utc")
    found = room([evening, late], NOON, NOON + 2 * DAY, 100 * 3600 + 50, UTC)
    assert found.done is not None
    assert found.done == pytest.approx(NOON + 7 * HOUR + DAY + 0.5)


def test_what_never_is_open_together_is_known_without_a_look_at_a_year() -> None:
    morning, evening = limit("mon 06:00-07:00 utc"), limit("tue 19:00-22:00 utc")
    found = room([morning, evening], NOON, NOON + 366 * DAY, 1, UTC)
    assert (found.seconds, found.done) == (0, None)


def test_a_year_is_reckoned_from_its_first_months() -> None:
    nightly = limit("daily 22:00-23:00 at 1000 utc")
    found = room([nightly], NOON, NOON + 360 * DAY, 3_600_000 * 300, UTC)
    assert found.done is not None
    assert abs(found.done - (NOON + 300 * DAY)) < 6 * DAY
    assert room([nightly], NOON, NOON + 360 * DAY, 3_600_000 * 400, UTC).done is None


@given(
    st.sampled_from(["", "daily 22:00-06:00 at 500 utc", "not daily 08:00-18:00 utc", "sat,sun 00:00-24:00 utc"]),
    st.none() | st.integers(1, 1000),
    st.floats(0, 3 * DAY),
    st.integers(1, 10**8),
)
def test_one_limit_is_what_the_calendar_says(window: str, rate: int | None, length: float, size: int) -> None:
    one = limit(window, rate)
    found = room([one, one], NOON, NOON + length, size, UTC)
    seconds, fits = calendar.capacity(one.windows, NOON, NOON + length, rate, UTC)
    if found.done is None:
        assert found.size == pytest.approx(fits)
        assert found.seconds == pytest.approx(seconds)
        assert fits < size or length == 0
    else:
        assert fits >= size * 0.999
