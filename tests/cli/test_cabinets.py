"""`tiercast cabinet ...`."""

from __future__ import annotations

from cli_daemon import Daemon


def test_a_cabinet_is_made_listed_shown_and_deleted(daemon: Daemon) -> None:
    daemon.answers |= {
        "cabinet.list": [{"name": "desktop", "packages": 1, "note": "for desks"}],
        "cabinet.show": {"name": "desktop", "packages": [{"name": "editor", "version": "2", "size": 4096}]},
    }
    daemon.run("cabinet", "add", "desktop", "--note", "for desks")
    assert daemon.asked[0] == ("cabinet.add", {"name": "desktop", "note": "for desks"})
    assert "for desks" in daemon.run("cabinet", "list")
    assert "4.00 KiB" in daemon.run("cabinet", "show", "desktop")
    assert "is gone" in daemon.run("cabinet", "delete", "desktop")
    assert daemon.json("cabinet", "list")["cabinets"][0]["name"] == "desktop"
