"""The breaker of one gateway: any story of results and words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_gateway.orders.breaker import Breaker, Counted, Event, Hold, Kept, Release, Resumed, Tell
from tiercast_protocol.content.jobs.breaker import Limit

COUNTS = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda two: Counted(min(two), max(1, *two)))
EVENTS = st.lists(st.one_of(COUNTS, st.integers(0, 5).map(Resumed)), max_size=30)
LIMITS = st.tuples(st.integers(0, 4), st.sampled_from([0, 5_000, 50_000, 100_000])).map(lambda two: Limit(*two))


@given(LIMITS, EVENTS, st.integers(0, 30))
def test_nothing_is_handed_out_after_it_opened_but_by_a_word(limit: Limit, events: list[Event], kill: int) -> None:
    one = Breaker(Kept(limit))
    held, heard = False, 0
    for number, event in enumerate(events):
        if number == kill:  # what is kept is all that counts
            one = Breaker(one.kept)
        before = one.kept
        commands = one.handle(event, now=number)
        if Hold() in commands:
            assert not held
            assert isinstance(event, Counted)
            assert limit.reached(event.bad, event.total)
            held = True
        if Release() in commands:
            assert held
            assert isinstance(event, Resumed)
            assert not event.again or event.again > heard
            held = False
        assert one.open == held, "what was said is what is"
        assert (Tell() in commands) == (one.kept.seq == before.seq + 1) == (held != (before.since > 0))
        if isinstance(event, Resumed):
            heard = max(heard, event.again)
        if not held and isinstance(event, Counted):
            assert not limit.reached(event.bad - one.kept.forgiven, event.total)
        assert one.kept.forgiven <= max((e.bad for e in events if isinstance(e, Counted)), default=0)


def test_a_word_forgives_what_failed_and_the_same_word_only_once() -> None:
    one = Breaker(Kept(Limit(2)))
    assert one.handle(Counted(1, 9), now=1) == []
    assert one.handle(Counted(2, 9), now=2) == [Hold(), Tell()]
    assert one.handle(Counted(5, 9), now=3) == []
    assert one.handle(Resumed(1), now=4) == [Release(), Tell()]
    assert one.handle(Counted(6, 9), now=5) == []
    assert one.handle(Counted(7, 9), now=6) == [Hold(), Tell()]
    assert one.handle(Resumed(1), now=7) == []
    assert one.open
    assert one.handle(Resumed(), now=8) == [Release(), Tell()]
