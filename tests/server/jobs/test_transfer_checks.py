"""What can't work of a job's transfer is refused with the figures that make it impossible."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.transfer_checks import check_possible

MIB = 1 << 20
#: A Saturday, 12:00 by the clock of this machine.
NOON = datetime(2026, 11, 21, 12).timestamp()  # noqa: DTZ001 - local windows are local


def refused(options: dict[str, Any], *, size: int = 100 * MIB, left: float = 86_400) -> UsageError:
    with pytest.raises(UsageError) as caught:
        check_possible(options, size=size, now=NOON, left=left)
    assert caught.value.todo
    return caught.value


@pytest.mark.parametrize(
    ("options", "code", "figures"),
    [
        ({"segment": 0, "pause": 5}, "transfer.segment", ["0", "1024"]),
        ({"segment": 200 * MIB, "pause": 5}, "transfer.segment", ["209,715,200", "104,857,600"]),
        ({"segment": MIB, "pause": 3600}, "transfer.pause", ["100 segments", "356,400", "86,400"]),
        (
            {"segment": 50 * MIB, "pause": 7200, "send_timeout_s": 3600},
            "transfer.pause",
            ["2 segments", "7,200", "3,600"],
        ),
        ({"segment": MIB}, "transfer.segment", ["segment", "pause"]),
        ({"segment": MIB, "pause": 100_000}, "transfer.pause", ["100000", "86400"]),
        ({"frames": 1, "frame_pause_ms": 3_600_000}, "transfer.frame_pause_ms", ["134 frames", "3600 s", "86,400"]),
        ({"rate": 500}, "transfer.rate", ["500", "1024"]),
        ({"rate": 1100}, "transfer.rate", ["104,857,600", "1,100", "95,040,000"]),
        ({"rate": 5000, "floor": 6000}, "transfer.floor", ["6,000", "5,000"]),
        ({"budget": MIB}, "transfer.budget", ["1,048,576", "104,857,600"]),
        ({"budget": MIB, "per": "day"}, "transfer.budget", ["1,048,576", "per day", "104,857,600"]),
        ({"budget_s": 3600, "rate": 20_000}, "transfer.budget", ["3,600 s", "20,000", "72,000,000", "104,857,600"]),
        ({"per": "day"}, "transfer.per", ["no budget per day"]),
        ({"budget_s": 0}, "transfer.budget", ["0"]),
        ({"per": "year"}, "transfer.per", ["year"]),
        ({"priority": 10}, "transfer.priority", ["10", "9"]),
        ({"fanout": "loud"}, "transfer.fanout", ["loud"]),
        ({"window": "mon 10:00-11:00"}, "window.never", ["mon 10:00-11:00", "86,400"]),
        ({"window": "daily 13:00-14:00; not daily 00:00-24:00"}, "window.never", ["not daily"]),
        ({"window": "sat 13:00-14:00 at 20000"}, "transfer.rate", ["72,000,000", "3,600 s"]),
        ({"window": "sometimes"}, "window.invalid", ["sometimes"]),
        ({"window": 5}, "window.invalid", ["5"]),
    ],
)
def test_refusals_name_the_figures(options: dict[str, Any], code: str, figures: list[str]) -> None:
    error = refused(options)
    assert error.code == code
    assert all(figure in error.what for figure in figures), error.what


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"segment": MIB, "pause": 800},
        {"segment": 100 * MIB, "pause": 86_400},
        {"rate": 2000},
        {"window": "sat 13:00-14:00"},
        {"budget": 60 * MIB, "per": "day"},
        {"budget_s": 3600, "rate": 20_000, "per": "day"},
        {"budget_s": 3600, "per": "week"},
        {"segment": 50 * MIB, "pause": 3600, "send_timeout_s": 3600},
        {
            "segment": 50 * MIB,
            "pause": 7200,
            "send_timeout_s": 3600,
            "tries": 3,
        },  # each goes on
        {"frames": 1, "frame_pause_ms": 600_000},  # on a fast link frames are larger than on others
        {"frames": 16, "frame_pause_ms": 250, "fanout": "unicast", "priority": 9, "metered": True},
    ],
)
def test_what_can_work_is_ordered(options: dict[str, Any]) -> None:
    check_possible(options, size=100 * MIB, now=NOON, left=86_400)


def test_the_last_piece_of_a_package_may_be_smaller_than_a_segment() -> None:
    options = {"segment": 4 * MIB, "pause": 2}
    check_possible(options, size=MIB, whole=100 * MIB, now=NOON, left=86_400)
    with pytest.raises(UsageError, match="104,857,600: it would never pause"):
        check_possible({"segment": 200 * MIB, "pause": 2}, size=MIB, whole=100 * MIB, now=NOON, left=86_400)


@given(
    st.dictionaries(
        st.sampled_from(["segment", "pause", "rate", "floor", "frames", "frame_pause_ms", "budget", "window", "per"]),
        st.none() | st.integers() | st.text("0123456789:-; montuenotat", max_size=20) | st.booleans(),
    )
)
def test_whatever_is_given_is_taken_or_refused(options: dict[str, Any]) -> None:
    with suppress(UsageError):
        check_possible(options, size=MIB, now=NOON, left=3600)
