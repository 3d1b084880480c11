"""Windows of the week: what is open when, over changes of summer time and clocks that step."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.calendar import Window

BERLIN, HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")
NIGHTS = calendar.parse("mon-fri 22:00-06:00 at 2000000")


def at(text: str, zone: ZoneInfo | None = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC, fold=fold).timestamp()


def test_a_window_past_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    for text, rate in {
        "2026-11-20T21:59:59": 0.0,  # a Friday
        "2026-11-20T22:00:00": 2e6,
        "2026-11-21T05:59:59": 2e6,
        "2026-11-21T06:00:00": 0.0,
        "2026-11-22T23:00:00": 0.0,  # a Sunday
        "2026-11-23T02:00:00": 0.0,
        "2026-11-23T22:00:00": 2e6,
    }.items():
        assert calendar.rate_at(NIGHTS, at(text), BERLIN) == rate, text
    assert calendar.next_change(NIGHTS, at("2026-11-21T06:00:00"), BERLIN) == at("2026-11-23T22:00:00")


def test_the_strictest_window_counts_and_a_black_out_before_all() -> None:
    windows = calendar.parse("daily 00:00-24:00; mon-fri 08:00-18:00 at 100000; not wed 12:00-13:00")
    assert calendar.rate_at(windows, at("2026-11-18T07:00"), BERLIN) is None
    assert calendar.rate_at(windows, at("2026-11-18T08:00"), BERLIN) == 100_000
    assert calendar.rate_at(windows, at("2026-11-18T12:30"), BERLIN) == 0.0
    alone = calendar.parse("not daily 08:00-18:00")
    assert calendar.rate_at(alone, at("2026-11-18T07:00"), BERLIN) is None
    assert calendar.rate_at(alone, at("2026-11-18T09:00"), BERLIN) == 0.0
    assert calendar.rate_at((), 0.0) is None
    assert calendar.next_change((), 0.0) == math.inf
    assert calendar.next_change(calendar.parse("daily 00:00-24:00"), at("2026-11-18T09:00"), BERLIN) == math.inf


def test_summer_time_takes_an_hour_and_gives_one_twice() -> None:
    hour = calendar.parse("daily 02:00-03:00")
    spring = at("2026-03-29T00:00")
    assert calendar.next_change(hour, spring, BERLIN) == at("2026-03-30T02:00"), "that hour was not on the clock"
    autumn = at("2026-10-25T00:00")
    opens = calendar.next_change(hour, autumn, BERLIN)
    assert opens == at("2026-10-25T02:00")
    assert calendar.next_change(hour, opens, BERLIN) - opens == 7200, "both of the hours"
    half = calendar.parse("daily 02:00-02:30")
    moments = [autumn]
    for _ in range(4):
        moments.append(calendar.next_change(half, moments[-1], BERLIN))
    assert [after - before for before, after in pairwise(moments[1:])] == [1800, 1800, 1800]
    utc = calendar.parse("daily 02:00-03:00 utc")
    assert calendar.next_change(utc, at("2026-10-25T00:00", None), BERLIN) == at("2026-10-25T02:00", None)


def test_how_much_fits_into_the_windows() -> None:
    start, end = at("2026-11-16T00:00"), at("2026-11-23T00:00")
    seconds, size = calendar.capacity(NIGHTS, start, end, zone=BERLIN)
    assert (seconds, size) == (5 * 8 * 3600, 5 * 8 * 3600 * 2e6)
    assert calendar.capacity(NIGHTS, start, end, 1e6, BERLIN) == (seconds, size / 2)
    assert calendar.capacity(calendar.parse("sat 10:00-11:00"), start, at("2026-11-17T00:00"), zone=BERLIN) == (0, 0)
    never = calendar.parse("mon 10:00-11:00; not daily 00:00-24:00")
    assert calendar.capacity(never, start, start + 366 * 86_400, zone=BERLIN) == (0, 0)
    assert calendar.capacity((), start, end) == (end - start, math.inf)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mon",
        "mon 10:00",
        "funday 10:00-11:00",
        "mon-fun 10:00-11:00",
        "mon 10:61-11:00",
        "mon 10:00-25:00",
        "mon 24:00-25:00",
        "mon 24:00-06:00",
        "mon 10:00-11:00 at 0",
        "mon 10:00-11:00 at fast",
        "not mon 10:00-11:00 at 5",
        "; ".join(["mon 10:00-11:00"] * 65),
    ],
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        calendar.parse(text)
    assert caught.value.code == "window.invalid"


windows_ = st.builds(
    Window,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    start=st.integers(0, 1439),
    end=st.integers(0, 1440),
    rate=st.none() | st.integers(1, 10**9).map(float),
    utc=st.booleans(),
) | st.builds(
    Window,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    start=st.integers(0, 1439),
    end=st.integers(0, 1440),
    blackout=st.just(value=True),
    utc=st.booleans(),
)


@given(st.lists(windows_, min_size=1, max_size=4))
def test_a_window_is_read_as_it_is_written(windows: list[Window]) -> None:
    assert calendar.parse(calendar.shown(windows)) == tuple(windows)


@given(
    st.lists(windows_, min_size=1, max_size=3),
    # any second of three years: clocks are turned six times in them, and a year's step lands anywhere
    st.integers(1_735_689_600, 1_830_297_600),
    st.sampled_from([BERLIN, HOWE, ZoneInfo("UTC"), ZoneInfo("America/New_York")]),
)
@example([Window(frozenset({6}), 120, 150)], int(at("2026-10-25T01:00")), BERLIN)
def test_nothing_changes_before_the_next_change(windows: list[Window], wall: int, zone: ZoneInfo) -> None:
    now = calendar.rate_at(windows, wall, zone)
    change = calendar.next_change(windows, wall, zone)
    assert change > wall
    if change < math.inf:
        assert calendar.rate_at(windows, change, zone) != now
        assert calendar.rate_at(windows, change - 1, zone) == now
    end = min(change, wall + 8 * 86_400)
    for step in range(40):
        moment = wall + (end - 1 - wall) * step / 39
        if moment >= wall:
            assert calendar.rate_at(windows, moment, zone) == now


@given(st.lists(windows_, min_size=1, max_size=3), st.integers(1_735_689_600, 1_830_297_600))
def test_a_clock_that_steps_a_year_finds_what_that_year_has(windows: list[Window], wall: int) -> None:
    here = calendar.rate_at(windows, wall, BERLIN)
    for step in (364 * 86_400, -364 * 86_400):  # whole weeks
        there = datetime.fromtimestamp(wall + step, BERLIN)
        if there.utcoffset() == datetime.fromtimestamp(wall, BERLIN).utcoffset():
            assert calendar.rate_at(windows, wall + step, BERLIN) == here
    assert calendar.rate_at(windows, wall, BERLIN) == here, "nothing is remembered"
