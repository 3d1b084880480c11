"""Names that the server completes."""

from __future__ import annotations

from pathlib import Path

from cli_daemon import Daemon
from tiercast_cli.options import names, set_socket


def test_names_come_from_the_server_and_match_the_beginning(daemon: Daemon) -> None:
    daemon.answers["names"] = ["berlin", "bonn", "paris"]
    set_socket(str(daemon.path))
    assert names("node", "b") == ["berlin", "bonn"]
    assert daemon.asked == [("names", {"kind": "node"})]


def test_without_a_server_there_is_nothing_to_complete(tmp_path: Path) -> None:
    set_socket(str(tmp_path / "nobody.sock"))
    assert names("node", "") == []
