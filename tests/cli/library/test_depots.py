"""`tiercast depot ...`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_daemon import Daemon
from tiercast_cli.library import depots


def test_a_depot_is_shown_pinned_and_emptied(daemon: Daemon) -> None:
    daemon.answers |= {
        "depot.show": {
            "chunks": 2,
            "bytes": 2048,
            "quota": 4096,
            "free": 1 << 20,
            "packages": [
                {"name": "editor", "version": "2", "held": 50, "total": 100, "pinned": True, "keep_until": 1 << 43},
                {"name": "pager", "version": "1", "held": 1, "total": 1, "keep_until": 1 << 43},
            ],
            "refused": {"a pin": 2048},
        },
        "depot.evict": {"freed": 1024, "chunks": 2, "packages": ["old=1"], "kept": {"a pin": 2048}},
    }
    said = daemon.run("depot", "show", "--node", "berlin")
    assert "2.00 KiB of 4.00 KiB in 2 chunks" in said
    assert "50%" in said
    assert "pinned, kept until 2248" in said
    assert "kept until 2248" in said
    assert "full: 2.00 KiB stay because of a pin" in said
    assert daemon.asked[0] == ("depot.show", {"node": "berlin"})
    assert "stays" in daemon.run("depot", "pin", "editor", "--node", "berlin")
    assert daemon.run("depot", "unpin", "editor") == "editor may go.\n"
    daemon.answers["depot.unpin"] = {"keep_until": 1 << 43}
    assert "may go after that: it is kept until 2248" in daemon.run("depot", "unpin", "editor")
    daemon.answers["depot.keep"] = {"pinned": True}
    assert "when its pin is gone" in daemon.run("depot", "keep", "editor", "--for", "0")
    said = daemon.run("depot", "evict", "--bytes", "20KiB", "--dry-run")
    assert "1.00 KiB in 2 chunks would be freed" in said
    assert "old=1" in said
    assert "2.00 KiB stay: a pin" in said
    assert daemon.asked[-1] == ("depot.evict", {"node": "", "bytes": 20480, "dry_run": True})
    assert "in 2 chunks freed" in daemon.run("depot", "evict")
    assert "stays for 30d" in daemon.run("depot", "keep", "editor", "--for", "30d", "--node", "berlin")
    assert daemon.asked[-1] == ("depot.keep", {"package": "editor", "seconds": 30 * 86_400, "node": "berlin"})
    assert "may go" in daemon.run("depot", "keep", "editor", "--for", "0")
    daemon.run("depot", "keep", "editor", "--for", "soon", code=2)


def test_an_audit_is_ordered_and_watched(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depots, "LOOK_SECONDS", 0.0)
    one = {"ended": 0, "chunks": 3, "bytes": 2048, "total": 4096, "damaged": 1, "lost": 0}
    running = {"running": "ordered", "rounds": {"ordered": one}, "missing": {"damaged": 0}}
    ended = {
        "running": "",
        "rounds": {"ordered": {**one, "ended": 1}},
        "missing": {"damaged": 0},
        "healed_by": {"x": 1},
    }
    shown = iter([running, {**ended, "missing": {"damaged": 1}}, ended])
    daemon.answers |= {
        "depot.audit": running,
        "depot.show": lambda _: {"audit": next(shown), "chunks": 1, "bytes": 1, "packages": []},
    }
    said = daemon.run("depot", "audit", "--watch", "--package", "editor", "--rate", "1MB/s", "--node", "berlin")
    assert "1 damaged" in said
    assert "came back from x" in said
    args = {"node": "berlin", "package": "editor", "rate": 1_000_000, "repair": True}
    assert daemon.asked[0] == ("depot.audit", args)
    assert "Look again" in daemon.run("depot", "audit", "--no-repair")
    assert daemon.asked[-1][1]["repair"] is False


def test_who_holds_it_is_a_table_with_those_who_are_away(daemon: Daemon) -> None:
    daemon.answers["depot.who"] = {
        "package": "editor",
        "version": "2",
        "chunks": 10,
        "bytes": 2048,
        "nodes": [
            {"name": "server", "role": "server", "parent": "", "state": "answered", "chunks": 10, "bytes": 2048,
             "installed": False},
            {"name": "pc-1", "role": "endpoint", "parent": "berlin", "state": "answered", "chunks": 0, "bytes": 0,
             "installed": True},
            {"name": "berlin", "role": "gateway", "parent": "server", "state": "offline", "last_state": "relaying",
             "last_done": 5, "last_total": 10, "last_at": 1_700_000_000_000},
            {"name": "oslo", "role": "gateway", "parent": "server", "state": "silent"},
        ],
    }  # fmt: skip
    said = daemon.run("depot", "who", "editor@2", "--within", "7s")
    assert "10/10" in said
    assert "installed" in said
    assert "offline; relaying 50% at" in said
    assert "silent" in said
    assert daemon.asked[-1] == ("depot.who", {"package": "editor@2", "seconds": 7})


def test_media_is_for_the_machine_that_it_is_plugged_into(daemon: Daemon, tmp_path: Path) -> None:
    daemon.answers["status"] = {"name": "server"}
    assert "seed.remote" in daemon.run("depot", "seed", str(tmp_path), "--node", "berlin", "--json", code=2)
    assert "can't be read" in daemon.run("depot", "seed", str(tmp_path), code=1)
