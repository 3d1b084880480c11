"""The journal's rows: what is written is read back, and counters only grow."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tiercast_endpoint.jobs import former
from tiercast_endpoint.jobs import journal as j
from tiercast_endpoint.jobs.install import Outcome, Plan, Snapshot, Step
from tiercast_endpoint.trees import holdings
from tiercast_protocol.content.jobs.receipt import ProgramResult

JOB = j.Job("j1", 1, "install", "hello", "1.0", 1, b"r" * 32, 1, 2, "cause", "ordered", 3, options={"force": True})


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(j.SCHEMA + j.OPTIONS + j.ACTIONS + former.SCHEMA + holdings.SCHEMA)
    yield connection
    connection.close()


def test_a_job_comes_back_as_it_was(db: sqlite3.Connection) -> None:
    job = j.add_job(db, JOB)
    assert j.job_at(db, "j1", 1) == job
    snapshot = Snapshot("install", Step.AFTER, Plan(before=False, after=True), outcome=Outcome("failed", "c", "d"))
    ran = ProgramResult(argv=["./x"], exit=3, timed_out=False, seconds=1.5, output="out")
    job = replace(job, snapshot=snapshot, programs=(ran,), tree=".trees/hello/x", made=True, started=9)
    j.save_step(db, job)
    assert j.job_at(db, "j1", 1) == job
    j.set_running(db, job.n, "1:2")
    j.set_previous(db, job.n, "")
    j.save_step(db, job)
    found = j.job_at(db, "j1", 1)
    assert found is not None
    assert (found.running, found.previous) == ("1:2", ""), "a snapshot does not overwrite what the steps wrote"


def test_a_job_has_one_outcome_and_one_receipt(db: sqlite3.Connection) -> None:
    job = j.add_job(db, JOB)
    done = replace(job, state="done", finished=5)
    first = j.save_final(db, done, lambda one: (b"receipt %d" % one.seq, b"s"))
    again = j.save_final(db, replace(done, state="failed"), lambda _: (b"another", b"s"))
    assert first.receipt == again.receipt == b"receipt 1"
    assert again.state == "done"
    assert [one.job for one in j.unreported(db)] == ["j1"]
    j.set_reported(db, job.n)
    assert j.unreported(db) == []
    assert j.open_jobs(db) == []


def test_open_jobs_come_in_order_of_arrival(db: sqlite3.Connection) -> None:
    for name in ("b", "a", "c"):
        j.add_job(db, replace(JOB, job=name))
    assert [one.job for one in j.open_jobs(db)] == ["b", "a", "c"]
    assert [one.job for one in j.latest_jobs(db, 2)] == ["c", "a"]
    j.add_job(db, replace(JOB, job="a", revision=2))
    assert j.newest_revision(db, "a") == 2
    assert j.newest_revision(db, "none") == 0
    assert [one.revision for one in j.revisions(db, "a")] == [1, 2]
    with pytest.raises(sqlite3.IntegrityError):
        j.add_job(db, replace(JOB, job="a", revision=2))


def test_counters_only_grow(db: sqlite3.Connection) -> None:
    assert [j.next_seq(db) for _ in range(3)] == [1, 2, 3]
    j.raise_counter(db, j.EPOCH, 5)
    j.raise_counter(db, j.EPOCH, 3)
    assert j.counter(db, j.EPOCH) == 5
    assert j.counter(db, "unknown") == 0


def test_what_could_be_replayed_is_kept(db: sqlite3.Connection) -> None:
    job = j.save_final(db, replace(j.add_job(db, JOB), finished=5, state="done"), lambda _: (b"r", b"s"))
    assert j.prune_jobs(db, j.KEEP_MS + 10) == 0, "not reported yet"
    j.set_reported(db, job.n)
    assert j.prune_jobs(db, j.KEEP_MS) == 0
    row = holdings.Installed("hello", "1", 1, b"", "t", "", job.job, 1)
    holdings.set_installed(db, row)
    assert j.prune_jobs(db, j.KEEP_MS + 10) == 0, "what is installed is asked what it needs"
    holdings.unset_installed(db, "hello")
    assert j.prune_jobs(db, j.KEEP_MS + 10) == 1


def test_what_was_observed_is_the_longest_of_the_last_installations(db: sqlite3.Connection) -> None:
    assert j.observed_s(db, "hello") == 0.0
    for number, seconds in enumerate((90.0, 1.0, 4.0, 2.0, 3.0, 2.5)):
        ran = [ProgramResult(argv=["x"], exit=0, timed_out=False, seconds=part, output="") for part in (seconds, 0.5)]
        job = j.add_job(db, replace(JOB, job=f"j{number}", programs=tuple(ran)))
        j.save_final(db, replace(job, state="done", finished=5), lambda _: (b"r", b"s"))
    assert j.observed_s(db, "hello") == 4.5
    assert j.observed_s(db, "other") == 0.0


def test_the_trees_of_open_jobs_are_known(db: sqlite3.Connection) -> None:
    mine, other, ended = (j.add_job(db, replace(JOB, job=name)) for name in ("a", "b", "c"))
    for job in (mine, other, ended):
        j.set_tree(db, job.n, f".trees/hello/{job.job}")
    j.save_final(db, replace(ended, state="done", finished=5), lambda _: (b"r", b"s"))
    assert j.trees_of_others(db, "hello", mine.n) == {".trees/hello/b"}
    assert j.trees_of_others(db, "else", mine.n) == set()
