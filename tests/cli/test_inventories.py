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
    assert [args for _, args in daemon.asked] == [{"target": "group sales"}, {"target": "group sales", "after": "pc-1"}]
    assert "pc-2" in text
    assert daemon.json("inventory", "list")["inventories"][0]["facts"]["cpus"] == 4
    text = daemon.run("inventory", "show", "pc-1")
    assert "editor=2.1" in text
    assert "8.00 GiB" in text
    assert daemon.json("inventory", "show", "pc-1")["inventory"]["node"] == "pc-1"
