"""Far links fill and lose little at a cut; stragglers are found in time and hold nobody back."""

from __future__ import annotations

import pytest
from tests.simulation.site import Site

from tiercast_protocol.transfer import events as e
from tiercast_protocol.transfer.policy import JobPolicy, LinkPolicy, Pace

#: 100 Mbit/s, 50 ms one way.
FAR, ONE_WAY = 12.5e6, 0.05
SIZE = 64_000


def test_a_far_link_is_full() -> None:
    site = Site(["e"], rate=FAR, latency=ONE_WAY)
    digests = site.content(3000, SIZE)
    site.want("e", digests)
    end = site.run()
    assert site.holds("e", digests)
    assert site.sent_bytes("e") == len(digests) * SIZE
    assert site.sent_bytes("e") / FAR / end >= 0.95
    link = site.nodes["e"].link
    assert link is not None
    assert link.longest <= 4 << 20, "the broker's queue stays short"


def test_a_far_link_that_is_cut_every_five_seconds_resends_little() -> None:
    site = Site(["e"], rate=FAR, latency=ONE_WAY)
    digests = site.content(3600, SIZE)
    site.want("e", digests)
    for cut in range(1, 5):
        site.world.at(5.0 * cut, site.cut, "e", 0.5)
    end = site.run()
    assert site.holds("e", digests)
    useful = len(digests) * SIZE
    assert useful / FAR / end >= 0.8
    assert site.sent_bytes("e") - useful <= 0.02 * useful


@pytest.mark.parametrize("fanout", ["auto", "multicast", "unicast"])
def test_stragglers_are_demoted_and_the_others_go_on(fanout: str) -> None:
    begin, others = 2.0, [f"e{n}" for n in range(3, 8)]
    ends = {}
    for trouble in (False, True):
        site = Site([f"e{n}" for n in range(8)], rate=100e6, latency=0.001)
        digests = site.content(250, SIZE)
        site.tell(e.LinkPolicySet("", LinkPolicy(Pace(rate=20e6))))
        site.tell(e.JobPolicySet("job", JobPolicy(fanout=fanout)))
        for child in site.nodes:
            site.want(child, digests, "job")
        if trouble:
            site.world.at(begin, site.stop, "e0")
            site.world.at(begin, site.slow, "e1", 25e3)
            site.world.at(begin, site.cut, "e2", 1000.0)
        site.run(until=60.0)
        assert all(site.holds(child, digests) for child in others)
        ends[trouble] = max(sent.time for sent in site.record if sent.child in others)
        if trouble:
            demoted = {change.child: time for time, change in reversed(site.changes) if change.state == "demoted"}
            assert {"e0", "e1"} <= set(demoted)
            assert max(demoted["e0"], demoted["e1"]) <= begin + 0.3
            assert not set(others) & set(demoted)
            longest = [node.link.longest for node in site.nodes.values() if node.link is not None]
            assert sum(longest) <= 32 << 20
    assert ends[True] <= 1.05 * ends[False]


def test_who_was_parked_comes_back() -> None:
    site = Site(["e0", "e1"], rate=5e6)
    digests = site.content(400, SIZE)
    for child in site.nodes:
        site.want(child, digests)
    site.world.at(1.0, site.stop, "e0")
    site.world.at(20.0, site.go_on, "e0")
    site.run(until=120.0)
    assert all(site.holds(child, digests) for child in site.nodes)
    states = [change.state for _, change in site.changes if change.child == "e0"]
    assert states[:3] == ["demoted", "parked", "active"]
