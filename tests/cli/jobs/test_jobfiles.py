"""`tiercast job create --file`: the file is the command line, and every mistake names file and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli_daemon import Daemon


@pytest.fixture(autouse=True)
def _made(daemon: Daemon) -> None:
    daemon.answers |= {"job.create": {"job": "j1", "targets": 1}, "job.draft": {"job": "j2", "draft": True}}


INSTALL = """
type = "install"
package = "editor=2.1"
on = ["pc-1", "pc-2"]
group = "sales"
expires = "7d"
priority = 9
rate = "1MB/s"
window = ["daily 12:00-13:00", "sat,sun 00:00-24:00"]
pass-suspended = false
metered = true
note = "-- not an option"
"""


def test_every_option_has_its_long_name(daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(INSTALL)
    assert daemon.json("job", "create", "--file", str(file))["job"] == "j1"
    ((verb, asked),) = daemon.asked
    assert (verb, asked["type"], asked["package"]) == ("job.create", "install", "editor=2.1")
    assert (asked["targets"], asked["groups"], asked["expires_s"]) == (["pc-1", "pc-2"], ["sales"], 604_800)
    assert asked["note"] == "-- not an option"
    assert asked["options"] == {
        "priority": 9,
        "rate": 1_000_000,
        "window": "daily 12:00-13:00; sat,sun 00:00-24:00",
        "pass_suspended": False,
        "metered": True,
    }


def test_from_standard_input_and_as_a_draft(daemon: Daemon) -> None:
    text = 'type = "run"\nprogram = ["/bin/sh", "-c", "echo --watch"]\non = "pc-1"\nexit = [0, 3]\nidempotent = true\n'
    assert "kept as a draft" in daemon.run("job", "create", "--file", "-", "--draft", stdin=text)
    ((verb, asked),) = daemon.asked
    assert verb == "job.draft"
    assert json.loads(asked["options"]["argv"]) == ["/bin/sh", "-c", "echo --watch"]
    assert (asked["options"]["exits"], asked["options"]["idempotent"]) == ("0,3", True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "`type` is missing"),
        ('type = "cancel"', "'cancel'"),
        ('type = "install"\npackage = "a"\ncolour = 1', "`colour` is unknown"),
        ('type = "install"\npackage = "a"\nwatch = true', "`watch` is unknown"),
        ('type = "install"\non = "pc-1"', "`package` is missing"),
        ('type = "install"\npackage = ["a", "b"]', "`package` is missing or no text"),
        ('type = "run"\nprogram = []', "`program` is missing"),
        ('type = "install"\npackage = "a"\nnote = 2026-01-01', "`note` is date"),
        ('type = "install"\npackage = "a"\non = [["b"]]', "`on` is list"),
        ("type = ", "no TOML"),
        ('type = "install"\npackage = "a"\npriority = "high"', "priority"),
        ('type = "install"\npackage = "a"\nexpires = "soon"', "--expires"),
    ],
)
def test_a_mistake_names_the_key_and_nothing_is_asked(daemon: Daemon, tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "job.toml"
    file.write_text(text)
    assert says in daemon.run("job", "create", "--file", str(file), code=2)
    assert daemon.asked == []


def test_a_file_that_is_not_there(daemon: Daemon) -> None:
    assert "/no/such" in daemon.run("job", "create", "--file", "/no/such", code=2)
