"""What was said, the time and what is spent become policies and suspensions, each with its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tiercast_gateway.steering.desired import OUTPUT, Budget, Desired, JobTerms, LinkTerms, changes, desired
from tiercast_gateway.steering.holds import Hold
from tiercast_protocol.content.jobs.reason import freed, todo, words
from tiercast_protocol.transfer import calendar
from tiercast_protocol.transfer import events as t
from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy, Pace

#: A Saturday by this machine's clock.
NOON = datetime(2026, 11, 21, 12).timestamp()  # noqa: DTZ001 - local windows are local
AFTERNOON = calendar.parse("daily 13:00-14:00 at 2000")


def state(wall: float = NOON, **said: Any) -> Desired:
    usual: dict[str, Any] = {"links": {}, "jobs": {}, "holds": (), "children": ("mid", "pc")}
    return desired(**usual | said, wall=wall)


def test_a_window_shuts_a_link_and_a_job_and_opens_them_at_its_rate() -> None:
    said: dict[str, Any] = {
        "links": {"pc": LinkTerms(Pace(rate=5000, floor=100), AFTERNOON)},
        "jobs": {"j1": JobTerms(JobPolicy(Pace(rate=1000)), AFTERNOON)},
    }
    shut = state(**said)
    assert shut.links["pc"].pace == Pace(rate=0.0)
    assert shut.shut["pc"].code == "window.shut"
    assert "13:00" in words(shut.shut["pc"])
    assert ("j1", None) in shut.silent
    opened = state(NOON + 3600, **said)
    assert opened.links["pc"].pace == Pace(rate=2000, floor=100)
    assert opened.jobs["j1"].pace.rate == 1000
    assert not opened.shut
    assert not opened.silent
    assert changes(shut, opened) == [
        t.LinkPolicySet("pc", LinkPolicy(Pace(rate=2000, floor=100))),
        t.JobResumed("j1", None),
    ]


def test_nothing_of_a_job_goes_before_its_distribution_time() -> None:
    early = state(jobs={"j1": JobTerms(JobPolicy(Pace(rate=1000)), begins=NOON + 60)})
    why = early.why("pc", "j1")
    assert why is not None
    assert why.code == "time.distribute"
    later = state(NOON + 60, jobs={"j1": JobTerms(JobPolicy(Pace(rate=1000)), begins=NOON + 60)})
    assert changes(early, later) == [t.JobResumed("j1", None)]


def test_what_is_spent_shuts() -> None:
    used = Budget("day", bytes=1000, used_bytes=1000)
    found = state(
        links={"pc": LinkTerms(budget=Budget("month", seconds=60, used_seconds=61)), OUTPUT: LinkTerms()},
        jobs={"j1": JobTerms(budgets={"mid": used, "pc": replace(used, used_bytes=999)})},
    )
    assert found.links["pc"].pace.rate == 0.0
    assert "61 of 60 s per month" in words(found.shut["pc"])
    assert set(found.silent) == {("j1", "mid")}
    why = found.why("mid", "j1")
    assert why is not None
    assert "1,000 of 1,000 bytes per day" in words(why)
    for budget, command, then in (
        (Budget("job", bytes=1, used_bytes=1), "tiercast job set JOB --budget SIZE", "the budget is raised"),
        (
            Budget("day", bytes=1, used_bytes=1, ends=86_400_000, whose="link"),
            "tiercast link set pc --node low",
            "it is 1970",
        ),
        (
            Budget("day", bytes=1, used_bytes=1, whose="output"),
            "tiercast link set --output --node low",
            "the next period",
        ),
    ):
        assert budget.reason is not None
        spent = budget.reason.at(node="low", peer="pc")
        assert todo(spent).startswith(command)
        assert freed(spent).startswith(then)
    assert found.why("mid", "j2") is None


def test_metered_by_whoever_said_so_but_for_who_may() -> None:
    for terms, metered in (
        (LinkTerms(metered=True), True),
        (LinkTerms(child_says=1), True),
        (LinkTerms(metered=False, child_says=1), False),
        (LinkTerms(metered=True, child_says=2), False),
        (LinkTerms(), False),
    ):
        found = state(links={"pc": terms}, jobs={"j1": JobTerms(), "j2": JobTerms(JobPolicy(metered=True))})
        assert found.links["pc"].metered is metered
        assert (found.why("pc", "j1") is not None) is metered
        assert found.why("pc", "j2") is None


def test_suspensions_cover_links_and_jobs_but_what_passes_them() -> None:
    found = state(
        holds=[Hold(by="anna@top", until=int((NOON + 3600) * 1000)), Hold("j1", ""), Hold("j2", "pc")],
        jobs={"j3": JobTerms(JobPolicy(pass_suspended=True))},
    )
    assert set(found.lanes) == {"mid", "pc"}
    assert set(found.silent) == {("j1", None), ("j2", "pc")}
    why = found.why("pc", "j9")
    assert why is not None
    assert "anna@top" in words(why)
    assert "13:00" in words(why)
    assert found.why("pc", "j3") is None


terms_ = st.builds(LinkTerms, pace=st.builds(Pace, rate=st.none() | st.just(5000.0)), child_says=st.integers(0, 2))
holds_ = st.builds(Hold, st.sampled_from(["", "j1"]), st.sampled_from(["", "mid", "pc"]), link=st.booleans())
states = st.builds(
    lambda links, jobs, holds: state(links=links, jobs=jobs, holds=holds),
    st.dictionaries(st.sampled_from(["", "mid", "pc"]), terms_),
    st.dictionaries(st.sampled_from(["j1", "j2"]), st.builds(JobTerms)),
    st.lists(holds_, max_size=3),
)


@given(states, states)
def test_the_events_lead_from_one_state_to_the_other_and_back(one: Desired, other: Desired) -> None:
    for before, after in ((one, other), (other, one), (Desired(), one), (one, Desired())):
        lanes, silent = set(before.lanes), set(before.silent)
        links, jobs = dict(before.links), dict(before.jobs)
        for event in changes(before, after):
            match event:
                case t.LaneSuspended(child):
                    lanes.add(child)
                case t.LaneResumed(child):
                    lanes.remove(child)
                case t.JobSuspended(job, child):
                    silent.add((job, child))
                case t.JobResumed(job, child):
                    silent.remove((job, child))
                case t.LinkPolicySet(child, policy):
                    links.pop(child, None)
                    links |= {child: policy} if policy else {}
                case t.JobPolicySet(job, policy_):
                    jobs.pop(job, None)
                    jobs |= {job: policy_} if policy_ else {}
        assert (lanes, silent, links, jobs) == (set(after.lanes), set(after.silent), after.links, after.jobs)
    assert changes(one, one) == []
