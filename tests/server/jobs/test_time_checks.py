"""What can't work of a job's times is refused when it is ordered, with the figures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer.overlap import Limit
from tiercast_server.jobs.time_checks import Plan, check_times, openings

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()  # a Saturday
HOUR, DAY, MB = 3600, 86_400, 1_000_000


def at(hours: float) -> int:
    return int((NOON + hours * HOUR) * 1000)


def check(type_: str = "install", *, size: int = 0, days: float = 7, links: Any = (), **options: object) -> None:
    check_times(Plan(type_, options, NOON, NOON + days * DAY, size, links, UTC))


def refused(type_: str = "install", **more: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        check(type_, **more)
    assert "Nothing was done." in caught.value.todo
    return caught.value


def test_what_can_be_is_ordered() -> None:
    check()
    check(distribute_at=at(1), prepare_by=at(8), install_at=at(10), deadline=at(20), spread_s=600, size=10 * MB)
    check(install_window="daily 22:00-06:00 utc", max_duration_s=3600, spread_s=3600, size=10 * MB)
    check(switch_at=at(11), install_window="daily 22:00-06:00 utc")
    check("remove", install_at=at(3))
    check("preload", distribute_at=at(3), prepare_by=at(5), size=MB)
    check(tries=3, try_codes="disk.full, chunk.missing", install_tries=2, install_codes="program.failed")
    check("run", install_window="daily 22:00-06:00 utc")


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({"install_at": at(-1)}, "times.past", ["install-at", "2026-11-21", "is over"]),
        ({"distribute_at": at(-9999)}, "times.past", ["distribute-at"]),
        ({"deadline": at(8 * 24)}, "times.expiry", ["deadline", "2026-11-29", "2026-11-28"]),
        ({"install_at": at(5), "deadline": at(4)}, "times.deadline", ["deadline", "before"]),
        ({"distribute_at": at(5), "prepare_by": at(4)}, "times.prepare_by", ["prepare-by"]),
        ({"switch_at": at(5), "install_at": at(5)}, "times.switch_at", ["install-at"]),
        ({"switch_at": at(5), "spread_s": 60}, "times.switch_at", ["spread"]),
        ({"switch_at": at(5), "install_window": "daily 22:00-23:00 utc"}, "times.window", ["22:00-23:00", "shut"]),
        ({"tries": 3, "try_codes": "disk.fool"}, "times.try_codes", ["'disk.fool'"]),
        ({"install_tries": 3, "install_codes": "done"}, "times.install_codes", ["'done'"]),
        ({"spread_s": -60}, "times.spread_s", ["-60"]),
        ({"max_duration_s": 10**9}, "times.max_duration_s", ["1000000000"]),
        ({"install_window": "mon 08:00-09:00 utc", "days": 1}, "window.never", ["mon 08:00-09:00", "never opens"]),
        (
            {"install_window": "daily 22:00-23:00 utc", "max_duration_s": 7200},
            "window.short",
            ["7,200 s", "3,600 s"],
        ),
        (
            {"install_window": "daily 22:00-23:00 utc", "max_duration_s": 1800, "spread_s": 2400},
            "times.spread_s",
            ["2,400 s", "1,800 s", "3,600 s"],
        ),
    ],
)
def test_mistakes(more: dict[str, Any], code: str, words: list[str]) -> None:
    error = refused(**more)
    assert error.code == code
    assert all(word in error.what for word in words), error.what


def test_a_code_that_is_no_failures_is_refused_with_those_that_are_like_it() -> None:
    assert "disk.full" in refused(tries=3, try_codes="disk.ful").todo


def test_words_are_for_types_that_have_them() -> None:
    assert refused("preload", install_at=at(3)).code == "times.install_at"
    assert refused("remove", distribute_at=at(3)).code == "times.distribute_at"
    assert refused("purge", spread_s=5).code == "times.spread_s"


def test_a_deadline_that_the_link_can_not_make_is_refused_with_the_figures() -> None:
    thin = Limit("the link from server to berlin", rate=125_000)
    error = refused(size=900 * MB, deadline=at(1), links=[[thin]])
    assert error.code == "times.deadline"
    for figure in ("900,000,000 bytes", "450,000,000 fit", "3,600 s", "server to berlin", "125,000 bytes per second"):
        assert figure in error.what
    check(size=900 * MB, deadline=at(3), links=[[thin]])
    assert refused(size=900 * MB, prepare_by=at(1), links=[[thin]]).code == "times.prepare_by"
    assert refused(size=900 * MB, deadline=at(1), rate=125_000).code == "times.deadline"


def test_windows_that_never_open_together_are_refused() -> None:
    nights = Limit("the link from server to berlin", calendar.parse("daily 22:00-06:00 utc"))
    error = refused(size=MB, window="daily 08:00-18:00 utc", install_window="daily 12:00-13:00 utc", links=[[nights]])
    assert error.code == "window.apart"
    assert "22:00-06:00" in error.what
    assert "08:00-18:00" in error.what
    # The transfer's window opens only after the last installation window has shut.
    error = refused(size=MB, window="daily 22:00-23:00 utc", install_window="daily 13:00-14:00 utc", days=0.5)
    assert error.code == "window.apart"


def test_each_way_is_judged_by_itself() -> None:
    fast, slow = Limit("fast", rate=10 * MB), Limit("slow", rate=1000)
    assert "slow" in refused(size=100 * MB, deadline=at(1), links=[[fast], [fast, slow]]).what


def test_openings_of_a_long_time_are_the_first_and_the_last() -> None:
    windows = calendar.parse("daily 22:00-23:00 utc")
    found = openings(windows, NOON, NOON + 100 * DAY, UTC)
    assert found[0][0] == NOON + 10 * HOUR
    assert found[-1][1] <= NOON + 100 * DAY
    assert 12 < len(found) < 20


def test_what_the_way_can_not_make_says_when_it_could_and_may_be_ordered_anyway() -> None:
    slow = [[Limit("the link from server to mid", calendar.parse("daily 22:00-02:00 utc"), 1000.0)]]
    error = refused(size=20 * MB, deadline=at(20), links=slow)
    assert error.code == "times.deadline"
    for figure in ("20,000,000 bytes", "14,400,000 fit", "14,400 s (4.0 h)", "1,000 bytes per second", "22:00-02:00"):
        assert figure in error.what
    assert "at the earliest they are at 2026-11-22 2" in error.what
    assert "--anyway" in error.todo
    check_times(Plan("install", {"deadline": at(20)}, NOON, NOON + 7 * DAY, 20 * MB, slow, UTC, anyway=True))
    never = refused(size=10**15, deadline=at(20), links=[[Limit("x", (), 1.0)]])
    assert "over a year" in never.what
