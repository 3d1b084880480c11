"""`suspend`, `resume`, `job set`."""

from __future__ import annotations

import time

import pytest

from cli_daemon import Daemon
from tiercast_cli.jobs.suspensions import end_of
from tiercast_protocol.errors import UsageError


def test_a_job_is_suspended_where_it_is_said_and_resumed(daemon: Daemon) -> None:
    daemon.answers["job.suspend"] = {"job": "j1", "nodes": ["pc-1", "berlin"], "until": 0}
    assert "for pc-1, berlin" in daemon.run("job", "suspend", "j1", "--on", "pc-1", "--below", "berlin")
    assert daemon.asked[-1] == ("job.suspend", {"job": "j1", "nodes": ["pc-1", "berlin"], "until": 0})
    daemon.answers["job.resume"] = {"job": "j1", "nodes": [], "resumed": 0}
    assert daemon.run("job", "resume", "j1") == "Job j1 was not suspended from here: nothing is changed.\n"
    held = {"job": "", "node": "berlin", "until": 0, "by": "root@server", "link": False}
    daemon.answers["job.resume"] = {"job": "j1", "nodes": ["pc-1"], "resumed": 1, "still": [held]}
    said = daemon.run("job", "resume", "j1", "--on", "pc-1")
    assert said == "Job j1 goes on for pc-1.\nStill suspended: all jobs, berlin, by root@server.\n"
    daemon.answers["job.resume"] = {"job": "j1", "nodes": [], "resumed": 1, "still": [held] * 4}
    assert "All of them: tiercast node holds" in daemon.run("job", "resume", "j1")


def test_nodes_and_links_are_suspended_for_a_time(daemon: Daemon) -> None:
    daemon.answers["node.suspend"] = {"job": "", "nodes": ["berlin"], "until": 1_900_000_000_000}
    before = time.time()
    assert "until 2030" in daemon.run("node", "suspend", "berlin", "--for", "2h")
    asked = daemon.asked[-1][1]
    assert asked["name"] == "berlin"
    assert before + 7199 < asked["until"] / 1000 < before + 7300
    daemon.answers["node.resume"] = {"job": "", "nodes": ["berlin"], "resumed": 1}
    assert "goes on" in daemon.run("node", "resume", "berlin")
    daemon.answers["link.suspend"] = {"child": "pc-1", "until": 0}
    assert "suspended" in daemon.run("link", "suspend", "pc-1", "--node", "berlin")
    assert daemon.asked[-1] == ("link.suspend", {"node": "berlin", "child": "pc-1", "until": 0})
    daemon.answers["link.resume"] = {"child": "pc-1", "resumed": 1}
    assert "goes on" in daemon.run("link", "resume", "pc-1", "--node", "berlin")


def test_suspensions_are_listed(daemon: Daemon) -> None:
    daemon.answers["hold.list"] = []
    assert "Nothing is suspended" in daemon.run("node", "holds")
    daemon.answers["hold.list"] = [
        {"job": "", "node": "berlin", "until": 0, "by": "root@server", "link": False},
        {"job": "j1", "node": "", "until": 1_900_000_000_000, "by": "anna@berlin", "link": False},
    ]
    said = daemon.run("node", "holds", "--node", "berlin")
    assert "root@server" in said
    assert "everything below" in said


def test_a_job_goes_on_other_terms(daemon: Daemon) -> None:
    daemon.answers["job.set"] = {"job": "j1", "terms": {"priority": 9}}
    assert "priority 9" in daemon.run("job", "set", "j1", "--priority", "9", "--rate", "unlimited", "--no-metered")
    asked = {"job": "j1", "options": {"priority": 9, "metered": False}, "clear": ["rate"]}
    assert daemon.asked[-1] == ("job.set", asked)
    assert "Nothing was said" in daemon.run("job", "set", "j1", code=2)


def test_an_end_is_given_once() -> None:
    assert end_of("", "") == 0
    with pytest.raises(UsageError):
        end_of("18:00", "2h")
