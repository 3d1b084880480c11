"""`tiercast node wake | shutdown | restart`."""

from __future__ import annotations

from cli_daemon import Daemon


def test_wake_says_who_came_and_who_did_not(daemon: Daemon) -> None:
    asleep = {"node": "pc-1", "state": "waking", "parent": "berlin", "tries": 1}
    daemon.answers |= {
        "node.wake": [asleep],
        "wake.list": [asleep | {"state": "failed", "why": "no hardware address is known"}],
    }
    assert "waking" in daemon.run("node", "wake", "pc-1")
    text = daemon.run("node", "wake", "pc-1", "--wait", "5s", code=1)
    assert "no hardware address is known" in text
    assert [verb for verb, _ in daemon.asked] == ["node.wake", "node.wake", "wake.list"]
    assert daemon.json("node", "wake", "pc-1", code=0)["wakes"] == [asleep]


def test_shutting_down_and_restarting_are_jobs(daemon: Daemon) -> None:
    daemon.answers["job.create"] = {"job": "j1", "targets": 2, "expires": 1}
    daemon.run("node", "shutdown", "pc-1", "pc-2", "--defer-max", "2", "--rejectable")
    asked = daemon.asked[-1][1]
    assert (asked["type"], asked["targets"]) == ("shutdown", ["pc-1", "pc-2"])
    assert asked["options"]["defer_max"] == 2
    daemon.run("node", "restart", "pc-1")
    assert daemon.asked[-1][1]["type"] == "reboot"
    assert "No such option" in daemon.run("node", "shutdown", "pc-1", "--wake", code=2)


def test_a_job_says_whom_it_wakes(daemon: Daemon) -> None:
    daemon.answers["job.create"] = {"job": "j1", "targets": 1, "expires": 1}
    daemon.run("job", "message", "--on", "pc-1", "--wake", "--wake-before", "10m", "--sleep-after", "hello")
    options = daemon.asked[-1][1]["options"]
    assert {word: options[word] for word in ("wake", "wake_before_s", "sleep_after")} == {
        "wake": True,
        "wake_before_s": 600,
        "sleep_after": True,
    }
    daemon.run("job", "message", "--on", "pc-1", "hello")
    assert "wake" not in daemon.asked[-1][1]["options"]
    for kind in ("shutdown", "reboot"):
        daemon.run("job", kind, "--on", "pc-1")
        assert daemon.asked[-1][1]["type"] == kind
