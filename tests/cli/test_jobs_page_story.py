"""Every command on the page "Jobs" is one that can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from tiercast_cli.__main__ import app
from tiercast_cli.session import session
from tiercast_endpoint.terminal import app as endpoint_app

PAGE = Path(__file__).parents[2] / "docs/jobs.md"
ROOTS: dict[str, Any] = {
    "tiercast": typer.main.get_command(app),
    "tiercast-endpoint": typer.main.get_command(endpoint_app),
}
#: Text and code take turns.
BLOCKS = re.split(r"^```.*\n", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1::2]
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith(tuple(ROOTS))]


def test_the_page_has_commands() -> None:
    assert len(LINES) > 30


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_can_be_typed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "socket", "")
    words = shlex.split(line, comments=True)
    command, name = ROOTS[words[0]], words[0]
    words = words[1:]
    if words[0] == "--socket":
        words = words[2:]
    while hasattr(command, "commands"):
        assert words, f"{line}: what is to be done?"
        assert words[0] in command.commands, f"{line}: there is no {words[0]!r}"
        command, name, words = command.commands[words[0]], words[0], words[1:]
    command.make_context(name, words)  # raises where it would be refused
