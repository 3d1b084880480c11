"""A chunk that two jobs want goes for the one that may: no job's window or suspension holds up another's content."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.site import Site

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.policy import JobPolicy, Pace

SIZE = 20_000


@pytest.mark.parametrize("late", [False, True])
def test_what_another_job_wants_comes_though_the_first_is_shut(late: bool) -> None:
    site = Site(["e1"], rate=2e6)
    digests = site.content(40, SIZE)
    if not late:
        site.tell(e.JobSuspended("shut", None))
    site.want("e1", digests, "shut")
    site.tell(e.JobSuspended("shut", None), 0.1)
    site.want("e1", digests, "open", at=0.3)
    site.run(until=60.0)
    assert site.holds("e1", digests)
    assert site.frames("e1", digests)[-1].time < 2.0


def test_it_goes_on_for_whichever_is_open() -> None:
    site = Site(["e1"], rate=2e6)
    digests = site.content(200, SIZE)
    site.tell(e.JobSuspended("one", None))
    site.want("e1", digests, "one")
    site.want("e1", digests, "two")
    site.tell(e.JobSuspended("two", None), 0.4)
    site.tell(e.JobResumed("one", None), 3.0)
    site.run(until=60.0)
    times = [sent.time for sent in site.frames("e1", digests)]
    assert min(times) < 0.4
    assert not [time for time in times if 0.5 < time < 3.0], "both are shut"
    assert site.holds("e1", digests)


def test_one_without_terms_is_not_slowed_by_one_that_has() -> None:
    site = Site(["e1"], rate=2e6)
    digests = site.content(40, SIZE)
    site.tell(e.JobPolicySet("slow", JobPolicy(Pace(rate=2000.0))))
    site.want("e1", digests, "slow")
    site.want("e1", digests, "quick", at=0.2)
    site.run(until=60.0)
    assert site.frames("e1", digests)[-1].time < 3.0


words = st.lists(
    st.tuples(st.sampled_from(["one", "two", "three"]), st.booleans(), st.sampled_from(["e1", None])), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(words)
def test_however_they_are_shut_and_opened_what_is_open_in_the_end_comes(story: list[tuple[str, bool, str]]) -> None:
    site = Site(["e1", "e2"], rate=2e6)
    digests = site.content(60, SIZE)
    for n, job in enumerate(("one", "two", "three")):
        for child in ("e1", "e2"):
            site.want(child, digests, job, at=0.05 * n)
    for n, (job, shut, child) in enumerate(story):
        site.tell(e.JobSuspended(job, child) if shut else e.JobResumed(job, child), 0.02 + 0.03 * n)
    for child in (None, "e1"):
        site.tell(e.JobResumed("two", child), 2.0)
    site.run(until=60.0)
    for child in ("e1", "e2"):
        assert site.holds(child, digests)
