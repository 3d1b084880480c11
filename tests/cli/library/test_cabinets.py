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


def test_rename_rights_and_moves(daemon: Daemon) -> None:
    daemon.answers |= {
        "cabinet.rename": {"name": "b", "was": "a"},
        "cabinet.rights": {"name": "a", "readers": ["ann"], "writers": []},
        "cabinet.delete": {"name": "a"},
        "package.move": {"cabinet": "b", "packages": ["editor=1/1"]},
    }
    assert "is called b" in daemon.run("cabinet", "rename", "a", "b")
    said = daemon.run("cabinet", "rights", "a", "--reader", "ann")
    assert "readers: ann" in said
    assert "writers: everybody" in said
    assert daemon.asked[-1] == ("cabinet.rights", {"name": "a", "readers": ["ann"], "writers": []})
    assert "nobody is named" in daemon.run("cabinet", "rights", "a", code=2)
    daemon.run("cabinet", "delete", "a", "--into", "b")
    assert daemon.asked[-1] == ("cabinet.delete", {"name": "a", "into": "b"})
    assert "editor=1/1 in the cabinet b" in daemon.run("package", "move", "editor", "--into", "b")
