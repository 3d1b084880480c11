"""Who goes next: priority, the share of those behind, floors, and equal turns."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulation.site import Site

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy, Pace
from tiercast_protocol.transfer.turns import SHARE, choose, spare_after

SIZE = 20_000


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5, unique=True))
def test_those_behind_get_their_share_and_no_more(ranks: list[int]) -> None:
    spare, sent = 0.0, Counter[int]()
    for _ in range(3000):
        at, behind, passed = choose(ranks, spare, 1000)
        sent[ranks[at]] += 1000
        spare = spare_after(spare, 1000, behind=behind, passed=passed)
    behind_all = sum(count for rank, count in sent.items() if rank != max(ranks))
    assert behind_all == pytest.approx(SHARE * sum(sent.values()), rel=0.1)


def test_equals_take_turns_from_the_front() -> None:
    assert choose([5, 5, 5], 1e9, 10) == (0, False, False)


def story(policies: dict[str, JobPolicy], *, output: float | None = None, rate: float = 2e6) -> Site:
    """One child wants 100 chunks for each job, all at once."""
    site = Site(["e1"], rate=rate)
    if output is not None:
        site.tell(e.LinkPolicySet("", LinkPolicy(Pace(rate=output))))
    for job, policy in policies.items():
        site.tell(e.JobPolicySet(job, policy))
    return site


def test_the_urgent_job_goes_first_and_the_other_never_starves() -> None:
    site = story({"low": JobPolicy(priority=2), "high": JobPolicy(priority=8)})
    low, high = site.content(200, SIZE), site.content(150, SIZE)
    site.want("e1", low, "low")
    site.want("e1", high, "high", 0.3)
    site.run()
    first, last = (site.frames("e1", high)[at].time for at in (0, -1))
    during = sum(sent.length for sent in site.frames("e1", low) if first < sent.time < last)
    assert first <= 0.4
    assert 0.02 * 150 * SIZE <= during <= 0.1 * 150 * SIZE
    assert site.holds("e1", [*low, *high])


def test_a_floor_is_kept_under_a_higher_priority_and_lent_when_unused() -> None:
    floor = 300_000.0
    site = story({"floor": JobPolicy(Pace(floor=floor), priority=1), "high": JobPolicy(priority=9)}, output=1e6)
    mine, high = site.content(150, SIZE), site.content(150, SIZE)
    site.want("e1", high, "high")
    site.want("e1", mine, "floor", 1.0)
    site.run()
    begin, end = 1.2, site.frames("e1", high)[-1].time
    got = sum(sent.length for sent in site.frames("e1", mine) if begin < sent.time < end) / (end - begin)
    assert floor * 0.95 <= got <= floor * 1.3
    before = sum(sent.length for sent in site.frames("e1", high) if sent.time < 1.0)
    assert before >= 0.9 * 1e6, "the floor was lent while nobody used it"


def test_a_childs_floor_is_kept_under_the_nodes_output() -> None:
    site = Site(["e1", "e2"])
    site.tell(e.LinkPolicySet("", LinkPolicy(Pace(rate=1e6))))
    site.tell(e.LinkPolicySet("e1", LinkPolicy(Pace(floor=200_000.0))))
    site.tell(e.JobPolicySet("low", JobPolicy(priority=1)))
    site.tell(e.JobPolicySet("high", JobPolicy(priority=9)))
    low, high = site.content(60, SIZE), site.content(200, SIZE)
    site.want("e1", low, "low")
    site.want("e2", high, "high")
    site.run()
    got = sum(sent.length for sent in site.frames("e1", low) if 0.2 < sent.time < 3.2) / 3
    assert got >= 190_000


def test_equal_jobs_share_a_lane() -> None:
    site = story({})
    one, two = site.content(150, SIZE), site.content(150, SIZE)
    site.want("e1", one, "one")
    site.want("e1", two, "two")
    site.run()
    middle = site.frames("e1", one)[-1].time / 2
    halves = [sum(sent.length for sent in site.frames("e1", job) if sent.time < middle) for job in (one, two)]
    assert max(halves) <= 1.2 * min(halves)
