"""`tiercast package init | check | diff`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from cli_daemon import Daemon

DIFF = {
    "from": "editor=1/1",
    "to": "editor=2/1",
    "definitions": ['name = "editor"\nversion = "1"\n', 'name = "editor"\nversion = "2"\n'],
    "counts": {"added": 1, "removed": 1, "changed": 2, "same": 7},
    "paths": {
        "added": [{"path": "new", "kind": "file", "size": 10}],
        "removed": [{"path": "old", "kind": "link", "size": 0}],
        "changed": [
            {"path": "a", "kind": "file", "size": 2048, "was": 1024, "how": "content"},
            {"path": "b", "kind": "file", "size": 1, "was": 1, "how": "mode"},
        ],
    },
    "chunks": 3,
    "stored_bytes": 4096,
}


def test_init_then_check_then_change(daemon: Daemon, tmp_path: Path) -> None:
    tree = tmp_path / "editor"
    tree.mkdir()
    assert "is written" in daemon.run("package", "init", str(tree))
    text = (tree / "package.toml").read_text()
    assert tomllib.loads(text) == {"name": "editor", "version": "1.0"}
    assert (tree / "package.schema.json").exists()
    daemon.answers |= {"package.check": {"findings": []}}
    assert "No mistakes." in daemon.run("package", "check", str(tree))
    assert daemon.asked[-1][0] == "package.check"
    (tree / "package.toml").write_text(text + 'colour = "red"\nversoin = "2"\n')
    said = daemon.run("package", "check", str(tree), "--offline", code=1)
    last = text.count("\n")
    assert f"line {last + 1}, colour: unknown key" in said
    assert f"line {last + 2}, versoin: unknown key" in said
    assert "2 mistakes" in said
    found = daemon.json("package", "check", str(tree), "--offline", code=1)
    assert [one["key"] for one in found["mistakes"]] == ["colour", "versoin"]
    assert "is a definition already" in daemon.run("package", "init", str(tree), code=1)


def test_init_refuses_what_can_not_be(daemon: Daemon, tmp_path: Path) -> None:
    daemon.run("package", "init", str(tmp_path / "no"), code=2)
    daemon.run("package", "init", str(tmp_path), "--name", "two words", code=2)
    assert not (tmp_path / "package.toml").exists()


def test_diff(daemon: Daemon) -> None:
    daemon.answers |= {"package.diff": DIFF}
    said = daemon.run("package", "diff", "editor=1", "editor=2")
    assert daemon.asked[-1] == ("package.diff", {"package": "editor=1", "with": "editor=2"})
    for line in ('-version = "1"', '+version = "2"', "+ new  10 B", "- old  link", "~ b  mode", "1.00 KiB -> 2.00 KiB"):
        assert line in said
    assert "1 added, 1 removed, 2 changed, 7 the same; 3 chunks and 4.00 KiB that editor=1/1 has not." in said
    assert daemon.json("package", "diff", "editor=1", "editor=2")["diff"]["chunks"] == 3
