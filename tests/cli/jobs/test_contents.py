"""Verify and repair at the command line."""

from __future__ import annotations

from cli_daemon import Daemon


def test_each_is_a_job_of_its_own_type(daemon: Daemon) -> None:
    daemon.answers["job.create"] = {"job": "j1", "targets": 1, "needs": []}
    for verb in ("verify", "repair"):
        assert f"Job j1: {verb} hello on 1 node." in daemon.run("job", verb, "hello", "--on", "pc-1")
        asked = next(args for name, args in reversed(daemon.asked) if name == "job.create")
        assert (asked["type"], asked["package"], asked["targets"]) == (verb, "hello", ["pc-1"])


def test_a_repair_has_times_and_a_verify_has_none(daemon: Daemon) -> None:
    daemon.answers["job.create"] = {"job": "j1", "targets": 1, "needs": []}
    daemon.run("job", "repair", "hello", "--on", "pc-1", "--tries", "3")
    daemon.run("job", "verify", "hello", "--on", "pc-1", "--tries", "3", code=2)
