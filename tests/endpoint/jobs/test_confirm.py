"""Confirmation on virtual time: an outage of the site undoes nothing, and what is broken goes back in time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_endpoint.jobs.confirm import Confirm, Confirmed, Count, GoBack, Keep, Tried, TryAt
from tiercast_protocol.content.package.confirmed import Confirmation

TERMS = Confirmation(("/bin/true",), within_s=600, every_s=30)
NEEDS = replace(TERMS, needs_gateway=True, outage_s=86_400)
MINUTE = 60_000
UP, DOWN = Tried(ok=True), Tried(ok=True, connected=False, reachable=False)


def live(terms: Confirmation, seen: object, *, until: int, count: Count | None = None) -> tuple[str, int, Confirm]:
    """How it ends on virtual time: what is seen at each moment is `seen(now)`; "" where it has not by `until`."""
    now, machine = 0, Confirm(terms, count, now=0)
    while now < until:
        *kept, last = machine.handle(seen(now), now=now)  # type: ignore[operator]
        assert all(isinstance(one, Keep) for one in kept)
        if not isinstance(last, TryAt):
            return type(last).__name__, now, machine
        assert last.at > now
        now = last.at
    return "", now, machine


def test_a_healthy_one_is_confirmed_at_once() -> None:
    assert live(TERMS, lambda _now: UP, until=MINUTE)[:2] == ("Confirmed", 0)


def test_a_gateway_that_is_down_for_20_minutes_undoes_nothing() -> None:
    ended, now, machine = live(NEEDS, lambda now: DOWN if now < 20 * MINUTE else UP, until=60 * MINUTE)
    assert (ended, now) == ("Confirmed", 20 * MINUTE)
    assert machine.count.spent <= NEEDS.every_s * 1000
    assert live(TERMS, lambda _now: DOWN, until=MINUTE)[0] == "Confirmed", "where none is needed none is asked for"


def test_any_authenticated_parent_does_but_an_answering_port_alone_does_not() -> None:
    answers = Tried(ok=True, connected=False, reachable=True)
    ended, now, _ = live(NEEDS, lambda _now: answers, until=60 * MINUTE)
    assert (ended, now) == ("GoBack", 10 * MINUTE)


def test_a_network_that_the_package_broke_is_no_outage() -> None:
    broken = replace(DOWN, network=False)
    ended, now, _ = live(NEEDS, lambda _now: broken, until=60 * MINUTE)
    assert (ended, now) == ("GoBack", 10 * MINUTE)


def test_an_outage_has_an_end_of_its_own() -> None:
    ended, now, machine = live(NEEDS, lambda _now: DOWN, until=3 * 86_400_000)
    assert ended == "GoBack"
    assert 24 * 60 * MINUTE <= now <= 24 * 60 * MINUTE + 11 * MINUTE
    assert "outage" in machine._why(DOWN)


def test_one_that_falls_over_again_and_again_goes_back() -> None:
    count: Count | None = None
    for _ in range(100):
        machine = Confirm(TERMS, count, now=0)
        count = machine.count
        last = machine.handle(Tried(ok=False), now=0)[-1]
        if isinstance(last, GoBack):
            break
    else:
        raise AssertionError("it never goes back")
    assert count.lives <= 21


@settings(max_examples=200, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 120_000), st.booleans(), st.booleans(), st.booleans(), st.booleans())),
)
def test_any_story_ends_in_time(needs: bool, story: list[tuple[int, bool, bool, bool, bool]]) -> None:
    terms = replace(TERMS, needs_gateway=needs, outage_s=300)
    now, machine = 0, Confirm(terms, None, now=0)
    for passed, ok, connected, reachable, network in story:
        now += passed
        before = machine.count
        last = machine.handle(Tried(ok, connected, reachable, network), now=now)[-1]
        after = machine.count
        assert after.spent + after.outage == before.spent + before.outage + passed, "all time is accounted for"
        assert after.outage <= 300_000
        match last:
            case Confirmed():
                assert ok
                assert connected or not needs
                return
            case GoBack(detail):
                assert after.spent >= 600_000
                assert not (ok and (connected or not needs))
                assert detail.endswith("put back.")
                return
            case TryAt(at):
                assert now < at <= now + 30_000
