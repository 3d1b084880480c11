"""`tiercast-gateway parents` and `parent set`: asked over the socket of a running gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tiercast_gateway.parent_commands import register
from tiercast_protocol.node.control.server import ControlServer
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.places import place

ANSWER: dict[str, Any] = {
    "home": "top",
    "parent": "top",
    "url": "mqtt://t:1",
    "connected": True,
    "reason": "joined",
    "waiting": "",
    "tried": [],
    "todo": "",
    "candidates": [{"name": "rome", "url": "mqtt://r:1", "cost": 0}],
}


@pytest.mark.parametrize(
    ("words", "asked", "text"),
    [
        (["parents"], ("parents", {}), "candidates  rome at mqtt://r:1"),
        (["parent", "set", "t:2"], ("parents.set", {"address": "t:2", "name": ""}), "top proved itself at mqtt://t:2."),
        (
            ["parent", "set", "r:2", "--name", "rome"],
            ("parents.set", {"address": "r:2", "name": "rome"}),
            "home        top",
        ),
    ],
)
def test_commands(tmp_path: Path, words: list[str], asked: tuple[str, dict[str, Any]], text: str) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []

    async def answer(call: Call) -> dict[str, Any]:
        """What a gateway says."""
        heard.append((call.verb, dict(call.args)))
        return ANSWER | ({"proved": {"name": "top", "url": "mqtt://t:2"}} if call.verb == "parents.set" else {})

    verbs = Verbs()
    verbs.add("parents", "viewer", answer)
    verbs.add("parents.set", "operator", answer)

    def run(what: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        async def with_gateway() -> dict[str, Any]:
            async with ControlServer(place("gateway", tmp_path).socket, verbs):
                return await what

        return asyncio.run(with_gateway())

    app = typer.Typer()
    register(app, run)
    result = CliRunner().invoke(app, [*words, "--state", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert text in result.output
    said = CliRunner().invoke(app, [*words, "--json", "--state", str(tmp_path)])
    assert json.loads(said.output)["parents"]["home"] == "top"
    assert heard == [asked, asked]
    assert "Example" in CliRunner().invoke(app, [*words[: 1 + (words[0] == "parent")], "--help"]).output
