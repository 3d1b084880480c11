"""Jobs as the sender knows them."""

from __future__ import annotations

from tiercast_protocol.transfer.jobs import LONGEST_NAME, MOST_UNKNOWN, Jobs
from tiercast_protocol.transfer.policy import JobPolicy, Pace


def test_turns_need_no_comparing_while_all_are_alike() -> None:
    jobs = Jobs()
    assert jobs.flat
    jobs.follow("a", JobPolicy(fanout="unicast"), 0.0)
    assert jobs.flat
    jobs.follow("b", JobPolicy(priority=7), 0.0)
    assert not jobs.flat
    jobs.follow("b", JobPolicy(Pace(floor=5000.0)), 0.0)
    assert not jobs.flat
    jobs.follow("b", None, 0.0)
    assert jobs.flat


def test_what_holds_over_all_lanes_and_what_on_each() -> None:
    job = Jobs().follow("a", JobPolicy(Pace(rate=9000.0, segment=5000, pause=2.0, budget=7)), 0.0)
    assert len(job.gates.all) == 1
    assert job.terms == Pace(segment=5000, pause=2.0, budget=7)


def test_two_suspensions_are_taken_back_one_by_one() -> None:
    jobs = Jobs()
    job = jobs.suspend("a", None, silent=True)
    jobs.suspend("a", "child", silent=True)
    jobs.suspend("a", None, silent=False)
    assert job.silent("child")
    assert not job.silent("other")
    jobs.suspend("a", "child", silent=False)
    assert not job.silent("child")


def test_names_of_children_fill_no_memory() -> None:
    jobs = Jobs()
    jobs.follow("known", JobPolicy(), 0.0)
    for n in range(MOST_UNKNOWN + 500):
        jobs.get(f"made up {n}")
    assert len(jobs) <= MOST_UNKNOWN + 3
    assert jobs.get("one more").name == ""
    assert jobs.get("x" * (LONGEST_NAME + 1)).name == ""
    assert jobs.get("known").name == "known"
    jobs.prune({"made up 7"})
    assert len(jobs) == 3
