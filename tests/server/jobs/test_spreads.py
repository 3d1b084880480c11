"""A spread by what links carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs import times
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.overlap import Limit
from tiercast_server.jobs.spreads import spread_out

AUTO = {"spread_auto": True, "tries": 2}


def test_the_slowest_link_says_how_long() -> None:
    ways = [[Limit("a", rate=1000.0), Limit("b")], [Limit("c", rate=250.0)]]
    assert spread_out(AUTO, 10_000, ways, 10**6) == {"tries": 2, "fetch_spread_s": 40}
    shared = [[Limit("all", rate=1000.0, copies=30)], *ways]
    assert spread_out(AUTO, 10_000, shared, 10**6)["fetch_spread_s"] == 300
    window = [[Limit("w", calendar.parse("daily 08:00-18:00 at 100"), 5000.0)]]
    assert spread_out(AUTO, 10_000, window, 10**6)["fetch_spread_s"] == 100


def test_who_did_not_ask_keeps_what_he_said() -> None:
    assert spread_out({"spread_s": 60}, 10_000, [], 10) == {"spread_s": 60}


@pytest.mark.parametrize(
    ("size", "ways", "left", "words"),
    [
        (0, [[Limit("a", rate=5.0)]], 100, "Nothing travels"),
        (10, [], 100, "Nothing is known"),
        (10, [[Limit("a")]], 100, "Nothing is known"),
        (10_000, [[Limit("a", rate=10.0, copies=3)]], 100, "3 times 10,000 bytes take 3,000 s over a at 10 bytes"),
        (10**9, [[Limit("a", rate=10.0)]], 10**9, "is the longest spread"),
    ],
)
def test_what_can_not_be_is_refused_with_the_figures(size: int, ways: list[list[Limit]], left: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        spread_out(AUTO, size, ways, left)
    assert (caught.value.code, words in caught.value.what) == ("times.spread_s", True), caught.value.what


@given(st.integers(1, 10**9), st.lists(st.tuples(st.floats(1, 1e9), st.integers(1, 500)), min_size=1, max_size=5))
def test_no_link_is_asked_for_more_than_it_carries(size: int, links: list[tuple[float, int]]) -> None:
    ways = [[Limit("x", rate=rate, copies=copies)] for rate, copies in links]
    try:
        over = spread_out(AUTO, size, ways, times.LONGEST_SPREAD_S)["fetch_spread_s"]
    except UsageError:
        return
    assert all(size * copies <= rate * int(over) * (1 + 1e-9) for rate, copies in links)
