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
    daemon.answers["group.set"] = {"name": "sales", "window": "daily 22:00-05:00", "members": 2, "told": 2}
    assert "2 members told" in daemon.run("group", "set", "sales", "--window", "daily 22:00-05:00")
    assert daemon.asked[-1] == ("group.set", {"name": "sales", "window": "daily 22:00-05:00"})
    assert daemon.json("group", "set", "sales", "--window", "none")["told"] == 2
    assert daemon.asked[-1][1]["window"] == ""
    assert "its members stay" in daemon.run("group", "delete", "sales")
