"""When a child says something to its parent."""

from __future__ import annotations

import pytest

from tiercast_protocol.transfer import saying as s

STEP = 2 << 20


@pytest.mark.parametrize(
    ("count", "asked", "pause"),
    [
        (1, 1, 0.0),
        (32, 200, 0.0),
        (32, 1024, s.BRISK_PAUSE),
        (s.MANY_WANTS, 4096, 0.0),
        (s.MANY_WANTS - 1, s.ENOUGH_ASKED + s.MANY_WANTS - 1, s.BRISK_PAUSE),
    ],
)
def test_a_few_wants_behind_many_wait_for_company(count: int, asked: int, pause: float) -> None:
    assert s.wants_due(count, asked, 7.0) == 7.0 + pause


@pytest.mark.parametrize(
    ("untold", "heard_at", "due"),
    [
        (STEP, 7.0, 7.0),
        (STEP // 4, 7.0, 7.0 + s.BRISK_PAUSE),
        (s.SMALL_PROGRESS, 7.0, 7.0 + s.REPORT_PAUSE),
        (1, 7.0, 7.0 + s.REPORT_PAUSE),
        (1, 7.1, 7.1 + s.REPORT_PAUSE),
        (1, 9.0, 7.0 + s.SLOW_PAUSE),
    ],
)
def test_progress_is_said_by_its_size_and_age(untold: int, heard_at: float, due: float) -> None:
    assert s.progress_due(untold, STEP, 7.0, heard_at) == pytest.approx(due)
