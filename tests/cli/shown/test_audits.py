"""What an audit found, in words."""

from __future__ import annotations

from typing import Any

from tiercast_cli.shown.audits import lines

ROUND: dict[str, Any] = {"ended": 0, "chunks": 3, "bytes": 2048, "total": 4096, "damaged": 0, "lost": 0}


def test_a_running_round_beside_transfers() -> None:
    said = lines({"running": "ordered", "busy": True, "rounds": {"ordered": ROUND, "own": ROUND}})
    assert said[0] == "audit ordered: 50%: 3 chunks, 2.00 KiB, all good"
    assert said[1].startswith("audit by itself: 50%, waiting")
    assert said[2].startswith("It steps back")


def test_what_was_found_and_what_came_back() -> None:
    ended = {**ROUND, "ended": 1_700_000_000_000, "damaged": 2, "lost": 1}
    found = {
        "running": "",
        "rounds": {"ordered": ended, "own": ended},
        "missing": {"damaged": 1, "lost": 0},
        "healed_by": {"the parent": 1, "pc-1": 1},
        "extra": {"chunks": 2, "bytes": 1024, "files": 0},
    }
    said = lines(found)
    assert "2 damaged, 1 lost" in said[0]
    assert said[1:] == [
        "missing still: 1 damaged",
        "1 chunk came back from pc-1",
        "1 chunk came back from the parent",
        "extra: 2 chunks of no known package (1.00 KiB), 0 files",
    ]


def test_nothing_yet() -> None:
    assert lines({"running": "", "rounds": {}}) == ["not audited yet"]
