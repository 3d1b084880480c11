"""`tiercast job draft | start | copy | move | from | template`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_daemon import Daemon, snapshot

KEPT = {"job": "j7-ab12", "draft": True, "folder": ""}
TEMPLATE = {
    "template": "nightly",
    "type": "install",
    "about": "editor={version}",
    "note": "N",
    "by": "ann",
    "created": 1_800_000_000_000,
    "parameters": {"version": None, "on": "pc-1"},
}


@pytest.mark.parametrize(
    ("words", "type_"),
    [
        (("install", "editor", "--priority", "9"), "install"),
        (("remove", "editor"), "remove"),
        (("preload", "editor"), "preload"),
        (("purge", "editor"), "purge"),
        (("run", "--", "/bin/true"), "run"),
        (("message", "hello"), "message"),
        (("inventory",), "inventory"),
        (("restart",), "restart"),
    ],
)
def test_a_draft_of_every_type_orders_nothing(daemon: Daemon, words: tuple[str, ...], type_: str) -> None:
    daemon.answers |= {"job.draft": KEPT, "job.create": {"job": "j8", "targets": 1}}
    said = daemon.run("job", "draft", words[0], "--on", "pc-1", "--folder", "a/b", *words[1:])
    assert "tiercast job start j7-ab12" in said
    ((verb, asked),) = daemon.asked
    assert (verb, asked["type"], asked["targets"], asked["folder"]) == ("job.draft", type_, ["pc-1"], "a/b")
    daemon.run("job", words[0], "--on", "pc-1", *words[1:])
    assert daemon.asked[-1][0] == "job.create", "the next command is none below `draft`"


def test_starting_and_watching(daemon: Daemon) -> None:
    daemon.answers["job.start"] = {"job": "j7-ab12", "targets": 2}
    assert "Job j7-ab12: started on 2 nodes." in daemon.run("job", "start", "j7", "--confirm", "2")
    assert daemon.asked == [("job.start", {"job": "j7", "confirm": 2})]
    daemon.streams["job.watch"] = [snapshot("done", 1000)]
    assert daemon.json("job", "start", "j7", "--watch")["job"]["state"] == "done"


def test_a_dry_run_orders_and_keeps_nothing(daemon: Daemon) -> None:
    shown = {"targets": 2, "sites": [{"site": "b", "targets": 2, "nodes": ["x", "y"]}], "unknown": {}, "confirm": False}
    daemon.answers |= {"job.start": shown, "job.from": shown, "job.create": shown}
    for words in (("start", "j7"), ("from", "nightly"), ("draft", "restart", "--target", "group g")):
        assert "2 targets at 1 site; nothing was ordered." in daemon.run("job", *words, "--dry-run")
        assert daemon.asked[-1][1]["dry_run"] is True
    assert [verb for verb, _ in daemon.asked] == ["job.start", "job.from", "job.create"]


def test_copies_and_folders(daemon: Daemon) -> None:
    daemon.answers |= {"job.copy": KEPT | {"dropped": ["install_at"]}, "job.move": {"job": "j7", "folder": "a/b"}}
    said = daemon.run("job", "copy", "j3")
    assert "kept as a draft" in said
    assert "they are over: install-at." in said
    assert daemon.json("job", "copy", "j3", "--folder", "x")["job"] == "j7-ab12"
    assert daemon.asked == [("job.copy", {"job": "j3"}), ("job.copy", {"job": "j3", "folder": "x"})]
    assert "is in a/b now" in daemon.run("job", "move", "j7", "a/b")


def test_templates(daemon: Daemon) -> None:
    daemon.answers |= {
        "job.template.save": {"template": "nightly", "parameters": {"version": None, "on": "pc-1"}},
        "job.template.list": [TEMPLATE],
        "job.template.show": TEMPLATE | {"request": {"type": "install", "targets": ["a", "b"], "options": {"x": 1}}},
        "job.template.delete": {"template": "nightly"},
    }
    said = daemon.run(
        *("job", "template", "save", "j7", "nightly", "--parameter", "version", "--parameter", "on=pc-1", "--note", "N")
    )
    assert "tiercast job from nightly --set version=..." in said
    assert daemon.asked[0][1]["parameters"] == ["version", "on=pc-1"]
    assert "on=pc-1, version" in daemon.run("job", "template", "list")
    said = daemon.run("job", "template", "show", "nightly")
    assert "targets     a, b" in said
    assert "options     x=1" in said
    assert "forgotten" in daemon.run("job", "template", "delete", "nightly")


def test_a_job_or_a_draft_from_a_template(daemon: Daemon) -> None:
    daemon.answers["job.from"] = {"job": "j9", "targets": 1}
    assert "Job j9: from nightly on 1 node." in daemon.run("job", "from", "nightly", "--set", "note=a=b", "--set", "x=")
    assert daemon.asked[0][1] == {"name": "nightly", "set": {"note": "a=b", "x": ""}, "draft": False, "folder": ""}
    daemon.answers["job.from"] = KEPT
    assert daemon.json("job", "from", "nightly", "--draft")["draft"] is True


def test_parameters_out_of_a_file_or_the_standard_input(daemon: Daemon, tmp_path: Path) -> None:
    daemon.answers["job.from"] = {"job": "j9", "targets": 1}
    file = tmp_path / "values.toml"
    file.write_text('version = "2.1"\non = ["pc-1", "pc-2"]\npriority = 9\nmetered = true\n')
    daemon.run("job", "from", "nightly", "--file", str(file), "--set", "version=3")
    assert daemon.asked[0][1]["set"] == {"version": "3", "on": "pc-1,pc-2", "priority": "9", "metered": "true"}
    daemon.run("job", "from", "nightly", "--file", "-", stdin="x = 1")
    assert daemon.asked[1][1]["set"] == {"x": "1"}
    assert "`x` can't be a parameter" in daemon.run("job", "from", "t", "--file", "-", stdin="[x]\ny = 1", code=2)
    assert len(daemon.asked) == 2


def test_folders(daemon: Daemon) -> None:
    daemon.answers["job.folders"] = [{"folder": "", "jobs": 1, "drafts": 0}, {"folder": "a/b", "jobs": 2, "drafts": 3}]
    assert "a/b" in daemon.run("job", "folders")
    assert daemon.json("job", "folders")["folders"][1]["drafts"] == 3


@pytest.mark.parametrize("sets", [("colour",), ("=1",), ("a=1", "a=2")])
def test_what_sets_nothing(daemon: Daemon, sets: tuple[str, ...]) -> None:
    words = [word for text in sets for word in ("--set", text)]
    assert "--set" in daemon.run("job", "from", "nightly", *words, code=2)
    assert daemon.asked == []


def test_a_draft_is_shown_as_one(daemon: Daemon) -> None:
    daemon.answers["job.show"] = {
        "job": "j7",
        "type": "run",
        "about": "df -h",
        "state": "draft",
        "created": 1_800_000_000_000,
        "by": "ann",
        "request": {"type": "run", "note": ""},
        "targets": [],
    }
    said = daemon.run("job", "show", "j7")
    assert "run df -h  draft" in said
    assert "tiercast job start j7" in said
