"""`tiercast link ...`."""

from __future__ import annotations

from cli_daemon import Daemon


def test_links_are_listed_and_limited(daemon: Daemon) -> None:
    daemon.answers["link.list"] = [
        {"parent": "server", "child": "berlin", "online": True, "rate": 2_000_000, "sent_bytes": 2048, "lane": "active"}
    ]
    assert "2 MB/s" in daemon.run("link", "list")
    daemon.run("link", "set", "berlin", "--rate", "2MB/s")
    assert daemon.asked[-1] == ("link.set", {"node": "", "child": "berlin", "rate": 2_000_000})
    assert "100Mbit/s" in daemon.run("link", "set", "berlin", "--rate", "quick", code=2)
