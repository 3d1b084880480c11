"""`job history`, `node history`."""

from __future__ import annotations

import time
from typing import Any

from cli_daemon import Daemon


def row(event: str, **more: Any) -> dict[str, Any]:
    usual = {"at": 1_800_000_000_000, "since": 1, "state": "failed", "code": "disk.short", "detail": "9 bytes"}
    return {"event": event, **usual, "started": 1000, "finished": 4500, **more}


def test_a_job_is_shown_with_what_happened(daemon: Daemon) -> None:
    events = [
        row("target", node="pc-1"),
        row("closed", state="failed"),
        row("ordered", revision=2, type="cancel"),
        row("created", by="anna", note="friday"),
    ]
    daemon.answers["job.history"] = {"job": "j17", "events": events, "targets": 9}
    told = daemon.run("job", "history", "j17")
    assert "pc-1" in told
    assert "3.5 s" in told
    assert "disk.short 9 bytes" in told
    assert "revision 2" in told
    assert "by anna friday" in told
    assert "8 more" in told
    assert daemon.asked[-1] == ("job.history", {"job": "j17", "since": 0, "states": [], "limit": 100})


def test_a_machine_is_shown_and_filtered(daemon: Daemon) -> None:
    events = [
        row("job", job="j17", type="install", package="app", version="1"),
        row("placed", parent="berlin", reason="home"),
        row("joined"),
    ]
    daemon.answers["node.history"] = {"node": "pc-1", "events": events, "jobs": 1}
    before = time.time()
    told = daemon.run("node", "history", "pc-1", "--since", "1h", "--state", "failed", "--state", "done")
    assert "j17 install app 1" in told
    assert "below berlin" in told
    asked = daemon.asked[-1][1]
    assert asked["states"] == ["failed", "done"]
    assert before - 3700 < asked["since"] / 1000 < before - 3500
    daemon.answers["node.history"] = {"node": "pc-1", "events": [], "jobs": 0}
    assert "Nothing of that kind" in daemon.run("node", "history", "pc-1")
    assert daemon.json("node", "history", "pc-1")["history"]["jobs"] == 0
    assert "Write 90s" in daemon.run("node", "history", "pc-1", "--since", "soon", code=2)
