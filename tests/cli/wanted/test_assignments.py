"""`tiercast assignment ...`."""

from __future__ import annotations

from typing import Any

import pytest

from cli_daemon import Daemon

ROW: dict[str, Any] = {
    "node": "pc-3",
    "state": "failed",
    "version": "1",
    "wants": "2",
    "job": "",
    "failures": 2,
    "again": 1_800_000_000_000,
    "code": "program.failed",
    "detail": "exit 3",
}
SHOWN: dict[str, Any] = {
    "assignment": "editor",
    "says": "has editor >= 2",
    "target": "group sales",
    "state": "active",
    "said": "it broke",
    "rollout": "r1-ab12",
    "by": "ann",
    "created": 1_800_000_000_000,
    "targets": 3,
    "counts": {"holds": 2, "failed": 1},
    "some": {"failed": ["pc-3"]},
    "machines": [ROW, {**ROW, "node": "pc-4", "failures": 1, "again": 0}, {**ROW, "node": "pc-5", "failures": 0}],
    "more": 1_000,
    "sites": [{"gateway": "berlin", "counts": {"holds": 2, "missing": 1}, "at": 1_800_000_000_000, "away": []}],
}


def test_list_and_show(daemon: Daemon) -> None:
    daemon.answers["assignment.list"] = [SHOWN, {**SHOWN, "said": "", "counts": {}}]
    told = daemon.run("assignment", "list")
    assert "has editor >= 2" in told
    assert "2 holds, 1 failed" in told
    assert daemon.json("assignment", "list")["assignments"][0]["targets"] == 3
    daemon.answers["assignment.show"] = SHOWN
    told = daemon.run("assignment", "show", "editor")
    for part in (
        "editor (has editor >= 2): 3 machines",
        "failed; tried again later",
        "for group sales; by ann",
        "can't be acted on: it broke",
        "tiercast rollout show r1-ab12",
        "2 failures, program.failed: exit 3; again at",
        "1 failure, program.failed: exit 3; not tried again by itself",
        "And 1,000 more.",
        "2 holds, 1 missing",
    ):
        assert part in told
    assert daemon.json("assignment", "show", "editor")["assignment"]["more"] == 1_000


@pytest.mark.parametrize(("verb", "said"), [("delete", "is deleted"), ("pause", "is paused"), ("resume", "is active")])
def test_words_about_one(daemon: Daemon, verb: str, said: str) -> None:
    daemon.answers[f"assignment.{verb}"] = {"assignment": "editor", "number": 4}
    assert daemon.run("assignment", verb, "editor") == f"The assignment editor {said} (change 4).\n"
    daemon.answers[f"assignment.{verb}"] = {"assignment": "editor", "number": 0}
    assert "as it was" in daemon.run("assignment", verb, "editor")
    assert daemon.json("assignment", verb, "editor")["number"] == 0


def test_retry(daemon: Daemon) -> None:
    daemon.answers["assignment.retry"] = {"assignment": "editor", "nodes": ["pc-3"]}
    assert daemon.run("assignment", "retry", "editor", "--on", "pc-3") == "editor is tried again on 1 machine.\n"
    assert daemon.asked[0][1] == {"assignment": "editor", "nodes": ["pc-3"]}
    assert daemon.json("assignment", "retry", "editor")["nodes"] == ["pc-3"]


def test_history(daemon: Daemon) -> None:
    change = {"kind": "group", "name": "sales", "change": "added", "differs": []}
    daemon.answers["desired.history"] = [
        {"number": 1, "at": 1_800_000_000_000, "by": "ann", "how": "apply", "changes": [change]}
    ]
    assert "group sales added" in daemon.run("assignment", "history")
    assert daemon.json("assignment", "history", "--limit", "5")["history"][0]["by"] == "ann"
