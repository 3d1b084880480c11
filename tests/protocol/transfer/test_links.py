"""Links: what parent and child ask for together, kept over sessions."""

from __future__ import annotations

from tiercast_protocol.transfer.jobs import Jobs
from tiercast_protocol.transfer.links import Link
from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy, Pace


def test_of_each_term_the_stricter_holds() -> None:
    link = Link("a")
    link.follow(LinkPolicy(Pace(rate=1000.0, segment=5000, pause=2.0)), 0.0)
    assert link.ask(Pace(rate=4000.0, segment=3000, pause=1.0), 0.0)
    assert link.gates.pace == Pace(rate=1000.0, segment=3000, pause=2.0)
    assert not link.ask(Pace(rate=4000.0, segment=3000, pause=1.0), 0.0)
    link.follow(None, 0.0)
    assert link.rate == 4000.0


def test_a_job_has_its_own_segment_on_each_link() -> None:
    jobs = Jobs()
    link = Link("a")
    assert link.of(jobs.get("plain"), 0.0) is None
    job = jobs.follow("split", JobPolicy(Pace(segment=2000, pause=5.0)), 0.0)
    gates = link.of(job, 0.0)
    assert gates is not None
    gates.all[0].take(2000, 2000, 0.0)
    assert link.of(job, 1.0) is gates, "a new session does not end a pause"
    other = Link("b").of(job, 0.0)
    assert other is not None
    assert other.segment_bytes == 0


def test_shut_and_open() -> None:
    link = Link("a")
    assert not link.shut(0.0)
    link.follow(LinkPolicy(Pace(rate=0.0)), 0.0)
    assert link.shut(0.0)
    link.follow(LinkPolicy(Pace(rate=1000.0)), 0.0)
    assert not link.shut(0.0)


def test_only_like_links_share() -> None:
    one, other = Link("a"), Link("b")
    one.follow(LinkPolicy(Pace(rate=1e6)), 0.0)
    assert one.like(other), "whatever their rates"
    one.follow(LinkPolicy(Pace(segment=5000, pause=2.0)), 0.0)
    assert not one.like(other)
    one.follow(LinkPolicy(adaptive=True), 0.0)
    assert not one.like(other)
    assert one.cap is None
