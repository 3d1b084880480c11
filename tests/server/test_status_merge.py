"""Merging what is said of a target: any order of records ends the same."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.wire.messages import StatusRecord
from tiercast_server.status_merge import Standing, is_hop, merge

FIRST = Standing(state="ordered")


def record(state: str, revision: int = 1, attempt: int = 1, seq: int = 1) -> StatusRecord:
    return StatusRecord(job="j", revision=revision, target="n", attempt=attempt, seq=seq, state=state, at=1)


records = st.builds(
    record,
    state=st.sampled_from(sorted(STATES)),
    revision=st.integers(1, 3),
    attempt=st.integers(0, 3),
    seq=st.integers(0, 9),
)


@given(st.lists(records, max_size=12), st.randoms(use_true_random=False))
def test_any_story_of_records_ends_at_the_highest_rank(said: list[StatusRecord], chance: random.Random) -> None:
    # an endpoint says one thing per (revision, attempt, seq)
    said = list({(r.revision, r.attempt, r.seq): r for r in said}.values())
    shuffled = said * 2
    chance.shuffle(shuffled)
    ends = []
    for story in (said, shuffled):
        held = FIRST
        for one in story:
            before = held
            held = merge(held, one, proved=STATES[one.state]) or held
            assert held.rank >= before.rank
            assert merge(held, one, proved=STATES[one.state]) is None
        ends.append(held)
    assert ends[0] == ends[1]
    assert not said or ends[0].rank == max(merge(FIRST, r, proved=STATES[r.state]).rank for r in said)  # type: ignore[union-attr]


def test_a_final_state_needs_a_receipt() -> None:
    assert merge(FIRST, record("done"), proved=False) is None
    assert merge(FIRST, record("done"), proved=True) is not None


def test_progress_after_the_end_gives_nothing() -> None:
    done = merge(FIRST, record("done", seq=5), proved=True)
    assert done is not None
    assert merge(done, record("fetching", seq=9), proved=False) is None
    assert merge(done, record("fetching", attempt=2, seq=10), proved=False) is not None


def test_the_regions_own_word_yields_to_a_receipt_only() -> None:
    held = merge(FIRST, record("fetching", seq=4), proved=False)
    assert held is not None
    closed = replace(held, state="expired", code="job.expired", at=9)
    assert merge(closed, record("installing", seq=5), proved=False) is None
    done = merge(closed, record("done", seq=6), proved=True)
    assert done is not None
    assert done.state == "done"


def test_unknown_states_and_negative_counts_give_nothing() -> None:
    assert merge(FIRST, record("exploded"), proved=True) is None
    assert merge(FIRST, record("fetching", seq=-1), proved=False) is None
    assert is_hop(record("relaying"))
    assert merge(FIRST, record("relaying"), proved=False) is None
