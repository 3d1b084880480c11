"""`tiercast inventory ...`."""

from __future__ import annotations

from typing import Any

from cli_daemon import Daemon

FACTS = {
    "name": "pc-1",
    "os": "linux",
    "distribution": "debian",
    "version": "12",
    "kernel": "6.1",
    "python": "3.11",
    "architecture": "x86_64",
    "cpus": 4,
    "memory": 8 << 30,
    "disk_free": 1 << 30,
    "disk_total": 2 << 30,
    "agent": "0.1.0",
    "packages": {"editor": "2.1"},
    "labels": {},
}
ONE: dict[str, Any] = {"node": "pc-1", "at": 1, "received": 1_700_000_000_000, "facts": FACTS}
PAGES = {
    "": {"nodes": [ONE], "unknown": {"floor": 2}, "next": "pc-1"},
    "pc-1": {"nodes": [ONE | {"node": "pc-2"}], "unknown": {"floor": 2}, "next": ""},
}


def test_list_and_show(daemon: Daemon) -> None:
    daemon.answers |= {
        "inventory.list": lambda args: PAGES[args.get("after", "")],
        "inventory.show": ONE,
    }
    text = daemon.run("inventory", "list", "--target", "group sales")
    assert "debian 12 x86_64" in text
    assert "2 machines left out: floor" in text
    asked = {"target": "group sales", "where": ""}
    assert [args for _, args in daemon.asked] == [asked, asked | {"after": "pc-1"}]
    assert "pc-2" in text
    assert daemon.json("inventory", "list")["inventories"][0]["facts"]["cpus"] == 4
    text = daemon.run("inventory", "show", "pc-1")
    assert "editor=2.1" in text
    assert "8.00 GiB" in text
    assert daemon.json("inventory", "show", "pc-1")["inventory"]["node"] == "pc-1"
    text = daemon.run("inventory", "list", "--csv")
    assert text.splitlines()[0].startswith("node,agent,architecture,cpus")
    assert text.splitlines()[2].startswith("pc-2,0.1.0,x86_64,4")
    assert "editor=2.1" in text
    daemon.answers["inventory.show"] = ONE | {"software": [["openssl", "3.0"], ["zlib1g", "1.2"]]}
    assert "openssl       3.0" in daemon.run("inventory", "show", "pc-1", "--software", "--match", "open*")
    shown = daemon.json("inventory", "show", "pc-1", "--software")["inventory"]
    assert shown["software"] == {"openssl": "3.0", "zlib1g": "1.2"}


TALLY = {
    "machines": 50,
    "groups": [{"value": "debian", "machines": 40}, {"value": "fedora", "machines": 7}],
    "others": 1,
    "unknown": {"floor": 2},
}


def test_questions(daemon: Daemon) -> None:
    daemon.answers |= {
        "inventory.tally": TALLY,
        "inventory.count": {"machines": 7, "of": 50, "unknown": {"floor": 2}},
        "inventory.history": [{"at": 1_700_000_000_000, "fact": "kernel", "old": "", "new": "6.1"}],
    }
    text = daemon.run("inventory", "group-by", "distribution", "--where", "cpus > 1", "--top", "2")
    assert text.splitlines()[:2] == ["DISTRIBUTION  MACHINES", "debian              40"]
    assert "1 group more" in text
    assert "2 machines left out" in text
    assert daemon.asked[-1][1] == {"by": "distribution", "target": "", "where": "cpus > 1", "top": 2}
    assert daemon.run("inventory", "group-by", "distribution", "--csv").splitlines()[2] == "fedora,7"
    assert daemon.json("inventory", "group-by", "distribution")["groups"] == TALLY["groups"]
    drawn = daemon.run("inventory", "graph", "distribution").splitlines()
    assert drawn[0].startswith("debian  ")
    assert drawn[0].endswith("40")
    assert daemon.json("inventory", "graph", "distribution")["machines"] == 50
    assert daemon.run("inventory", "count", "--where", "cpus > 1").startswith("7 of 50 machines.")
    assert daemon.json("inventory", "count")["of"] == 50
    assert "kernel" in daemon.run("inventory", "history", "pc-1", "--fact", "kern*")
    assert daemon.json("inventory", "history", "pc-1")["changes"][0]["new"] == "6.1"
    assert daemon.run("inventory", "history", "pc-1", "--csv").splitlines()[0] == "when,fact,was,is"
    daemon.answers["inventory.history"] = []
    assert "Nothing changed" in daemon.run("inventory", "history", "pc-1")


def test_a_group_of_the_answer(daemon: Daemon) -> None:
    daemon.answers |= {
        "inventory.names": {"nodes": ["pc-1", "pc-2"], "unknown": {}},
        "group.add": {"name": "g", "members": 2},
    }
    assert "Group g: 2 members" in daemon.run("inventory", "group", "g", "--where", "cpus > 1")
    assert daemon.asked[-1] == ("group.add", {"name": "g", "members": [], "where": "cpus > 1"})
    daemon.run("inventory", "group", "g", "--target", "below berlin", "--static")
    assert daemon.asked[-1] == ("group.add", {"name": "g", "members": ["pc-1", "pc-2"]})
    assert "--static" in daemon.run("inventory", "group", "g", "--target", "below berlin", code=2)
    assert daemon.json("inventory", "group", "g", "--where", "cpus > 1")["members"] == 2
