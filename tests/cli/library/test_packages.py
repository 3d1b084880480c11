"""`tiercast package ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli_daemon import Daemon
from tiercast_protocol.content.sealed.chunk import unseal
from tiercast_protocol.content.sealed.manifest import decode_root

PACKAGE = {
    "package": "editor",
    "version": "2.1",
    "revision": 1,
    "cabinet": "main",
    "files": 3,
    "size": 4096,
    "chunks": 2,
    "stored_bytes": 1024,
    "root": b"\x01" * 32,
    "definition": 'name = "editor"',
}


def test_building_sends_chunks_and_registers_the_root(daemon: Daemon, tmp_path: Path) -> None:
    tree = tmp_path / "hello"
    tree.mkdir()
    (tree / "hello.txt").write_text("hello\n")
    held: dict[bytes, bytes] = {}

    def register(args: dict[str, Any]) -> dict[str, Any]:
        root = decode_root(unseal(args["root"], held[args["root"]]))
        return PACKAGE | {"package": root.name, "version": root.version, "files": root.files, "created": True}

    daemon.answers |= {
        "package.missing": lambda args: {"missing": args["digests"]},
        "package.store": lambda args: {"stored": len(held.update(dict(args["chunks"])) or args["chunks"])},
        "package.register": register,
    }
    said = daemon.run("package", "build", str(tree), "--name", "hello", "--version", "1.0")
    assert "Package hello 1.0 registered." in said
    assert "1 file," in said
    assert daemon.asked[-1][1]["cabinet"] == "main"
    made = daemon.json("package", "build", str(tree), "--name", "hello", "--version", "1.0")
    assert made["package"]["sent_chunks"] == 3


def test_a_missing_folder_is_a_usage_error(daemon: Daemon, tmp_path: Path) -> None:
    said = daemon.run("package", "build", str(tmp_path / "no"), "--name", "a", "--version", "1", code=2)
    assert "there is no such folder" in said


def test_list_show_entry_delete(daemon: Daemon) -> None:
    daemon.answers |= {"package.list": [PACKAGE], "package.show": PACKAGE}
    assert "1.00 KiB" in daemon.run("package", "list")
    daemon.run("package", "list", "--cabinet", "main")
    assert daemon.asked[-1] == ("package.list", {"cabinet": "main"})
    said = daemon.run("package", "show", "editor=2.1")
    assert "4096 (4.00 KiB)" in said
    assert 'name = "editor"' in said
    assert daemon.json("package", "show", "editor")["package"]["root"] == "01" * 32
    assert "waits for its content" in daemon.run("package", "entry", "editor", "3.0")
    assert "is deleted" in daemon.run("package", "delete", "editor=2.1")


def test_patches_are_listed_made_and_waited_for(daemon: Daemon) -> None:
    row = {
        "from": "editor=2.0/1",
        "to": "editor=2.1/1",
        "state": "made",
        "bytes": 2048,
        "chunk_bytes": 10_240,
        "seconds": 1.5,
        "memory": 1 << 20,
        "detail": "",
    }
    looks = iter([[row | {"state": "making", "bytes": 0}], [row]])
    daemon.answers |= {"package.patches": lambda _args: next(looks), "package.patch": {"wanted": 1}}
    said = daemon.run("package", "patches", "editor=2.1", "--make", "2.0", "--wait")
    assert "2.00 KiB" in said
    assert "made" in said
    assert ("package.patch", {"package": "editor=2.1", "from": "2.0"}) in daemon.asked
    failed = row | {"state": "failed", "bytes": 0, "detail": "its process ended with status -9"}
    daemon.answers["package.patches"] = [failed]
    said = daemon.run("package", "patches", "editor=2.1")
    assert "status -9" in said
    assert daemon.json("package", "patches", "editor=2.1")["patches"][0]["state"] == "failed"
    daemon.run("package", "patches", "editor=2.1", "--wait", code=1)


def test_what_machines_would_take(daemon: Daemon) -> None:
    value = {"text": "8080", "source": "setting port"}
    daemon.answers |= {
        "package.values": [
            {"node": "pc-1", "asked": True, "group": "pc", "values": {"port": value}, "problem": ""},
            {"node": "pc-2", "asked": False, "group": "", "values": {"port": value}, "problem": ""},
            {"node": "pc-3", "asked": True, "group": "", "values": {}, "problem": "port has no value"},
        ]
    }
    said = daemon.run("package", "show", "editor", "--on", "pc-1", "--on", "pc-2", "--on", "pc-3")
    assert daemon.asked[-1] == ("package.values", {"package": "editor", "nodes": ["pc-1", "pc-2", "pc-3"]})
    for line in ("setting port", "settings are not known", "port has no value", "pc-1"):
        assert line in said
    assert daemon.json("package", "show", "editor", "--on", "pc-1")["values"][0]["group"] == "pc"


def test_a_test_is_told_in_words(daemon: Daemon) -> None:
    tested = {"job": "j1", "undo": "j2", "node": "pc-1", "by": "ann", "at": 86_400_000}
    daemon.answers["package.show"] = {"package": "editor", "version": "1", "tested": tested}
    said = daemon.run("package", "show", "editor")
    assert "on pc-1 by ann, 1970-01-0" in said
    assert "j1 installed it, j2 took it back" in said
