"""What a job's snapshots say over time."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_cli.shown.progress import Progress


def snapshot(done: int, state: str = "fetching", job: str = "open") -> dict[str, Any]:
    return {
        "job": "j1",
        "type": "install",
        "package": "editor",
        "version": "2",
        "state": job,
        "counts": {state: 1},
        "targets": [{"node": "pc", "state": state, "done": done, "total": 1000, "code": "", "detail": ""}],
        "hops": [{"node": "berlin", "state": "relaying", "done": done, "total": 1000}],
    }


def test_the_rate_is_bytes_over_time_and_gives_the_time_left() -> None:
    progress = Progress()
    progress.take(snapshot(0), now=0.0)
    progress.take(snapshot(200), now=2.0)
    assert progress.rate("pc") == pytest.approx(100)
    assert progress.left(progress.snapshot["targets"][0]) == pytest.approx(8)
    assert progress.rows()[0][0] == "berlin"
    assert progress.rows()[1][2] == "20%"


def test_bytes_that_go_back_after_a_restart_give_no_negative_rate() -> None:
    progress = Progress()
    for now, done in ((0.0, 500), (1.0, 100), (2.0, 200)):
        progress.take(snapshot(done), now=now)
        assert progress.rate("pc") >= 0


def test_lines_say_only_what_changed() -> None:
    progress = Progress()
    progress.take(snapshot(0), now=0.0)
    assert len(progress.lines()) == 2
    progress.take(snapshot(10), now=1.0)
    assert progress.lines() == []
    progress.take(snapshot(500), now=2.0)
    assert len(progress.lines()) == 2


def test_a_job_went_well_only_when_every_target_is_done() -> None:
    progress = Progress()
    progress.take(snapshot(1000, "done", "done"), now=0.0)
    assert progress.ended
    assert progress.well
    progress.take(snapshot(1000, "failed", "failed"), now=1.0)
    assert progress.ended
    assert not progress.well
    assert progress.headline() == "job j1: install editor 2 - 1 failed"
