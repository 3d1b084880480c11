"""`tiercast-endpoint list`, `hold` and the like: what goes to the agent, and what is printed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tiercast_endpoint.owner.choice_commands import register
from tiercast_endpoint.terminal import app as endpoint

ROW = {
    "job": "j-1", "type": "offer", "package": "hello", "version": "1", "state": "waiting", "done": 0, "total": 0,
    "chain": [{"says": "offered: the owner has not chosen yet"}], "expires": 9_000, "begun": False, "held": 0,
    "deferred_until": 0, "deferrals": 1, "answer": "", "by": "", "can_put_off": True, "defer_max": 3,
    "defer_latest": 8_000, "rejectable": True,
}  # fmt: skip
ENDED = {"job": "j-0", "type": "run", "package": "", "version": "", "state": "failed", "code": "x", "finished": 5}
CHOSEN = {"job": "j-1", "held": 0, "until": 7_000, "times": 1, "left": 2, "latest": 8_000, "answer": ""}
ANSWERS: dict[str, Any] = {
    "owner.list": {"held": {"since": 4, "by": "alice"}, "jobs": [ROW], "ended": [ENDED]},
    "owner.offers": [ROW],
    "power.show": {"at": 9_000, "job": "j-9"},
    "power.stay": {"job": "j-9"},
    "owner.hold": {"job": "", "held": 4, "not_held": ["j-7"]},
    "owner.release": CHOSEN | {"job": ""},
    "owner.defer": CHOSEN,
    "owner.reject": CHOSEN,
    "owner.accept": CHOSEN,
    "owner.decline": CHOSEN,
}


@pytest.mark.parametrize(
    ("words", "verb", "args", "text"),
    [
        (["list"], "owner.list", {"ended": 10}, "j-1  offer hello=1: waiting\n    offered: the owner"),
        (["list", "--ended", "0"], "owner.list", {"ended": 0}, "times more), reject, accept, decline; it expires"),
        (["list"], "owner.list", {"ended": 10}, "j-0  run: failed (x)"),
        (["list"], "owner.list", {"ended": 10}, "The machine was woken for j-9, and shuts down at"),
        (["stay"], "power.stay", {}, "The machine stays on."),
        (["offers"], "owner.offers", {}, "you can: defer (not beyond"),
        (["hold"], "owner.hold", {"job": ""}, "may only be deferred: j-7"),
        (["hold", "j-1"], "owner.hold", {"job": "j-1"}, "j-1 is held."),
        (["release"], "owner.release", {"job": ""}, "What was held goes on."),
        (
            ["defer", "j-1", "--for", "2h"],
            "owner.defer",
            {"job": "j-1", "until": 77},
            "; it may be deferred 2 times more.",
        ),
        (["reject", "1"], "owner.reject", {"job": "1"}, "j-1 is rejected"),
        (["accept", "j-1"], "owner.accept", {"job": "j-1"}, "is accepted"),
        (["decline", "j-1"], "owner.decline", {"job": "j-1"}, "is declined"),
    ],
)
def test_commands(words: list[str], verb: str, args: dict[str, Any], text: str) -> None:
    asked: list[Any] = []
    emitted: list[dict[str, Any]] = []
    app = typer.Typer()

    def ask(_state: object, verb: str, *, json: bool, **args: Any) -> Any:
        asked.append((verb, json, args))
        return ANSWERS[verb] | {"job": "j-1"} if verb == "owner.hold" and args["job"] else ANSWERS[verb]

    def end_of(until: str, for_: str, command: str, *, json: bool) -> int:
        del json
        assert (until, for_, command) == ("", "2h", "defer")
        return 77

    register(app, ask, emitted.append, end_of)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert text in result.output
    assert CliRunner().invoke(app, [*words, "--json"]).exit_code == 0
    assert [one for one in asked if one[0] != "power.show"] == [(verb, False, args), (verb, True, args)]
    more = {"power": ANSWERS["power.show"]} if verb == "owner.list" else {}
    said = ask(None, verb, json=True, **args)
    assert list(emitted[0].values()) == [said | more if more else said]


def _typed() -> list[str]:
    docs = Path(__file__).parents[3] / "docs"
    lines = [line for page in docs.glob("*.md") for line in page.read_text("utf-8").splitlines()]
    return sorted({line.partition("#")[0].strip() for line in lines if line.startswith("tiercast-endpoint ")})


@pytest.mark.parametrize("line", _typed())
def test_what_the_pages_show_can_be_typed(line: str) -> None:
    """Each `tiercast-endpoint ...` of the documentation is a command with options that it has."""
    command: Any = typer.main.get_command(endpoint)
    words = shlex.split(line)[1:]
    context = typer.Context(command, info_name="tiercast-endpoint")
    while hasattr(command, "commands"):
        name, words = words[0], words[1:]
        assert name in command.commands, line
        command = command.commands[name]
    command.make_context(line, [word for word in words if word not in {"...", "\\"}], parent=context)
