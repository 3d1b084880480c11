"""What an order leaves in the journal: once, whatever it is, and what the region signed last with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from tiercast_endpoint.jobs import former, journal
from tiercast_endpoint.jobs.further import Further
from tiercast_endpoint.jobs.install import INSTALL, Plan, Step
from tiercast_endpoint.jobs.intake import enter
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.orders import Accepted, Refused, Repeated, Stale, Verdict
from tiercast_protocol.content.jobs.order import Order

ORDER = Order(
    region="r",
    epoch=3,
    job="j1",
    revision=1,
    type="install",
    package="app",
    version="2",
    package_revision=1,
    root=b"r" * 32,
    issued=50,
    expires=99,
    targets_root=b"t" * 32,
    target_count=1,
)

RUNS: dict[str, Any] = {"argv": '["/bin/true"]', "idempotent": True}


@pytest.fixture(name="connection")
def _connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(journal.SCHEMA + journal.OPTIONS + journal.ACTIONS + former.SCHEMA)
    yield connection
    connection.close()


def came(connection: sqlite3.Connection, order: Order, **vouched: str) -> tuple[Verdict | Further, Job | None]:
    return enter(connection, order, cause="c1", vouched=vouched, now_ms=60)


def counters(connection: sqlite3.Connection) -> tuple[int, int]:
    return journal.counter(connection, journal.EPOCH), journal.counter(connection, journal.TIME)


def test_what_is_accepted_is_open_and_raises_what_the_region_signed_last(connection: sqlite3.Connection) -> None:
    verdict, job = came(connection, replace(ORDER, options={"priority": 9}), vouched_windows="[]")
    assert isinstance(verdict, Accepted)
    assert job is not None
    assert (job.state, job.cause, job.at, job.finished) == ("ordered", "c1", 60, 0)
    assert job.options == {"priority": 9, "vouched_windows": "[]"}
    assert job.snapshot.step is not Step.END
    assert counters(connection) == (3, 50)
    assert [one.n for one in journal.open_jobs(connection)] == [job.n]


def test_what_is_refused_is_journaled_as_ended_and_raises_nothing(connection: sqlite3.Connection) -> None:
    verdict, job = came(connection, replace(ORDER, expires=59))
    assert isinstance(verdict, Refused)
    assert job is not None
    assert (job.snapshot.step, job.snapshot.outcome) == (Step.END, verdict.outcome)
    assert counters(connection) == (0, 0)


def test_what_comes_again_finds_its_job_and_what_comes_late_none(connection: sqlite3.Connection) -> None:
    _, job = came(connection, replace(ORDER, revision=2))
    verdict, same = came(connection, replace(ORDER, revision=2))
    assert isinstance(verdict, Repeated)
    assert (same and same.n) == (job and job.n)
    verdict, none = came(connection, ORDER)
    assert (verdict, none) == (Stale(), None)
    assert len(journal.open_jobs(connection)) == 1


def test_a_step_moves_the_open_job_on_and_makes_none(connection: sqlite3.Connection) -> None:
    staged: dict[str, Any] = {"two_phase": True, "step": "prepare"}
    came(connection, replace(ORDER, options=staged))
    verdict, moved = came(connection, replace(ORDER, revision=2, issued=55, options=staged | {"step": "commit"}))
    assert verdict == Further("commit")
    assert moved is not None
    assert (moved.revision, moved.answers) == (1, 2)
    assert counters(connection) == (3, 55)
    assert len(journal.open_jobs(connection)) == 1


@pytest.mark.parametrize(
    ("type_", "type_begun", "plan"),
    [("offer", INSTALL, Plan()), ("run", "run", Plan(before=True)), ("reboot", "reboot", Plan(before=True))],
)
def test_each_type_begins_as_what_it_is_carried_out_as(
    connection: sqlite3.Connection, type_: str, type_begun: str, plan: Plan
) -> None:
    _, job = came(connection, replace(ORDER, type=type_, options=RUNS if type_ == "run" else {}))
    assert job is not None
    assert (job.type, job.snapshot.type, job.snapshot.plan) == (type_, type_begun, plan)
