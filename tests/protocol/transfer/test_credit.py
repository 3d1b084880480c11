"""The two accounts of bytes under way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.transfer.credit import MOST_FRAMES, Flow, Grant

FRAME = 64 * 1024


@given(
    st.integers(0, 1 << 20),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1 << 18), st.integers(0, 1 << 19), st.booleans()), max_size=60),
)
def test_room_keeps_the_window(window: int, steps: list[tuple[float, int, int, bool]]) -> None:
    flow, now = Flow(0, window, 0.0), 0.0
    for pause, progress, new_window, exact in steps:
        now += pause
        room = flow.room(FRAME)
        assert room >= 0
        if room:
            flow.charge(min(room, FRAME), now)
            assert flow.in_flight <= flow.window
        flow.settle(flow.received + progress, now, exact=exact, measure=not exact)
        flow.window = new_window
        assert flow.charged >= flow.received
        assert flow.in_flight >= 0
        assert len(flow._frames) <= MOST_FRAMES


def test_what_is_under_way_follows_the_rate() -> None:
    flow, now = Flow(0, 8 << 20, 0.0), 0.0
    for _ in range(400):  # 1 MB/s, 20 ms there and back
        if room := flow.room(FRAME):
            flow.charge(min(room, FRAME), now)
        now += 0.02
        flow.settle(min(flow.charged, flow.received + 20_000), now)
    assert flow.rate == pytest.approx(1e6, rel=0.1)
    assert flow.limit(FRAME) < 1 << 20


def test_no_slivers_while_something_is_under_way() -> None:
    flow = Flow(0, 100_000, 0.0)
    assert flow.room(FRAME) == 100_000
    flow.charge(90_000, 0.0)
    assert flow.room(FRAME) == 0
    flow.settle(90_000, 0.1)
    flow.window = 10
    assert flow.room(FRAME) == 10


def test_who_has_little_under_way_waits_for_more() -> None:
    flow = Flow(0, 4 * FRAME, 0.0)
    assert flow.dry(FRAME)
    flow.charge(FRAME, 0.0)
    assert flow.dry(FRAME)
    flow.charge(1, 0.0)
    assert not flow.dry(FRAME)


def test_too_many_small_frames_wait() -> None:
    flow = Flow(0, 8 << 20, 0.0)
    for _ in range(MOST_FRAMES):
        flow.charge(1, 0.0)
    assert flow.room(4096) == 0


def test_only_the_answer_to_a_mark_lowers_the_count() -> None:
    flow = Flow(0, 1000, 0.0)
    flow.charge(100, 0.0)
    assert flow.settle(150, 0.1)
    assert (flow.charged, flow.received) == (150, 150)
    flow.charge(100, 0.2)
    assert not flow.settle(100, 0.3)
    assert flow.received == 150
    assert flow.settle(140, 0.4, exact=True)
    assert flow.in_flight == 110


def test_the_time_without_anything_under_way_is_not_measured() -> None:
    flow = Flow(0, 8 << 20, 0.0)
    for second in range(5):
        flow.charge(100_000, second)
        flow.settle(flow.charged, second + 0.1)
    assert flow.rate == pytest.approx(1e6, rel=0.1)


def test_a_grant_shuts_while_chunks_wait_for_the_disk() -> None:
    grant = Grant(1000)
    grant.told()
    grant.received = 600
    grant.unstored = 600
    assert grant.window == 400
    assert grant.untold == 600, "progress counts though the room did not grow"
    grant.told()
    assert grant.untold == 0
    grant.unstored = 0
    assert (grant.window, grant.untold) == (1000, 600)
    grant.unstored = 2000
    assert grant.window == 0


def test_only_the_newest_mark_takes_a_grant_back() -> None:
    grant = Grant(1000)
    grant.received = 500
    grant.settle(400, exact=False)
    assert grant.received == 500
    grant.settle(400, exact=True)
    assert grant.received == 400


def test_a_window_is_positive() -> None:
    with pytest.raises(ValueError, match="window"):
        Grant(0)
