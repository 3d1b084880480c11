"""`prefer`, `history` and `watch` at the terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tiercast_endpoint.owner import owner_commands

WAITING = {
    "at": 0,
    "event": "waiting",
    "job": "j1",
    "type": "install",
    "package": "a",
    "version": "1",
    "state": "staged",
    "code": "owner.held",
    "says": "held by alice",
}
EVENTS = [
    WAITING,
    {"at": 0, "event": "message", "job": "j2", "title": "Tonight", "says": "Leave it on."},
    {"at": 0, "event": "chosen", "job": "", "by": "alice"},
    {"event": "lost", "count": 3},
]


def run(*words: str, answer: Any = None) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    asked: list[tuple[str, dict[str, Any]]] = []
    app = typer.Typer()

    def ask(state: object, verb: str, *, json: bool, **args: Any) -> Any:
        del json, state
        asked.append((verb, args))
        return answer

    def follow(state: object, verb: str, each: Any, *, json: bool) -> None:
        del json, state
        asked.append((verb, {}))
        for event in EVENTS:
            each(event)

    owner_commands.register(app, ask, lambda found: typer.echo(json.dumps(found)), follow)
    done = CliRunner().invoke(app, list(words))
    return done.output, asked


def test_prefer_shows_sets_and_takes_back() -> None:
    answer = {"window": "daily 12:00-13:00", "by": "alice", "at": 0}
    assert run("prefer", answer=answer)[1] == [("owner.preferred", {})]
    said, asked = run("prefer", "--window", "daily 12:00-13:00", answer=answer)
    assert asked == [("owner.prefer", {"window": "daily 12:00-13:00"})]
    assert "said by alice" in said
    said, asked = run("prefer", "--window", "none", answer={"window": "", "by": "alice", "at": 0})
    assert asked == [("owner.prefer", {"window": ""})]
    assert said == "No times are preferred here.\n"


def test_history_in_words() -> None:
    row = WAITING | {"finished": 1, "state": "failed", "code": "disk.full", "says": "No room."}
    said, asked = run("history", "--package", "a", "--since", "7d", answer=[row])
    assert "install a=1: failed (disk.full)" in said
    assert asked[0][1]["package"] == "a"
    assert asked[0][1]["since"] > 0
    assert "no length of time" in run("history", "--since", "yesterday")[0]
    assert run("history", answer=[])[0] == "Nothing has ended here.\n"


def test_watch_is_a_line_per_change() -> None:
    assert len(run("watch", "--json")[0].splitlines()) == len(EVENTS)
    lines = run("watch")[0].splitlines()
    assert lines[0].endswith("j1  install a=1: staged (owner.held): held by alice")
    assert lines[1].endswith("message: Tonight: Leave it on.")
    assert lines[2].endswith("all: chosen by alice")
    assert lines[3] == "(3 changes were not read in time)"


@pytest.mark.parametrize("command", ["prefer", "history", "watch"])
def test_each_help_has_an_example(command: str) -> None:
    assert f"Example: tiercast-endpoint {command}" in run(command, "--help")[0]
