"""`tiercast-endpoint inventory`, `messages` and `group`: what goes to the agent, and what is printed."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tiercast_endpoint import commands
from tiercast_endpoint.commands import register

ANSWERS: dict[str, Any] = {
    "inventory": {"name": "pc", "labels": {"site": "b"}},
    "group.list": [{"group": "a", "state": "joined", "reason": ""}, {"group": "b", "state": "refused", "reason": "no"}],
    "messages": [{"n": 3, "job": "j1", "title": "", "text": "one\ntwo", "at": 5, "read": 0}],
    "messages.read": [{"n": 3, "job": "j1", "title": "T", "text": "one", "at": 5, "read": 6}],
    "group.join": {"group": "a", "state": "joined"},
    "verify": [{"package": "a", "version": "1", "whole": True, "files": 1_200, "differences": []}],
    "reboot": [{"job": "j1", "mode": "ask", "until": 0, "said": 1}],
    "group.leave": {"group": "a", "state": "left"},
}


@pytest.mark.parametrize(
    ("words", "verb", "args", "text"),
    [
        (["inventory"], "inventory", {}, "site=b"),
        (["messages"], "messages", {"unread": False}, "j1  (new)\n    one\n    two\n"),
        (["messages", "--unread"], "messages", {"unread": True}, "(new)"),
        (["messages", "--read", "3", "--read", "4"], "messages.read", {"numbers": [3, 4]}, "  T\n"),
        (["messages", "--read", "all"], "messages.read", {"numbers": []}, "  T\n"),
        (["verify"], "verify", {"package": ""}, "a 1  1,200 paths as sealed"),
        (["verify", "a"], "verify", {"package": "a"}, "as sealed"),
        (["reboot"], "reboot", {"later_s": 0}, "is restarted: j1."),
        (["reboot", "--later", "2h"], "reboot", {"later_s": 7_200}, "Put off: j1."),
        (["group", "list"], "group.list", {}, "b: refused, no"),
        (["group", "join", "a"], "group.join", {"group": "a", "wait_s": 20}, "is in a"),
        (["group", "join", "a", "--wait", "0"], "group.join", {"group": "a", "wait_s": 0}, "is in a"),
        (["group", "leave", "a"], "group.leave", {"group": "a"}, "no more"),
    ],
)
def test_commands(words: list[str], verb: str, args: dict[str, Any], text: str) -> None:
    asked: list[Any] = []
    emitted: list[dict[str, Any]] = []
    app = typer.Typer()

    def ask(_state: object, verb: str, *, json: bool, **args: Any) -> Any:
        asked.append((verb, json, args))
        return ANSWERS[verb]

    register(app, ask, emitted.append)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert text in result.output
    assert CliRunner().invoke(app, [*words, "--json"]).exit_code == 0
    assert list(emitted[0].values()) == [ANSWERS[verb]]
    assert asked == [(verb, False, args), (verb, True, args)]
    assert "Example" in CliRunner().invoke(app, [*words[: 1 + (words[0] == "group")], "--help"]).output


def test_an_answer_that_has_not_come_is_not_a_yes() -> None:
    app = typer.Typer()
    register(app, lambda *_, **__: {"group": "a", "state": "asked"}, lambda _: None)
    assert "not answered yet" in CliRunner().invoke(app, ["group", "join", "a"]).output


def test_halves_and_versions_are_shown_where_there_is_something(capsys: pytest.CaptureFixture[str]) -> None:
    commands.print_halves({"root_half": "", "update": {}})
    assert capsys.readouterr().out == ""
    commands.print_halves({"root_half": "/run/x", "update": {"trial": "t1", "refused": "t2", "why": "It ended."}})
    said = capsys.readouterr().out
    assert "asked at /run/x" in said
    assert "on trial until a parent is reached: t1" in said
    assert "refused: t2.  It ended." in said


def test_what_differs_is_listed_and_ends_with_1() -> None:
    app = typer.Typer()
    differs = [{"path": "a/b", "what": "was changed"}]
    answer = [{"package": "a", "version": "1", "whole": False, "files": 3, "differences": differs}]
    register(app, lambda *_, **__: answer, lambda _: None)
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == 1
    assert "a/b  was changed" in result.output
    assert CliRunner().invoke(app, ["reboot", "--later", "soon"]).exit_code == 2


def test_what_can_be_done_is_told_for_the_owner_and_for_whom_he_can_ask(capsys: pytest.CaptureFixture[str]) -> None:
    commands.print_todo({"todo": "tiercast-endpoint release JOB", "administrator": "tiercast job cancel JOB"}, "j1")
    assert capsys.readouterr().out.splitlines() == [
        "    you can: tiercast-endpoint release j1",
        "    an administrator can: tiercast job cancel j1",
    ]
    commands.print_todo({"todo": "", "administrator": ""}, "j1")
    assert capsys.readouterr().out == ""
