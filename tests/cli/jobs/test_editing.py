"""`tiercast job edit`: words are read by the command of the draft."""

from __future__ import annotations

import pytest

from cli_daemon import Daemon
from tiercast_cli.jobs.editing import changes
from tiercast_protocol.errors import UsageError


def test_only_what_is_said_changes_read_as_the_command_does() -> None:
    said = changes(
        "install", ["package=editor=2.2", "on=pc-1", "on=pc-2", "install-window=daily 22:00-05:00", "rate=1MB/s"]
    )
    assert said["set"] == {"package": "editor=2.2", "targets": ["pc-1", "pc-2"]}
    assert said["options"] == {"install_window": "daily 22:00-05:00", "rate": 1_000_000}
    assert changes("install", ["expires=2h"]) == {"set": {"expires_s": 7200}, "options": {}}
    assert changes("run", ["program=/bin/sh -c 'a b'", "timeout=10m"])["options"] == {
        "argv": '["/bin/sh","-c","a b"]',
        "run_timeout_s": 600,
    }
    assert changes("restart", []) == {"set": {}, "options": {}}


@pytest.mark.parametrize("wrong", ["deadline", "=5", "type=run", "folder=a", "no-such=5", "tries=many"])
def test_nonsense_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError) as caught:
        changes("install", [wrong])
    assert caught.value.code in {"set.invalid", "file.key", "file.value", "number.invalid"}


def test_a_draft_is_edited(daemon: Daemon) -> None:
    daemon.answers |= {
        "job.show": {"job": "j7-ab12", "type": "install", "state": "draft"},
        "job.edit": {"job": "j7-ab12", "draft": True, "folder": ""},
    }
    said = daemon.run("job", "edit", "7", "--set", "note=later", "--clear", "install-window")
    assert "tiercast job start j7-ab12" in said
    assert daemon.asked[-1] == (
        "job.edit",
        {"job": "7", "clear": ["install_window"], "set": {"note": "later"}, "options": {}},
    )
    assert daemon.json("job", "edit", "7", "--set", "tries=2")["job"] == "j7-ab12"
    assert "nothing" in daemon.run("job", "edit", "7", "--set", "tries", code=2)
    assert "tiercast job edit j7-ab12" in daemon.run("job", "edit", "--help")
