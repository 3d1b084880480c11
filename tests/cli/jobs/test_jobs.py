"""`tiercast job ...`."""

from __future__ import annotations

import pytest

from cli_daemon import Daemon, snapshot
from tiercast_protocol.errors import UsageError


@pytest.mark.parametrize("kind", ["install", "remove", "preload", "purge"])
def test_an_order_names_its_targets_and_how_to_watch(daemon: Daemon, kind: str) -> None:
    daemon.answers["job.create"] = {"job": "j1", "targets": 3}
    said = daemon.run("job", kind, "editor=2.1", "--on", "pc-1", "--on", "pc-2", "-g", "sales", "--expires", "1d")
    assert f"Job j1: {kind} editor=2.1 on 3 nodes." in said
    assert "tiercast job watch j1" in said
    asked = daemon.asked[0][1]
    assert asked["type"] == kind
    assert asked["targets"] == ["pc-1", "pc-2"]
    assert asked["groups"] == ["sales"]
    assert asked["expires_s"] == 86400


def test_an_empty_set_of_targets_is_the_servers_error(daemon: Daemon) -> None:
    daemon.answers["job.create"] = UsageError(
        "job.empty", "no target was named", "job install", "Name --on or --group."
    )
    assert "Name --on or --group." in daemon.run("job", "install", "editor", code=2)


def test_watching_while_ordering(daemon: Daemon) -> None:
    daemon.answers["job.create"] = {"job": "j1", "targets": 1}
    daemon.streams["job.watch"] = [snapshot("fetching", 500), snapshot("done", 1000)]
    assert "50%" in daemon.run("job", "install", "editor", "--on", "pc-1", "--watch")
    assert daemon.json("job", "install", "editor", "--on", "pc-1", "--watch")["job"]["state"] == "done"


def test_anyway_is_said_only_where_it_was(daemon: Daemon) -> None:
    daemon.answers["job.create"] = {"job": "j1-ab12", "targets": 1}
    daemon.run("job", "install", "hello", "--on", "pc-1")
    assert "anyway" not in daemon.asked[-1][1]
    daemon.run("job", "install", "hello", "--on", "pc-1", "--anyway")
    assert daemon.asked[-1][1]["anyway"] is True


def test_what_was_skipped_is_counted_and_ends_a_watch_well(daemon: Daemon) -> None:
    daemon.streams["job.watch"] = [snapshot("done", 1000) | {"counts": {"done": 1, "skipped": 2}}]
    assert "2 skipped" in daemon.run("job", "watch", "j1")
