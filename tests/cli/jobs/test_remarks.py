"""What is said of a job beside how many it is for."""

from __future__ import annotations

from tiercast_cli.jobs.remarks import remarks


def test_what_the_server_decided_is_said_with_figures() -> None:
    assert remarks({"job": "j1", "targets": 3}) == []
    (spread,) = remarks({"fetch_spread_s": 120})
    assert "over 2 min" in spread
    (untold,) = remarks({"untold": 61_234, "most_told": 16_000})
    assert "takes 61,234 characters, 16,000 are the most" in untold
    assert "a job of its own" in untold
