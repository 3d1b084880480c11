"""Orders of a step at one machine: they move the open job on, once, whatever comes twice, late or to nobody."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tiercast_endpoint.jobs import endings, former, journal
from tiercast_endpoint.jobs.further import Further, take
from tiercast_endpoint.jobs.install import Outcome, Snapshot
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.orders import Accepted, Refused, Stale
from tiercast_protocol.content.jobs.order import Order

ORDER = Order(
    region="r", epoch=1, job="j1", revision=2, type="install", package="app", version="2", package_revision=1,
    root=b"r" * 32, issued=1, expires=99, targets_root=b"t" * 32, target_count=1,
    options={"two_phase": True, "step": "commit"},
)  # fmt: skip
JOB = Job(
    "j1", 1, "install", "app", "2", 1, b"r" * 32, 1, 99, "c", "staged", 1, snapshot=Snapshot("install", phase="prepare")
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(journal.SCHEMA + journal.OPTIONS + journal.ACTIONS + former.SCHEMA)
    yield connection
    connection.close()


def step(step: str, revision: int = 2) -> Order:
    return Order(**{f: getattr(ORDER, f) for f in ORDER.__struct_fields__} | {
        "revision": revision, "options": {"two_phase": True, "step": step}
    })  # fmt: skip


def test_the_open_job_goes_on_and_answers_for_the_later_revision(connection: sqlite3.Connection) -> None:
    journal.add_job(connection, JOB)
    told, job = take(connection, ORDER, Accepted())
    assert (told, job and job.told_revision) == (Further("commit"), 2)
    assert journal.newest_revision(connection, "j1") == 2
    found = journal.job_at(connection, "j1", 2)
    assert found is not None
    assert (found.revision, found.told_revision, found.ordered) == (1, 2, "commit")
    assert found.record("pc").revision == 2
    assert take(connection, step("undo", 3), Accepted())[0] == Further("undo")
    assert take(connection, step("accept", 4), Accepted())[0] == Further("undo"), "nobody goes on after an undo"
    assert take(connection, step("accept", 5), Refused(Outcome("expired", "order.expired")))[0] == Stale()


def test_what_has_ended_says_again_how(connection: sqlite3.Connection) -> None:
    job = journal.add_job(connection, JOB)
    ended = replace(job, state="failed", code="disk.full", detail="Full.", finished=7)
    journal.save_final(connection, ended, lambda _job: (b"r", b"s"))
    assert take(connection, ORDER, Accepted()) == (Refused(Outcome("failed", "disk.full", "Full.")), None)


def test_a_word_that_comes_while_it_ends_is_answered_too(connection: sqlite3.Connection) -> None:
    job = journal.add_job(connection, JOB)
    take(connection, ORDER, Accepted())
    ended = journal.save_final(
        connection, replace(job, state="done", finished=7), lambda one: (b"", one.ordered.encode())
    )
    assert (ended.told_revision, ended.signature) == (2, b"commit")


def test_a_cancel_that_came_first_stays(connection: sqlite3.Connection) -> None:
    journal.add_job(connection, replace(JOB, type="cancel", snapshot=Snapshot("cancel")))
    assert take(connection, ORDER, Accepted()) == (Refused(endings.UNTOUCHED), None)


def test_what_never_came_is_carried_out_or_given_up(connection: sqlite3.Connection) -> None:
    assert take(connection, ORDER, Accepted()) == (Accepted(), None)
    assert take(connection, step("undo"), Accepted()) == (Refused(endings.GIVEN_UP), None)
    late = Refused(Outcome("expired", "order.expired"))
    assert take(connection, ORDER, late) == (late, None)
