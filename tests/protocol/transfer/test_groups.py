"""What members share: only what every one of them wants whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.groups import Group, Shared, alike, head, share_most
from tiercast_protocol.transfer.jobs import Job
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.links import Link
from tiercast_protocol.transfer.policy import LinkPolicy, Pace
from tiercast_protocol.transfer.queues import Queue
from tiercast_protocol.transfer.supply import Supply

JOB = Job("")
D = [bytes([n]) * 32 for n in range(5)]


def lane(child: str, rate: float | None = None) -> Lane:
    flow = Flow(0, 1 << 20, 0.0)
    link = Link(child)
    link.follow(LinkPolicy(Pace(rate=rate)), 0.0)
    one = Lane(child=child, session=1, flow=flow, link=link, mark=0, answered=0, heard_at=0.0)
    one.queues[""] = Queue(JOB)
    return one


def shared(group: Group) -> Shared:
    return group.jobs.get("", Shared())


def want(one: Lane, digest: bytes, supply: Supply) -> None:
    one.put(digest, None, "first", one.queues[""])
    if supply.want(digest, one.child, JOB) is not None:
        one.enqueue(digest)


steps = st.tuples(
    st.sampled_from(["add", "invite", "pause", "remove", "want", "found", "begin"]),
    st.sampled_from("abc"),
    st.sampled_from(D),
)


@given(st.lists(steps, max_size=50))
def test_shared_or_on_every_members_own_lane(story: list[tuple[str, str, bytes]]) -> None:
    supply, group = Supply(), Group(1)
    lanes = {child: lane(child) for child in "abc"}
    for step, child, digest in story:
        one = lanes[child]
        match step:
            case "add" if one.group is None:
                group.add(one)
                group.open(supply)
            case "invite" if one.group is None and child not in group.arrived:
                group.invited[child] = 0.0
            case "pause":
                group.pause()
            case "remove":
                group.remove(one, supply)
            case "want" if digest not in one.wanted:
                want(one, digest, supply)
                if one.group is not None:
                    group.share(digest, supply)
            case "found" if supply.found(digest, 100) is not None:
                for other in lanes.values():
                    if digest in other.wanted:
                        other.enqueue(digest)
                group.share(digest, supply)
            case "begin" if digest in shared(group):
                shared(group)[digest] = [(50, 100)]
        for other in lanes.values():
            for wanted in other.wanted:
                chunk = supply.get(wanted)
                assert chunk is not None
                together = wanted in shared(group) and other.group is not None
                queue = other.queues[""]
                own = wanted in queue.sendable or wanted in queue.urgent
                assert (together + own) == (chunk.size is not None), "in one queue once it is at hand"
        for shared_digest in shared(group):
            assert len(group.members) >= 2
            assert all(shared_digest in member.wanted for member in group.members.values())


def test_what_was_begun_together_is_finished_alone() -> None:
    supply, group = Supply(), Group(1)
    a, b = lane("a"), lane("b")
    for one in (a, b):
        want(one, D[0], supply)
    supply.found(D[0], 100)
    for one in (a, b):
        one.enqueue(D[0])
        group.add(one)
    group.open(supply)
    assert list(shared(group)) == [D[0]]
    shared(group)[D[0]] = [(60, 100)]
    group.remove(a, supply)
    assert a.wanted[D[0]].spans == b.wanted[D[0]].spans == [(60, 100)]
    assert a.wanted[D[0]].spans is not b.wanted[D[0]].spans


def test_like_speed() -> None:
    assert alike(lane("a"), lane("b"))
    assert alike(lane("a", 100.0), lane("b", 200.0))
    assert not alike(lane("a", 100.0), lane("b", 201.0))
    assert not alike(lane("a", 100.0), lane("b"))
    fast, slow = lane("a"), lane("b")
    fast.flow.rate, slow.flow.rate = 500.0, 100.0
    assert not alike(fast, slow)


def test_worth_a_group() -> None:
    supply, one = Supply(), lane("a")
    many = [n.to_bytes(32) for n in range(40)]
    for digest in many:
        want(one, digest, supply)
    assert head(one.wanted, supply) == many, "what is not at hand is guessed at 32 KiB"
    assert head(many[:31], supply) == []


def test_like_wishes() -> None:
    """Whoever is a few frames behind wants nearly all of it; who is far behind would leave nothing to share."""
    supply, one, other = Supply(), lane("a"), lane("b")
    many = [n.to_bytes(32) for n in range(60)]
    assert not share_most(one, other, "")
    for digest in many[:40]:
        want(one, digest, supply)
    for digest in many[10:50]:
        want(other, digest, supply)
    assert share_most(one, other, "")
    assert share_most(other, one, "")
    assert not share_most(one, other, "another job")
    other.forget(many[10])
    want(other, many[50], supply)
    assert not share_most(one, other, "")


def test_a_newcomer_leaves_shared_what_he_wants_too() -> None:
    supply, group = Supply(), Group(1)
    a, b, late = lane("a"), lane("b"), lane("late")
    for one in (a, b, late):
        for digest in D if one is not late else D[2:]:
            want(one, digest, supply)
    for digest in D:
        supply.found(digest, 100)
        for one in (a, b, late):
            if digest in one.wanted:
                one.enqueue(digest)
    for one in (a, b):
        group.add(one)
    group.open(supply)
    assert list(shared(group)) == D
    group.invited["late"] = 0.0
    group.add(late)
    group.open(supply)
    assert list(shared(group)) == D[2:]
    assert list(a.queues[""].sendable) == list(b.queues[""].sendable) == D[:2]
    assert not late.queues[""].sendable
    group.pause()
    assert list(a.queues[""].sendable) == D, "in the order in which they were asked for"
