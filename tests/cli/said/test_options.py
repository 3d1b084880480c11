"""Names that the server completes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli_daemon import Daemon
from tiercast_cli.__main__ import app
from tiercast_cli.said.options import names, set_socket


def test_names_come_from_the_server_and_match_the_beginning(daemon: Daemon) -> None:
    daemon.answers["names"] = ["berlin", "bonn", "paris"]
    set_socket(str(daemon.path))
    assert names("node", "b") == ["berlin", "bonn"]
    assert daemon.asked == [("names", {"kind": "node"})]


def test_without_a_server_there_is_nothing_to_complete(tmp_path: Path) -> None:
    set_socket(str(tmp_path / "nobody.sock"))
    assert names("node", "") == []


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("job install hello --on", "endpoint"),
        ("job remove hello --on", "endpoint"),
        ("job preload hello --on", "gateway"),
        ("job purge hello --on", "gateway"),
        ("job install hello --group", "group"),
        ("node show", "node"),
    ],
)
def test_the_shell_is_offered_what_fits_by_the_daemon_on_the_line(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, words: str, kind: str
) -> None:
    monkeypatch.setenv("TIERCAST_SOCKET", "/nowhere.sock")
    daemon.answers["names"] = ["alpha", "beta"]
    line = f"tiercast --socket {daemon.path} {words} a"
    env = {"_TIERCAST_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    offered = CliRunner().invoke(app, [], prog_name="tiercast", env=env)
    assert daemon.asked == [("names", {"kind": kind})]
    assert offered.output.split() == ["alpha"]
