"""`tiercast group ...`."""

from __future__ import annotations

from cli_daemon import Daemon


def test_a_group_is_made_filled_shown_and_deleted(daemon: Daemon) -> None:
    daemon.answers |= {
        "group.show": {"name": "sales", "members": ["pc-1", "pc-2"]},
        "group.list": [{"name": "sales", "kind": "static", "members": 2}],
    }
    assert "2 members" in daemon.run("group", "create", "sales", "pc-1", "pc-2")
    assert daemon.asked[0] == ("group.add", {"name": "sales", "members": ["pc-1", "pc-2"]})
    daemon.run("group", "join", "sales", "pc-3")
    daemon.run("group", "leave", "sales", "pc-1")
    assert [verb for verb, _ in daemon.asked if verb != "group.show"] == ["group.add", "group.join", "group.leave"]
    assert "pc-2" in daemon.run("group", "show", "sales")
    assert "sales" in daemon.run("group", "list")
    assert "its members stay" in daemon.run("group", "delete", "sales")
