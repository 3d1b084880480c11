"""`tiercast ledger ...`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from cli_daemon import Daemon

HOUR = 3_600_000


def a_link(**more: Any) -> dict[str, Any]:
    return {
        "parent": "server", "child": "berlin", "heard": True, "even": True, "published": 2048, "arrived": 1024,
        "lost": 1024, "surplus": 0, "left_over": 0, "frames_left_over": 0, "under_way": 0, "wasted": 0, "overhead": 99,
        **more,
    }  # fmt: skip


def a_row(hour: int, **more: Any) -> dict[str, Any]:
    return {
        "hour": hour * HOUR, "side": "sent", "link": "berlin", "session": "a", "job": "j1", "reason": "first",
        "bytes": 1024, "frames": 1, "chunks": 0, **more,
    }  # fmt: skip


def test_links_and_rows_are_shown_and_added_up(daemon: Daemon) -> None:
    daemon.answers["ledger.show"] = {
        "node": "server",
        "links": [a_link(), a_link(child="oslo", even=False, left_over=7, frames_left_over=1),
                  a_link(child="rome", even=False, heard=False), a_link(child="bonn", under_way=4096)],
        "rows": [a_row(1), a_row(2)],
        "more": True,
    }  # fmt: skip
    said = daemon.run("ledger", "show", "--link", "berlin", "--job", "j1", "--node", "hq")
    for words in ("even", "7 bytes left over, 1 frame", "not heard", "4.00 KiB under way", "2.00 KiB", "--csv FILE"):
        assert words in said
    (asked,) = daemon.asked
    assert asked == ("ledger.show", {"node": "hq", "link": "berlin", "job": "j1", "since": 0})
    daemon.run("ledger", "show", "--since", "24h")
    assert daemon.asked[-1][1]["since"] > 1_600_000_000_000
    daemon.run("ledger", "show", "--since", "yesterday", code=2)
    assert len(daemon.json("ledger", "show")["rows"]) == 2


def test_what_has_no_bytes_shows_none_and_a_job_without_rows_is_said(daemon: Daemon) -> None:
    daemon.answers["ledger.show"] = {
        "node": "mid", "links": [a_link()], "more": False,
        "rows": [a_row(1, side="depot", link="", reason="from above", bytes=0, frames=0, chunks=7)],
    }  # fmt: skip
    said = daemon.run("ledger", "show", "--job", "j1")
    assert "0 B" not in said[said.index("SIDE") :]
    assert "Every link with all its jobs" in said
    assert "Every link" not in daemon.run("ledger", "show")
    daemon.answers["ledger.show"] = {"node": "mid", "links": [], "more": False, "rows": []}
    assert "No bytes of job j9 of the last 2h stand" in daemon.run("ledger", "show", "--job", "j9", "--since", "2h")


def test_every_row_is_written_whatever_the_pages(daemon: Daemon, tmp_path: Path) -> None:
    rows = [a_row(hour, session=str(n)) for hour in range(1, 6) for n in range(2)]

    def page(args: dict[str, Any]) -> dict[str, Any]:
        before = args.get("before") or 1 << 60
        found = [row for row in rows if row["hour"] < before]
        return {"node": "server", "links": [], "rows": found[-3:], "more": len(found) > 3}

    daemon.answers["ledger.show"] = page
    file = tmp_path / "out.csv"
    assert "10 rows in" in daemon.run("ledger", "show", "--csv", str(file))
    with file.open(newline="") as written:
        found = list(csv.DictReader(written))
    assert [row["hour"] for row in found] == [f"1970-01-01T0{hour}:00Z" for hour in range(1, 6) for _ in range(2)]
    assert found[0]["bytes"] == "1024"


def test_the_check_says_what_is_left_over(daemon: Daemon) -> None:
    daemon.answers["ledger.check"] = {"node": "server", "balanced": True, "silent": ["rome"], "links": [a_link()]}
    said = daemon.run("ledger", "check")
    assert "1 link compared: balanced" in said
    assert "not compared: rome" in said
    gone = a_link(child="rome", parent="mid", heard=False, online=False)
    daemon.answers["ledger.check"]["links"].append(gone)
    assert "not compared: rome (not connected to mid now)" in daemon.run("ledger", "check")
    daemon.answers["ledger.check"]["links"].remove(gone)
    assert daemon.asked[-1] == ("ledger.check", {"node": "", "below": True})
    daemon.answers["ledger.check"] = {
        "node": "server", "balanced": False, "silent": [], "links": [a_link(even=False, left_over=-5)],
    }  # fmt: skip
    assert "server -> berlin: -5 bytes left over" in daemon.run("ledger", "check", code=1)
    assert daemon.json("ledger", "check", code=1)["balanced"] is False
