"""`tiercast job run | message | restart`."""

from __future__ import annotations

import json

import pytest

from cli_daemon import Daemon
from tiercast_protocol.errors import UsageError


@pytest.fixture(autouse=True)
def _made(daemon: Daemon) -> None:
    daemon.answers["job.create"] = {"job": "j1", "targets": 1}


def test_a_program_is_what_stands_after_the_dashes(daemon: Daemon) -> None:
    said = daemon.run(
        *("job", "run", "--on", "pc-1", "--timeout", "10m", "--exit", "0", "--exit", "3", "--user", "backup"),
        *("--output", "1KiB", "--idempotent", "--", "/bin/sh", "-c", "echo --on $HOME", "--watch"),
    )
    assert "Job j1: run /bin/sh -c" in said
    asked = daemon.asked[0][1]
    assert (asked["type"], asked["package"], asked["targets"]) == ("run", "", ["pc-1"])
    options = asked["options"]
    assert json.loads(options.pop("argv")) == ["/bin/sh", "-c", "echo --on $HOME", "--watch"]
    assert options == {"run_timeout_s": 600, "exits": "0,3", "user": "backup", "output": 1024, "idempotent": True}


def test_a_message_may_come_from_standard_input(daemon: Daemon) -> None:
    daemon.run("job", "message", "--group", "sales", "--title", "T", "two words")
    assert daemon.asked[0][1]["options"] == {"text": "two words", "title": "T"}
    daemon.run("job", "message", "--on", "pc-1", "-", stdin="a\nb\n")
    assert daemon.asked[1][1]["options"]["text"] == "a\nb"


def test_a_restart(daemon: Daemon) -> None:
    assert "Job j1: restart on 1 node." in daemon.run("job", "restart", "--on", "pc-1")
    assert daemon.asked[0][1]["type"] == "restart"
    assert "Job j1: inventory on 1 node." in daemon.run("job", "inventory", "--on", "pc-1", "--spread", "1h")
    assert (daemon.asked[1][1]["type"], daemon.asked[1][1]["options"]) == ("inventory", {"spread_s": 3600})


def test_a_time_out_that_is_none_is_refused_before_anything_is_asked(daemon: Daemon) -> None:
    assert "--timeout" in daemon.run("job", "run", "--on", "pc-1", "--timeout", "soon", "true", code=2)
    assert daemon.asked == []


def test_collect_has_its_place_and_is_refused_with_what_is_so(daemon: Daemon) -> None:
    said = "Jobs of the type 'collect' can't be ordered yet (fetches files from endpoints ...)."
    daemon.answers["job.create"] = UsageError("type.reserved", said, todo="Its name is kept for it. Nothing was done.")
    assert said in daemon.run("job", "collect", "--on", "pc-1", "/var/log/syslog", code=2)
    verb, asked = daemon.asked[-1]
    assert (verb, asked["type"], asked["options"]) == ("job.create", "collect", {"paths": '["/var/log/syslog"]'})
    assert "tiercast job collect" in daemon.run("job", "collect", "--help")
