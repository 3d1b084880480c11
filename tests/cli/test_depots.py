"""`tiercast depot ...`."""

from __future__ import annotations

from cli_daemon import Daemon


def test_a_depot_is_shown_pinned_and_emptied(daemon: Daemon) -> None:
    daemon.answers |= {
        "depot.show": {
            "chunks": 2,
            "bytes": 2048,
            "quota": 4096,
            "free": 1 << 20,
            "packages": [{"name": "editor", "version": "2", "held": 50, "total": 100, "pinned": True}],
        },
        "depot.evict": {"freed": 1024, "chunks": 2, "packages": ["old=1"], "kept": {"a pin": 2048}},
    }
    said = daemon.run("depot", "show", "--node", "berlin")
    assert "2.00 KiB of 4.00 KiB in 2 chunks" in said
    assert "50%" in said
    assert "pinned" in said
    assert daemon.asked[0] == ("depot.show", {"node": "berlin"})
    assert "stays" in daemon.run("depot", "pin", "editor", "--node", "berlin")
    assert "may go" in daemon.run("depot", "unpin", "editor")
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
