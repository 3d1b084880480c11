"""Who relies on which chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.node.leases import CHILD, PIN, READ, WORK, Leases

A, B = b"a" * 32, b"b" * 32


def test_a_lease_is_counted_and_ends_with_its_context() -> None:
    leases = Leases()
    with leases.held(READ, [A, B]):
        with leases.held(READ, [A]), leases.held(WORK, [A]):
            assert leases.reason(A) == WORK
        assert leases.reason(A) == READ
        assert B in leases
    assert A not in leases
    assert leases.reason(B) == ""
    with pytest.raises(ValueError, match="no lease"):
        leases.give_back(READ, [A])


def test_what_changes_by_itself_is_asked_when_it_matters() -> None:
    leases, told = Leases(), {A}
    leases.watch(CHILD, told.__contains__)
    assert (leases.reason(A), A in leases, B in leases) == (CHILD, True, False)
    with leases.held(PIN, [A]):
        assert leases.reason(A) == PIN
    told.clear()
    assert A not in leases


def test_those_that_nobody_relies_on_come_once_and_in_order() -> None:
    leases = Leases()
    assert leases.free([B, A, B]) == [B, A]
    with leases.held(READ, [A]):
        assert leases.free([B, A, B]) == [B]
    leases.watch(CHILD, {B}.__contains__)
    assert leases.free([B, A]) == [A]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from((READ, WORK, PIN)), st.sampled_from((A, B))), max_size=40))
def test_any_story_of_taking_and_giving_back_counts(story: list[tuple[bool, str, bytes]]) -> None:
    leases = Leases()
    count: dict[tuple[str, bytes], int] = {}
    for take, reason, digest in story:
        key = (reason, digest)
        if take:
            leases.take(reason, [digest])
            count[key] = count.get(key, 0) + 1
        elif count.get(key):
            leases.give_back(reason, [digest])
            count[key] -= 1
        for one in (A, B):
            assert (one in leases) == any(n for (_, d), n in count.items() if d == one)
            assert not leases.reason(one) or count[leases.reason(one), one]
