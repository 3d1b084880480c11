"""What holds a transfer back: borders kept to the byte, pauses kept and no longer, budgets never passed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer import gates as g
from tiercast_protocol.transfer.policy import Pace

paces = st.builds(
    Pace,
    rate=st.sampled_from([None, 0.0, 2000.0, 1e5]),
    segment=st.sampled_from([None, 1024, 5000]),
    pause=st.sampled_from([1.0, 10.0]),
    frames=st.sampled_from([None, 1, 3]),
    frame_pause=st.sampled_from([0.1, 2.0]),
    budget=st.sampled_from([None, 3000, 20_000]),
)


def gates(pace: Pace, now: float = 0.0) -> g.Gates:
    made = g.Gates()
    made.set(pace, now)
    return made


@given(st.lists(st.tuples(paces, st.floats(0, 5), st.integers(1, 4000)), max_size=40))
def test_any_story_keeps_every_border(story: list[tuple[Pace, float, int]]) -> None:
    one, now, sent = g.Gates(), 0.0, 0
    for pace, pause, wish in story:
        one.set(pace, now)
        now += pause
        at = g.ready_at(one.all, now)
        assert at >= now
        if at > now:
            reason, until = g.why(one.all, now)
            assert reason
            assert until == at
            continue
        assert g.why(one.all, now) == ("", now)
        room = g.most(one.all, now, wish)
        assert 1 <= room <= wish
        for gate in one.all:
            gate.take(room, room + 100, now)
        sent += room
        assert one.segment_bytes <= max(pace.segment or 0, one.segment_bytes if pace.segment is None else 5000)
        if pace.rate == 0.0:
            raise AssertionError("sent through a shut window")


def run(pace: Pace, total: int, frame: int = 700) -> list[tuple[float, int]]:
    """Send so much as fast as the gates let: (time, bytes) of each frame."""
    one, now, sent = gates(pace), 0.0, list[tuple[float, int]]()
    while total:
        now = g.ready_at(one.all, now)
        if now == g.NEVER:
            break
        room = g.most(one.all, now, min(frame, total))
        for gate in one.all:
            gate.take(room, room, now)
        sent.append((now, room))
        total -= room
        now += 0.01
    return sent


@pytest.mark.parametrize(("segment", "pause"), [(1024, 1.0), (3000, 60.0), (1 << 20, 86_400.0)])
def test_segments_end_at_their_border_and_pauses_are_kept_and_no_longer(segment: int, pause: float) -> None:
    sent = run(Pace(segment=segment, pause=pause), 4 * segment + 5, frame=segment // 3)
    parts, last = [0], 0.0
    for time, length in sent:
        if time - last >= pause - 1e-6:
            parts.append(0)
            assert time - last == pytest.approx(pause)
        parts[-1] += length
        last = time
    assert parts == [segment] * 4 + [5]


def test_an_interval_pauses_after_so_many_frames() -> None:
    times = [time for time, _ in run(Pace(frames=3, frame_pause=0.5), 7000)]
    gaps = [round(b - a, 6) for a, b in pairwise(times)]
    assert gaps == [0.01, 0.01, 0.5] * 3


def test_a_budget_is_spent_to_the_byte_and_never_passed() -> None:
    assert sum(length for _, length in run(Pace(budget=5000), 20_000)) == 5000
    one = gates(Pace(budget=10))
    one.all[0].take(10, 10, 0.0)
    assert g.why(one.all, 1.0) == (g.SPENT, g.NEVER)
    one.set(Pace(budget=25), 1.0)
    assert g.most(one.all, 1.0, 100) == 15, "what was spent stays spent"


def test_a_rate_of_nothing_is_shut() -> None:
    one = gates(Pace(rate=0.0))
    assert g.why(one.all, 5.0) == (g.SHUT, g.NEVER)
    one.set(Pace(rate=1000.0), 6.0)
    assert g.ready_at(one.all, 6.0) == 6.0


def test_a_silence_for_any_reason_is_the_pause() -> None:
    one = gates(Pace(segment=1000, pause=2.0))
    one.all[0].take(900, 900, 0.0)
    assert g.most(one.all, 1.0, 5000) == 100
    assert g.most(one.all, 2.0, 5000) == 1000


def test_new_terms_keep_the_counts() -> None:
    one = gates(Pace(segment=1000, pause=2.0))
    one.all[0].take(600, 600, 0.0)
    one.set(Pace(segment=700, pause=3.0), 0.1)
    assert g.most(one.all, 0.1, 5000) == 100
    one.set(Pace(segment=500, pause=3.0), 0.1)
    assert g.ready_at(one.all, 0.1) == 3.0
    assert (one.segments, one.segment_bytes) == (1, 600)
