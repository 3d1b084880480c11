"""Every command's help ends with examples, and every example is one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from tiercast_cli.__main__ import app
from tiercast_cli.examples import EXAMPLES

ROOT: Any = typer.main.get_command(app)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a noun, with the words that lead to it."""
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))
    if not hasattr(command, "commands") and len(path) > 1:
        yield path, command


ALL = dict(commands(ROOT))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_each_help_shows_an_example_that_can_be_typed(path: tuple[str, ...]) -> None:
    lines = re.findall(r"^  tiercast (.+)$", ALL[path].epilog or "", re.MULTILINE)
    assert lines, f"`tiercast {' '.join(path)} --help` shows no example"
    for line in lines:
        words = shlex.split(line)
        assert tuple(words[: len(path)]) == path
        ALL[path].make_context(path[-1], words[len(path) :])  # raises where it would be refused


def test_the_table_names_commands_only() -> None:
    assert {tuple(key.split()) for key in EXAMPLES} <= set(ALL)
