"""Every command's help ends with examples, and every example is one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tiercast_cli.__main__ import app
from tiercast_cli.said.examples import EXAMPLES

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


@pytest.mark.parametrize(
    "path", [*((name,) for name in ("why", "apply", "diff", "export", "status")), *ALL], ids=" ".join
)
def test_each_help_is_laid_out_line_by_line(path: tuple[str, ...]) -> None:
    command = ROOT
    for name in path:
        command = command.commands[name]
    shown = command.get_help(command.context_class(command, info_name=path[-1]))
    assert "\\b" not in shown
    assert "\b" not in shown
    assert re.search(r"^  (Examples?:|  ?tiercast )", shown, re.MULTILINE), shown


def test_the_table_names_commands_only() -> None:
    assert {tuple(key.split()) for key in EXAMPLES} <= set(ALL)


def typed(page: str) -> list[str]:
    """The lines of a page that are typed, without their comments."""
    text = (Path(__file__).parents[3] / "docs" / page).read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("tiercast ")]


@pytest.mark.parametrize(
    "line", [*typed("jobs.md"), *typed("desired-state.md"), *typed("transactions.md"), *typed("packages.md")]
)
def test_what_a_page_types_can_be_typed(line: str) -> None:
    words = shlex.split(line.partition(" | ")[0], comments=True)[1:]
    if words[0] in {"--socket", "--host"}:
        del words[:2]
    command, name = ROOT, ""
    while hasattr(command, "commands"):
        name = words.pop(0)
        command = command.commands[name]
    command.make_context(name, words)  # raises where it would be refused
