"""What is said of jobs and links acts at once, and on nobody else."""

from __future__ import annotations

from tests.simulation.site import Site

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy, Pace
from tiercast_protocol.transfer.settings import MOST_JOBS

SIZE = 20_000
#: One frame time, and the way into the broker.
SOON = 0.06


def test_a_shut_window_is_silent_within_a_frame_and_opens_again() -> None:
    site = Site(["e1", "e2"], rate=2e6)
    digests = site.content(400, SIZE)
    for child in ("e1", "e2"):
        site.want(child, digests)
    site.tell(e.LinkPolicySet("e1", LinkPolicy(Pace(rate=0.0))), 1.0)
    site.tell(e.LinkPolicySet("e1", None), 10.0)
    site.run()
    times = [sent.time for sent in site.record if sent.child == "e1"]
    assert not [time for time in times if 1.0 + SOON < time < 10.0]
    assert min(time for time in times if time > 1.0 + SOON) <= 10.0 + SOON
    assert max(sent.time for sent in site.record if sent.child == "e2") < 9.0, "nobody else waited"


def test_a_suspended_host_is_passed_by_jobs_that_may() -> None:
    site = Site(["e1"])
    plain, urgent = site.content(20, SIZE), site.content(20, SIZE)
    site.tell(e.JobPolicySet("urgent", JobPolicy(pass_suspended=True)))
    site.tell(e.LaneSuspended("e1"))
    site.want("e1", plain, "plain")
    site.want("e1", urgent, "urgent")
    site.tell(e.LaneResumed("e1"), 5.0)
    site.run()
    assert site.frames("e1", urgent)[-1].time < 1.0
    assert site.frames("e1", plain)[0].time >= 5.0


def test_one_suspension_of_a_job_is_for_one_child() -> None:
    site = Site(["e1", "e2"])
    digests = site.content(100, SIZE)
    site.tell(e.JobSuspended("job", "e1"))
    for child in ("e1", "e2"):
        site.want(child, digests, "job")
    site.tell(e.JobResumed("job", "e1"), 5.0)
    site.run()
    assert site.frames("e1", digests)[0].time >= 5.0
    assert site.frames("e2", digests)[-1].time < 2.0


def test_a_jobs_pause_belongs_to_the_others_and_a_links_to_nobody() -> None:
    for link in (False, True):
        site = Site(["e1"])
        pace = Pace(segment=100_000, pause=3.0)
        split, other = site.content(20, SIZE), site.content(40, SIZE)
        if link:
            site.tell(e.LinkPolicySet("e1", LinkPolicy(pace)))
        else:
            site.tell(e.JobPolicySet("split", JobPolicy(pace)))
        site.want("e1", split, "split")
        site.want("e1", other, "other")
        site.run()
        assert (site.frames("e1", other)[-1].time < 1.0) != link
        assert site.holds("e1", [*split, *other])


def test_the_stricter_of_parents_and_childs_terms_holds() -> None:
    site = Site(["e1"])
    digests = site.content(20, SIZE)
    site.tell(e.LinkPolicySet("e1", LinkPolicy(Pace(segment=200_000, pause=1.0))))
    site.world.at(0.0, site.nodes["e1"].tell_receiver, e.ChildTermsSet(segment=100_000, pause=2.0))
    site.want("e1", digests, at=0.1)
    end = site.run()
    assert 6.0 <= end <= 7.0


def test_so_many_jobs_fill_no_memory() -> None:
    site = Site(["e1"])
    digests = site.content(3 * MOST_JOBS, 1000)
    for n, digest in enumerate(digests):
        site.want("e1", [digest], f"job {n}", n * 0.01)
    site.run()
    (lane,) = site.server_lanes()
    assert len(lane.jobs) <= MOST_JOBS
    assert lane.sent.first == len(digests) * 1000, "the sum is kept"
