"""`tiercast-endpoint parents`, `move-to`, `parent set`: what goes to the agent, and what is printed."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tiercast_endpoint.parent_commands import register

ANSWER: dict[str, Any] = {
    "home": "berlin",
    "parent": "berlin",
    "url": "mqtt://b:1",
    "connected": False,
    "reason": "joined",
    "waiting": "berlin is away",
    "tried": [{"name": "berlin", "url": "mqtt://b:1", "said": "Connection refused"}],
    "todo": "Say where it is.",
    "candidates": [],
}
PROVED = {"proved": {"name": "berlin", "url": "mqtt://c:1"}}


@pytest.mark.parametrize(
    ("words", "verb", "args", "text"),
    [
        (["parents"], "parents", {}, "tried       berlin at mqtt://b:1: Connection refused\nyou can     Say where"),
        (["move-to", "rome"], "parents.move", {"parent": "rome"}, "not connected: berlin is away"),
        (
            ["parent", "set", "c:1"],
            "parents.set",
            {"address": "c:1", "name": ""},
            "berlin proved itself at mqtt://c:1.",
        ),
        (["parent", "set", "c", "--name", "r"], "parents.set", {"address": "c", "name": "r"}, "candidates  none"),
    ],
)
def test_commands(words: list[str], verb: str, args: dict[str, Any], text: str) -> None:
    asked: list[Any] = []
    emitted: list[dict[str, Any]] = []
    app = typer.Typer()

    def ask(_state: object, verb: str, *, json: bool, **args: Any) -> Any:
        asked.append((verb, json, args))
        return ANSWER | (PROVED if verb == "parents.set" else {})

    register(app, ask, emitted.append)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert text in result.output
    assert CliRunner().invoke(app, [*words, "--json"]).exit_code == 0
    assert emitted[0]["parents"]["home"] == "berlin"
    assert asked == [(verb, False, args), (verb, True, args)]
    assert "Example" in CliRunner().invoke(app, [*words[: 1 + (words[0] == "parent")], "--help"]).output
