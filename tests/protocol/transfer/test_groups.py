"""What members share: only what every one of them wants whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer.credit import Flow
from tiercast_protocol.transfer.groups import Group, alike, head, wants_alike
from tiercast_protocol.transfer.lanes import Lane
from tiercast_protocol.transfer.pacing import TokenBucket
from tiercast_protocol.transfer.supply import Supply

D = [bytes([n]) * 32 for n in range(5)]


def lane(child: str, rate: float | None = None) -> Lane:
    flow = Flow(0, 1 << 20, 0.0)
    return Lane(child=child, session=1, flow=flow, bucket=TokenBucket(rate), mark=0, answered=0, heard_at=0.0)


def want(one: Lane, digest: bytes, supply: Supply) -> None:
    one.put(digest, None, "first")
    if supply.want(digest, one.child) is not None:
        one.enqueue(digest)


steps = st.tuples(
    st.sampled_from(["add", "remove", "want", "found", "begin"]), st.sampled_from("abc"), st.sampled_from(D)
)


@given(st.lists(steps, max_size=50))
def test_shared_or_on_every_members_own_lane(story: list[tuple[str, str, bytes]]) -> None:
    supply, group = Supply(), Group(1)
    lanes = {child: lane(child) for child in "abc"}
    for step, child, digest in story:
        one = lanes[child]
        match step:
            case "add" if one.group is None:
                group.add(one, supply)
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
            case "begin" if digest in group.shared:
                group.shared[digest] = [(50, 100)]
        for other in lanes.values():
            for wanted in other.wanted:
                chunk = supply.get(wanted)
                assert chunk is not None
                shared = wanted in group.shared and other.group is not None
                own = wanted in other.sendable or wanted in other.urgent
                assert (shared + own) == (chunk.size is not None), "in one queue once it is at hand"
        for shared_digest in group.shared:
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
        group.add(one, supply)
    assert list(group.shared) == [D[0]]
    group.shared[D[0]] = [(60, 100)]
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
    supply, one, other = Supply(), lane("a"), lane("b")
    many = [n.to_bytes(32) for n in range(40)]
    for digest in many:
        want(one, digest, supply)
    first = head(one.wanted, supply)
    assert first == many, "what is not at hand is guessed at 32 KiB"
    assert head(many[:31], supply) == []
    for digest in many[20:]:
        want(other, digest, supply)
    assert wants_alike(other, first)
    other.wanted.pop(many[31])
    assert not wants_alike(other, first)
