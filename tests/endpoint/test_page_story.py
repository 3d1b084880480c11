"""The page "On the endpoint": its commands are run against an agent, its settings read, its tables compared."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint.lab import ME, PARENT, Agent, pack
from typer.testing import CliRunner

from tiercast_endpoint.jobs.powering import PowerSettings
from tiercast_endpoint.jobs.sleeping import Sleeping
from tiercast_endpoint.jobs.story import STATE_OF, Step
from tiercast_endpoint.owner import feed
from tiercast_endpoint.owner.notifying import NotifySettings
from tiercast_endpoint.terminal import app
from tiercast_endpoint.verbs import Readings
from tiercast_endpoint.why import Machine, Why
from tiercast_protocol.content.jobs.results import RESULTS
from tiercast_protocol.content.package.definition import parse_definition
from tiercast_protocol.node.config import parse
from tiercast_protocol.node.control.server import ControlServer
from tiercast_protocol.node.places import place

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "on-the-endpoint.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = [
    line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("tiercast-endpoint ")
]
#: Runs until somebody stops it.
ENDLESS = [line for line in LINES if shlex.split(line, comments=True)[1] == "watch"]
HELLO, TOOL = pack("hello", "1.0", {"a": b"a" * 1000}), pack("tool", "2.1", {"b": b"b"})


@asynccontextmanager
async def at_socket(agent: Agent, state: Path) -> AsyncIterator[None]:
    """The agent's verbs at the socket where the command line looks for them."""

    class Outbox:
        def on(self, kind: str, handler: object) -> None:
            pass

    class Parents:
        def choose(self, name: str) -> None:
            raise NotImplementedError(name)

        def shown(self) -> dict[str, Any]:
            return {}

    async def nothing(*_: object) -> Any:
        return {}

    outbox: Any = agent.post
    readings = Readings(agent.db, nothing, nothing, nothing, Parents())
    readings.table |= Why(agent.db, outbox, lambda: Machine(ME, PARENT, connected=True), agent.jobs.looks).readings
    readings.register(agent.verbs)
    post: Any = Outbox()
    Sleeping(agent.db, post, PowerSettings(), lambda: 0).register(agent.verbs)
    state.mkdir()
    async with ControlServer(place("endpoint", state).socket, agent.verbs):
        yield


async def test_the_page_from_its_first_command_to_its_last(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with a job that may be put off, an offer and three messages."""
    agent.offer(HELLO, TOOL)
    state = tmp_path / "state"
    waits: dict[str, str | int | bool] = {"rejectable": True, "install_when": "shutdown"}
    await agent.order(agent.region.order("j-17", "install", HELLO, options=waits, life_ms=9 * 3_600_000))
    await agent.order(agent.region.order("j-18", "offer", TOOL, life_ms=9 * 3_600_000))
    for number in range(3):
        said = {"text": "Updates come after 20:00.", "title": "Tonight"}
        assert (await agent.do(f"j-m{number}", "message", None, options=dict(said))).state == "done"

    def run(line: str) -> str:
        words = shlex.split(line, comments=True)[1:]
        done = CliRunner().invoke(app, [*words, "--state", str(state)])
        assert done.exit_code == 0, f"{line}: {done.output}"
        return done.output

    async with at_socket(agent, state):
        printed: dict[str, str] = {}
        for line in LINES:
            if line.startswith("tiercast-endpoint history"):
                await agent.ended("j-17")  # a line before rejects it, and history is of what has ended
            if line not in ENDLESS:
                printed[line] = await asyncio.to_thread(run, line)
        (watch,) = ENDLESS
        first = await asyncio.to_thread(_first_line, shlex.split(watch, comments=True)[1:], state)
    told = {shlex.split(line, comments=True)[1]: text for line, text in printed.items()}
    assert "you can: defer" in told["list"]
    assert "j-17 waits until" in told["defer"]
    assert "j-17 is rejected" in told["reject"]
    assert "tool=2.1" in told["offers"]
    assert "j-18 is accepted" in told["accept"]
    assert "Best installed here: daily 12:00-13:00" in told["prefer"]
    assert told["messages"].count("Tonight") == 3
    assert "j-17" in told["history"]
    assert "ended rejected" in told["why"]
    assert first["event"] in feed.NAMES
    assert first["present"] is True


def _first_line(words: list[str], state: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tiercast_endpoint", *words, "--state", str(state)]
    rooms = os.pathsep.join(str(DOCS.parent / room) for room in ("protocol", "endpoint"))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": rooms}
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    found: dict[str, Any] = json.loads(line)
    return found


def test_the_settings_of_the_page_are_read() -> None:
    texts = [text for kind, text in BLOCKS if kind == "toml"]
    found = [tomllib.loads(text) for text in texts]
    (table,) = (one["notify"] for one in found if "notify" in one)
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
    settings = parse(lines, NotifySettings, Path("endpoint.toml"))
    assert settings.program == ("/usr/local/bin/tell-me",)
    assert settings.user == "alice"


def test_the_check_of_the_page_jobs_is_one() -> None:
    (text,) = (
        t
        for t in re.findall(r"^```toml\n(.*?)^```", (DOCS / "jobs.md").read_text(), re.MULTILINE | re.DOTALL)
        if "[check]" in t
    )
    definition = parse_definition(f'name = "a"\nversion = "1"\n{text}')
    assert definition.check is not None
    assert definition.check.needs == "tree"


def test_the_events_of_the_page_are_those_that_there_are() -> None:
    table = PAGE.partition("| event | when |")[2].partition("\n\n")[0]
    assert re.findall(r"(?m)^\| `(\w+)` \|", table) == [*feed.NAMES, "lost"]


def test_the_steps_of_the_page_are_those_of_the_installer() -> None:
    table = PAGE.partition("## The steps of an installation")[2].partition("All transitions")[0]
    rows = dict(re.findall(r"(?m)^\| (\w+) \| (\w+) \|", table))
    assert len(rows) > 8
    assert all(STATE_OF[Step(step)] == state for step, state in rows.items())
    elsewhere = {step for step in Step if step is not Step.END and step.value not in rows}
    unsaid = [step.value for step in elsewhere if f"`{step.value}`" not in table]
    assert unsaid == [], "neither a row nor a word"


def test_the_codes_of_the_page_are_results_that_there_are() -> None:
    """All codes stand on the page of results, which has a test of its own; these are the ones of this page."""
    table = PAGE.partition("## Codes")[2]
    cells = re.findall(r"(?m)^\| ((?:`[a-z.*-]+`(?:, )?)+)", table)
    codes = [code for cell in cells for code in re.findall(r"`([a-z.-]+)`", cell)]
    assert len(codes) > 20
    assert [code for code in codes if code not in RESULTS] == []
