"""When what several must open is open."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_endpoint.jobs.openings import Openings
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.calendar import NEVER

HOUR, DAY = 3600.0, 86_400.0
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC).timestamp()  # a Saturday


def of(*texts: str) -> Openings:
    return Openings(tuple(calendar.parse(text) for text in texts), UTC)


def test_without_windows_it_is_always_open() -> None:
    assert not of()
    assert of().open(MIDNIGHT)
    assert of().turn(MIDNIGHT) == NEVER
    assert of().fitting(MIDNIGHT, 10**9) == MIDNIGHT


def test_both_must_be_open() -> None:
    both = of("daily 08:00-12:00", "daily 10:00-14:00")
    assert [both.open(MIDNIGHT + hour * HOUR) for hour in (9, 10, 11, 12)] == [False, True, True, False]
    assert both.turn(MIDNIGHT) == MIDNIGHT + 10 * HOUR
    assert both.turn(MIDNIGHT + 10 * HOUR) == MIDNIGHT + 12 * HOUR
    assert both.since(MIDNIGHT + 11 * HOUR) == MIDNIGHT + 10 * HOUR
    assert both.text(MIDNIGHT + 9 * HOUR) == "daily 10:00-14:00"
    assert both.text() == "daily 08:00-12:00 and daily 10:00-14:00"


def test_what_is_long_enough_is_found_or_there_is_none() -> None:
    both = of("daily 22:00-23:00; sun 22:00-24:00", "not sat 00:00-24:00")
    assert both.fitting(MIDNIGHT, 3600) == MIDNIGHT + DAY + 22 * HOUR
    assert both.fitting(MIDNIGHT, 7200) == MIDNIGHT + DAY + 22 * HOUR
    assert both.fitting(MIDNIGHT, 7201) is None


def test_what_never_opens_together_never_turns() -> None:
    never = of("mon 08:00-09:00", "tue 08:00-09:00")
    assert never.turn(MIDNIGHT) == NEVER
    assert never.fitting(MIDNIGHT, 0) is None


texts = st.sampled_from(["daily 22:00-06:00", "mon-fri 08:00-18:00", "not wed 00:00-24:00", "sat,sun 10:00-11:00"])


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, max_size=2), st.floats(0, 14 * DAY))
def test_nothing_turns_before_it_is_said_to(windows: list[str], after: float) -> None:
    both, wall = of(*windows), MIDNIGHT + after
    turn = both.turn(wall)
    assert turn > wall
    for share in (0.1, 0.5, 0.9, 0.999):
        assert both.open(wall + share * (min(turn, wall + 20 * DAY) - wall)) == both.open(wall)
    if turn != NEVER:
        assert both.open(turn) != both.open(wall)
    if both.open(wall):
        assert both.since(wall) <= wall
