"""Preferred times: waited for within what an order leaves to the owner, and no further."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.endpoint.lab import Agent, Region, agent_over, pack

from tiercast_endpoint.jobs.gate import Gate
from tiercast_endpoint.owner.choices import Choice, Terms
from tiercast_endpoint.owner.preferring import NO_WISH, wish
from tiercast_protocol.content.jobs.provisos import Provisos
from tiercast_protocol.content.jobs.times import SHUTDOWN, Times
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar

HELLO = pack("hello", "1.0", {"a": b"a" * 1000})
#: A Monday.
MONDAY = int(datetime(2026, 7, 6, tzinfo=UTC).timestamp()) * 1000
HOUR = 3_600_000
NOON = calendar.parse("daily 12:00-13:00 utc")


def terms(**provisos: Any) -> Terms:
    return Terms("j1", "install", MONDAY + 100 * HOUR, Provisos(**provisos))


def gate(*, times: Times | None = None, deadline: int = 0, used: int = 0, **provisos: Any) -> Gate:
    return Gate(times or Times(), preferred=wish(NOON, terms(**provisos), Choice(times=used), deadline))


def code(found: Gate, at: int) -> str:
    reason = found.before_installation(at)
    return reason.code if reason is not None else ""


def test_it_is_waited_for_until_it_comes() -> None:
    found = gate()
    reason = found.before_installation(MONDAY + 8 * HOUR)
    assert reason is not None
    assert (reason.code, reason.until) == ("owner.preferred", MONDAY + 12 * HOUR)
    assert code(found, MONDAY + 12 * HOUR) == ""


def test_not_beyond_what_the_order_leaves_to_the_owner() -> None:
    eight = MONDAY + 8 * HOUR
    assert code(gate(defer_until=MONDAY + 11 * HOUR), eight) == ""
    assert code(gate(defer_until=MONDAY + 20 * HOUR), eight) == "owner.preferred"
    assert code(gate(deadline=MONDAY + 11 * HOUR), eight) == ""
    assert code(gate(defer_max=0), eight) == "", "it may not be put off at all"
    assert code(gate(defer_max=2, used=2), eight) == "", "no deferral is left"
    assert code(gate(defer_max=2, used=1), eight) == "owner.preferred"
    assert wish((), terms(), Choice(), 0) == NO_WISH


def test_what_is_to_happen_everywhere_at_once_or_at_the_stop_does_not_wait_for_it() -> None:
    eight = MONDAY + 8 * HOUR
    assert code(gate(times=Times(switch_at=eight)), eight) == ""
    stopped = gate(times=Times(when=SHUTDOWN))
    assert stopped.before_installation(eight, frozenset({SHUTDOWN})) is None


def test_a_window_in_which_it_never_falls_is_kept_to_and_the_wish_is_not() -> None:
    night = Times(window=calendar.parse("daily 22:00-23:00 utc"))
    assert code(gate(times=night), MONDAY + 8 * HOUR) == "window.shut"
    assert code(gate(times=night), MONDAY + 22 * HOUR) == ""
    both = Times(window=calendar.parse("daily 08:00-18:00 utc"))
    assert code(gate(times=both), MONDAY + 9 * HOUR) == "owner.preferred"


@given(st.integers(0, 120 * HOUR), st.integers(0, 5), st.none() | st.integers(0, 3), st.integers(0, 110))
def test_it_never_keeps_what_may_not_be_put_off_any_more(at: int, used: int, most: int | None, last: int) -> None:
    found = gate(used=used, defer_max=most, defer_until=MONDAY + last * HOUR if last else 0)
    reason = found.before_installation(MONDAY + at)
    if reason is not None:
        assert reason.code == "owner.preferred"
        assert most is None or used < most
        assert MONDAY + at < reason.until < min(MONDAY + 100 * HOUR, MONDAY + last * HOUR if last else MONDAY * 2)


async def test_the_owners_word_holds_at_once_and_over_a_restart(tmp_path: Path, region: Region) -> None:
    later = time.gmtime(time.time() + 2 * 3600)
    window = f"daily {later.tm_hour:02d}:00-{later.tm_hour:02d}:30 utc"
    async with agent_over(tmp_path, region, chunks=HELLO.chunks) as agent:
        told = await agent.owner("owner.prefer", window=window)
        assert told["by"] == "alice"
        await agent.order(region.order("j1", "install", HELLO, life_ms=40 * HOUR))
        await waits(agent, "owner.preferred")
        assert agent.fetcher.fetched, "it is fetched meanwhile"
    async with agent_over(tmp_path, region, chunks=HELLO.chunks) as agent:
        await waits(agent, "owner.preferred")
        assert (await agent.owner("owner.preferred"))["window"] == told["window"]
        (row,) = (await agent.owner("owner.list"))["jobs"]
        assert "prefers" in row["chain"][0]["says"]
        await agent.owner("owner.release", job="j1")
        assert (await agent.ended("j1")).state == "done", "that one need not wait for them"
        await agent.order(region.order("j2", "remove", HELLO, life_ms=40 * HOUR))
        await waits(agent, "owner.preferred")
        await agent.owner("owner.prefer", window="")
        assert (await agent.ended("j2")).state == "done"
        with pytest.raises(UsageError, match="neither held nor deferred"):
            await agent.owner("owner.release", job="j9")


async def waits(agent: Agent, code: str) -> None:
    async with asyncio.timeout(60), agent.post.final:
        await agent.post.final.wait_for(lambda: bool(agent.post.records) and agent.post.records[-1].code == code)


@pytest.mark.parametrize("window", ["sometimes", "daily 12:00-13:00 5MB/s", "never"])
async def test_what_is_no_time_is_refused_and_changes_nothing(agent: Agent, window: str) -> None:
    await agent.owner("owner.prefer", window="daily 12:00-13:00")
    with pytest.raises(UsageError):
        await agent.owner("owner.prefer", window=window)
    assert (await agent.owner("owner.preferred"))["window"] == "daily 12:00-13:00"
