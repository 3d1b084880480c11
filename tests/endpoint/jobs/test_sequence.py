"""What goes before what, and that nobody ever waits for himself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiercast_endpoint.jobs.sequence import Queued, goes_after

A = Queued("j1", "a", before=("c",))
C = Queued("j2", "c")


def test_the_one_that_says_so_goes_first() -> None:
    assert goes_after(C, [A, C]) == A
    assert goes_after(A, [A, C]) is None
    assert goes_after(C, [C]) is None


def test_circles_wait_for_nobody() -> None:
    back = Queued("j2", "c", before=("a",))
    assert goes_after(A, [A, back]) is None
    assert goes_after(back, [A, back]) is None


def test_what_is_needed_counts() -> None:
    needy = Queued("j1", "a", before=("c",), needs=("c",))
    assert goes_after(C, [needy, C]) is None


QUEUED = st.builds(
    Queued,
    job=st.sampled_from("123456"),
    package=st.sampled_from("abcdef"),
    before=st.lists(st.sampled_from("abcdef"), max_size=3).map(tuple),
    needs=st.lists(st.sampled_from("abcdef"), max_size=2).map(tuple),
)


@given(st.lists(QUEUED, max_size=6, unique_by=lambda one: one.job))
def test_following_who_waits_for_whom_ends(jobs: list[Queued]) -> None:
    waits = {one.job: found.job for one in jobs if (found := goes_after(one, jobs)) is not None}
    for start in waits:
        seen, here = set(), start
        while here in waits:
            assert here not in seen
            seen.add(here)
            here = waits[here]
