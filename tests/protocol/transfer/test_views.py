"""Every job that waits says why."""

from __future__ import annotations

import pytest
from tests.simulation.site import Site

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer import gates, views
from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy, Pace
from tiercast_protocol.transfer.queues import JobBytes
from tiercast_protocol.transfer.sender import Sender
from tiercast_protocol.wire.messages import Report

D = [n.to_bytes(32) for n in range(20)]
SIZE = 20_000


def asked(*events: e.SenderEvent, window: int = 1 << 20, found: bool = True) -> views.JobView:
    sender = Sender()
    for event in events:
        sender.handle(event, now=0.0)
    wants = Report(session=1, received=0, window=window, wants=b"".join(D), jobs=[("job", len(D))])
    out = sender.handle(e.ReportReceived("a", wants), now=0.0)
    for digest in D if found else ():
        out += sender.handle(e.ChunkAvailable(digest, SIZE), now=0.0)
    while frames := [command.frame for command in out if isinstance(command, e.PublishFrame)]:
        out = [command for frame in frames for command in sender.handle(e.FramePublished(frame), now=0.0)]
    (lane,) = sender.lanes()
    (job,) = lane.jobs
    return job


JOB = JobPolicy(Pace())


@pytest.mark.parametrize(
    ("event", "reason", "until"),
    [
        (e.JobPolicySet("job", JobPolicy(Pace(segment=50_000, pause=9.0))), gates.SEGMENT_PAUSE, 9.0),
        (e.JobPolicySet("job", JobPolicy(Pace(frames=2, frame_pause=3.0))), gates.INTERVAL_PAUSE, 3.0),
        (e.JobPolicySet("job", JobPolicy(Pace(budget=30_000))), gates.SPENT, None),
        (e.LinkPolicySet("a", LinkPolicy(Pace(rate=0.0))), gates.SHUT, None),
        (e.LinkPolicySet("", LinkPolicy(Pace(rate=0.0))), gates.SHUT, None),
        (e.LinkPolicySet("a", LinkPolicy(metered=True)), views.METERED, None),
        (e.JobSuspended("job", None), views.SUSPENDED, None),
        (e.LaneSuspended("a"), views.SUSPENDED, None),
    ],
)
def test_the_reason_is_the_term_that_holds(event: e.SenderEvent, reason: str, until: float | None) -> None:
    job = asked(event)
    assert (job.state, job.reason, job.until) == ("waiting", reason, until)


def test_a_rate_says_until_when() -> None:
    job = asked(e.LinkPolicySet("a", LinkPolicy(Pace(rate=100_000.0))))
    assert job.reason == gates.RATE
    assert job.until is not None
    assert job.until > 0


def test_credit_and_chunks_from_above_are_waited_for() -> None:
    assert asked(window=50_000).reason == views.CREDIT
    assert asked(found=False).reason == views.FROM_ABOVE


def test_segments_and_bytes_are_counted_by_job() -> None:
    job = asked(e.JobPolicySet("job", JobPolicy(Pace(segment=50_000, pause=9.0))))
    assert job.sent == JobBytes(first=50_000, frames=job.sent.frames, segments=1, segment_bytes=50_000)
    assert job.segment == 50_000
    assert job.queued == len(D) - 2


def test_who_stands_behind_says_so() -> None:
    site = Site(["e1"], rate=1e6)
    site.tell(e.JobPolicySet("high", JobPolicy(priority=9)))
    low, high = site.content(100, SIZE), site.content(100, SIZE)
    site.want("e1", low, "low")
    site.want("e1", high, "high")
    found: set[str] = set()

    def look() -> None:
        found.update(view.reason for lane in site.server_lanes() for view in lane.jobs if view.job == "low")

    for n in range(1, 40):
        site.world.at(0.05 * n, look)
    site.run()
    assert found & {views.PRIORITY, views.CREDIT}
    (lane,) = site.server_lanes()
    assert {view.state for view in lane.jobs} == {"done"}
